"""apt as images have it: whole systems made and filled through the cache; and the archive of another distribution."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.e2e import ubuntu
from tests.e2e.apt import Source, check, takes_expired
from tests.e2e.archive import Archive, Key, Layout
from tests.e2e.clients import serving
from tests.e2e.mirror import Mirror
from tests.e2e.systems import System, made, obstacle, release
from tests.e2e.ways import FETCHED, FORMS, pointed, pool_passed, way

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_WANTED = "hello"  # small, needs nothing else, and is in every release
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the cache through which all systems come."""
    return tmp_path_factory.mktemp("systems") / "data"


@pytest.fixture(scope="module")
def slim(data: Path, home: Path) -> Iterator[System]:
    """The first system: all of it came from upstream."""
    complaint = obstacle()
    assert not complaint, complaint
    source, _ = release()
    with contextlib.ExitStack() as stack:
        with serving(data, home) as server:
            system = stack.enter_context(made(data.with_name("slim"), source, server.url))
            assert pool_passed(server) > 10 << 20
        yield system


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Ubuntu's archive."""
    if ubuntu.left_out():
        pytest.skip("E2E_UBUNTU=no: there is said to be no way to Ubuntu's archive")
    needed = {ubuntu.TEMPLATES: "python-apt-common", ubuntu.RELEASES: "distro-info-data"}
    missing = [package for path, package in needed.items() if not path.exists()]
    assert not missing, f"these tests need Debian's {', '.join(missing)}: apt-get install {' '.join(missing)}"
    return ubuntu.archive(tmp_path_factory.mktemp("ubuntu"))


def filled(system: System, url: str) -> list[dict[str, str]]:
    """Install a package in each form of address, and remove it again; gives what was installed in between."""
    _, sources = release()
    found = []
    for form in FORMS:
        system.point(*way(sources, url, form))
        check(system.update())
        check(system.install(_WANTED))
        found.append(system.installed())
        check(system.purge(_WANTED))
    return found


def test_system__cold_warm_offline(tmp_path: Path, home: Path, data: Path, slim: System) -> None:
    """A second system like the first makes upstream send no package, and a third one needs no network."""
    source, sources = release()
    with serving(data, home) as server:
        slim.point(sources, [])
        assert slim.update().status, "the system has a way past the cache"
        cold = filled(slim, server.url)
        passed = pool_passed(server)
        assert passed > 0
        with made(tmp_path / "warm", source, server.url) as system:
            listed = server.metric(FETCHED, upstream="apt")
            warm = filled(system, server.url)
            assert passed == pool_passed(server)
            # At most Release files are looked at again.
            assert server.metric(FETCHED, upstream="apt") - listed < 1 << 20

    options = ["--apt-serve-expired", "true"] if takes_expired() else []
    with serving(data, home, options=options, module="tests.e2e.offline") as server:
        with made(tmp_path / "offline", source, server.url) as system:
            offline = filled(system, server.url)
        assert 0 == server.metric(FETCHED)

    assert all(_WANTED in versions for versions in cold)
    assert cold == warm == offline


@pytest.mark.parametrize("form", FORMS)
def test_system__https_archive_without_certificates(
    tmp_path: Path, home: Path, key: Key, monkeypatch: pytest.MonkeyPatch, slim: System, form: str
) -> None:
    """A system without certificates cannot ask an https archive itself, and installs from it through the cache."""
    assert not (slim.folder / _CERTIFICATES).exists()
    authority = trustme.CA()
    roots = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))  # the cache's own trust
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    published = Archive(tmp_path / "archive", Layout.BY_HASH, key, ["demo"])
    published.publish()
    with Mirror(published.states[0], tls=tls) as mirror:
        host = f"localhost:{mirror.port}"
        direct = Source(f"https://{host}", "stable", "main", str(key.public))
        with serving(tmp_path / "data", home, options=["--apt-hosts", host]) as server:
            slim.point([direct], [])
            refused = slim.update()
            assert (True, True) == (bool(refused.status), "ertificate" in refused.output), refused.output
            assert 0 == mirror.sent.total()

            slim.point(*way([direct], server.url, form))
            check(slim.update())
            check(slim.install("demo"))
            assert "1.1" == slim.installed()["demo"]
            assert 0 < mirror.pool_bytes() <= server.metric(FETCHED, upstream="apt")
            check(slim.purge("demo"))


@pytest.mark.parametrize("form", FORMS)
def test_ubuntu__cold_warm_offline(tmp_path: Path, home: Path, archive: Source, form: str) -> None:
    """Of Ubuntu's current release, the second client makes upstream send no package, and the third needs no network."""
    data = tmp_path / "data"
    with serving(data, home) as server:
        cold = pointed(tmp_path / "cold", [archive], server.url, form)
        check(cold.update())
        check(cold.download(_WANTED))
        passed, fetched = pool_passed(server), server.metric(FETCHED, upstream="apt")
        assert passed > 0

        warm = pointed(tmp_path / "warm", [archive], server.url, form)
        check(warm.update())
        check(warm.download(_WANTED))
        assert passed == pool_passed(server)
        assert server.metric(FETCHED, upstream="apt") - fetched < 1 << 20

    options = ["--apt-serve-expired", "true"] if takes_expired() else []
    with serving(data, home, options=options, module="tests.e2e.offline") as server:
        offline = pointed(tmp_path / "offline", [archive], server.url, form)
        check(offline.update())
        check(offline.download(_WANTED))
        assert 0 == server.metric(FETCHED)

    assert any(name.startswith(f"{_WANTED}_") for name in cold.packages())
    assert cold.packages() == warm.packages() == offline.packages()
