"""The real apt through the cache: the machine's own archives, and archives that change while clients look."""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from tests.e2e.apt import AptRoot, Source, check, own_sources, takes_expired
from tests.e2e.archive import Archive, Key, Layout
from tests.e2e.churning import churn
from tests.e2e.clients import clean_environment, run, serving
from tests.e2e.mirror import Mirror
from tests.e2e.peers import apt_cacher_ng
from tests.e2e.ways import FETCHED, FORMS, SENT, pointed, pool_passed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_TOOLS = {
    "apt-get": "apt",
    "apt-ftparchive": "apt-utils",
    "auto-apt-proxy": "auto-apt-proxy",
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
    "/usr/sbin/apt-cacher-ng": "apt-cacher-ng",
}
_WANTED = ("build-essential", "cmake")  # what images are made of
_NAMES = [f"demo-{number}" for number in range(20)]
_CLIENTS = 8
_STEPS = 200
_CROWD = 64
_COMPARED = (Layout.BY_HASH, Layout.PLAIN, Layout.FLAT)


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    """What is missing is said in one go; `.ci/run` installs it."""
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    assert not missing, f"these tests need Debian's {', '.join(missing)}: apt-get install {' '.join(missing)}"


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    """Each way into the cache."""
    chosen: str = request.param
    return chosen


def test_machine__cold_warm_offline(tmp_path: Path, home: Path, form: str) -> None:
    """Of what images are made of, the second client makes upstream send nothing, and the third needs no network."""
    sources = own_sources()
    data = tmp_path / "data"
    with serving(data, home) as server:
        cold = pointed(tmp_path / "cold", sources, server.url, form)
        check(cold.update())
        check(cold.download(*_WANTED))
        assert pool_passed(server) > 1 << 20
        passed, fetched = pool_passed(server), server.metric(FETCHED, upstream="apt")

        warm = pointed(tmp_path / "warm", sources, server.url, form)
        check(warm.update())
        listed = server.metric(FETCHED, upstream="apt")
        check(warm.download(*_WANTED))
        assert passed == pool_passed(server)
        assert listed == server.metric(FETCHED, upstream="apt")
        # At most Release files are looked at again.
        assert listed - fetched < 1 << 20

    options = ["--apt-serve-expired", "true"] if takes_expired() else []
    with serving(data, home, options=options, module="tests.e2e.offline") as server:
        offline = pointed(tmp_path / "offline", sources, server.url, form)
        check(offline.update())
        check(offline.download(*_WANTED))
        assert 0 == server.metric(FETCHED)

    assert cold.packages() == warm.packages() == offline.packages()


def test_machine__other_form(tmp_path: Path, home: Path) -> None:
    """What came in one form of address is there in the other."""
    sources = own_sources()
    with serving(tmp_path / "data", home) as server:
        first = pointed(tmp_path / "first", sources, server.url, "proxy form")
        check(first.update())
        check(first.download("cmake"))
        passed = pool_passed(server)
        second = pointed(tmp_path / "second", sources, server.url, "prefix form")
        check(second.update())
        check(second.download("cmake"))
        assert passed == pool_passed(server)
    assert first.packages() == second.packages()


@pytest.mark.parametrize("layout", Layout, ids=lambda layout: layout.value)
def test_upgrade__after_the_archive_moved_on(tmp_path: Path, home: Path, key: Key, form: str, layout: Layout) -> None:
    """A client with the old state upgrades to the new one, cold, warm, and when the archive is gone."""
    archive = Archive(tmp_path / "archive", layout, key, _NAMES)
    archive.publish()
    with (
        Mirror(archive.states[0]) as mirror,
        serving(
            tmp_path / "data",
            home,
            options=(
                "--apt-hosts",
                mirror.host,
                "--apt-window",
                "0s",
            ),
        ) as server,
    ):
        sources = [Source(f"http://{mirror.host}", layout.suite, layout.components, str(key.public))]
        roots = [pointed(tmp_path / name, sources, server.url, form) for name in ("cold", "warm", "stopped")]
        for root in roots:
            check(root.update())
            root.installed((name, "1.1") for name in _NAMES)
        mirror.move(archive.publish(*_NAMES[:5]))
        found = []
        for root in roots:
            if root is roots[2]:
                mirror.stop()
            check(root.update())
            check(root.upgrade())
            found.append(root.packages())
        sent = mirror.pool_bytes()
    debs = {path.rpartition("/")[2]: file.body for path, file in archive.states[1].files.items() if "_1.2_" in path}
    assert 5 == len(debs)
    assert [debs, debs, debs] == found
    assert sum(map(len, debs.values())) == sent


@pytest.mark.parametrize("layout", Layout, ids=lambda layout: layout.value)
def test_churn__no_mismatch(
    tmp_path: Path, home: Path, key: Key, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive changes two hundred times, each time torn for a while, and no client ever sees two states at once.

    The same run through apt-cacher-ng is printed beside it, in the layouts that most archives have.
    """
    archive = Archive(tmp_path / "archive", layout, key, _NAMES)
    archive.publish()
    archive.churn(_STEPS, seed=1)
    numbers = itertools.count()

    def roots(mirror: Mirror, url: str) -> list[AptRoot]:
        sources = [Source(f"http://{mirror.host}", layout.suite, layout.components, str(key.public))]
        return [pointed(tmp_path / f"{next(numbers)}", sources, url, "proxy form") for _ in range(_CLIENTS)]

    with (
        Mirror(archive.states[0]) as mirror,
        serving(
            tmp_path / "data",
            home,
            options=(
                "--apt-hosts",
                mirror.host,
                "--apt-window",
                "1s",
            ),
        ) as server,
    ):
        clients = roots(mirror, server.url)
        ours = churn(mirror, archive.states[1:], clients, seed=1)
        # In the end everybody has the last state.
        run([sys.executable, "-c", "import time; time.sleep(1.1)"], home)
        for client in clients:
            check(client.update())
            assert any(archive.states[-1].files[path].body in client.lists() for path in _release_paths(layout))
    theirs = None
    if layout in _COMPARED:
        with Mirror(archive.states[0]) as mirror, apt_cacher_ng(tmp_path / "apt-cacher-ng") as url:
            theirs = churn(mirror, archive.states[1:], roots(mirror, url), seed=1)
    with capsys.disabled():
        print(f"\n{layout.value}: {_STEPS} states, {_CLIENTS} clients")  # noqa: T201 it is for the person who waits
        print(f"  pullthrough:   {ours}\n  apt-cacher-ng: {theirs or 'not tried'}")  # noqa: T201

    assert (0, 0, []) == (ours.mismatches, ours.failed, ours.said)
    assert ours.updates > _CLIENTS


def test_https__tunnel_or_fetched_by_the_cache(
    tmp_path: Path, home: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https archive comes through a tunnel, or is fetched by the cache for a client that knows no certificates."""
    authority = trustme.CA()
    roots = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(roots))
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))  # the cache's own trust
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    archive = Archive(tmp_path / "archive", Layout.PLAIN, key, _NAMES)
    archive.publish()
    with Mirror(archive.states[0], tls=tls) as mirror:
        host = f"localhost:{mirror.port}"
        options = ["--apt-hosts", host, "--apt-tunnels", host]
        with serving(tmp_path / "data", home, options=options) as server:
            direct = Source(f"https://{host}", "stable", "main", str(key.public))
            proxy = [f'Acquire::http::Proxy "{server.url}/";', f'Acquire::https::CAInfo "{roots}";']
            tunnelled = AptRoot(tmp_path / "tunnelled", [direct], proxy)
            check(tunnelled.update())
            check(tunnelled.download(_NAMES[0]))
            assert server.metric("pullthrough_tunnelled_bytes_total", direction="to_client") > mirror.pool_bytes() > 0
            assert 0 == server.metric(FETCHED)

            fetched = pointed(tmp_path / "fetched", [direct], server.url, "prefix form")
            check(fetched.update())
            check(fetched.download(_NAMES[0]))
            assert server.metric(FETCHED, upstream="apt") > 0
    assert tunnelled.packages() == fetched.packages()


def test_crowd__at_once(tmp_path: Path, home: Path, key: Key) -> None:
    """Sixty-four clients come at once to an empty cache: all are served, and the archive sends each package once."""
    archive = Archive(tmp_path / "archive", Layout.BY_HASH, key, _NAMES, size=200_000)
    archive.publish()
    with (
        Mirror(archive.states[0]) as mirror,
        serving(
            tmp_path / "data",
            home,
            options=(
                "--apt-hosts",
                mirror.host,
            ),
        ) as server,
        ThreadPoolExecutor(_CROWD) as pool,
    ):
        sources = [Source(f"http://{mirror.host}", "stable", "main", str(key.public))]
        roots = [pointed(tmp_path / f"{n}", sources, server.url, "proxy form") for n in range(_CROWD)]

        def install(root: AptRoot) -> list[str]:
            check(root.update())
            check(root.download(*_NAMES))
            return sorted(root.packages())

        names = list(pool.map(install, roots))
        sent = mirror.pool_bytes()
    debs = {path: file.body for path, file in archive.states[0].files.items() if path.endswith(".deb")}
    assert [sorted(path.rpartition("/")[2] for path in debs)] * _CROWD == names
    assert sum(map(len, debs.values())) == sent


def test_auto_apt_proxy__finds_the_cache(tmp_path: Path, home: Path) -> None:
    """The program from Debian knows the cache for one, at the port where it looks."""
    address = f"127.{os.getpid() >> 16 & 127}.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
    # A name server or /etc/hosts says where `apt-proxy` is; the port is always the same.
    program = tmp_path / "bin" / "getent"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{address} apt-proxy'\n", "utf-8")
    program.chmod(0o755)
    environment = clean_environment(home) | {"AUTO_APT_PROXY_NO_CACHE": "1", "TMPDIR": str(tmp_path)}
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"

    def detected() -> str:
        found = subprocess.run(["auto-apt-proxy"], env=environment, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    with serving(tmp_path / "data", home, options=("--host", address, "--port", "3142")):
        assert f"http://{address}:3142" == detected()
    assert f"http://{address}:3142" != detected()


def test_detecting_script__cache_stopped(tmp_path: Path, home: Path, key: Key) -> None:
    """With the script, apt uses the cache while it is there, and goes to the archive itself when it is not."""
    archive = Archive(tmp_path / "archive", Layout.PLAIN, key, _NAMES)
    archive.publish()
    script = tmp_path / "apt-proxy-detect"
    with Mirror(archive.states[0]) as mirror:
        sources = [Source(f"http://{mirror.host}", "stable", "main", str(key.public))]
        root = AptRoot(tmp_path / "root", sources, [f'Acquire::http::Proxy-Auto-Detect "{script}";'])
        with serving(
            tmp_path / "data",
            home,
            options=(
                "--apt-hosts",
                mirror.host,
            ),
        ) as server:
            helper = ["/usr/lib/apt/apt-helper", "-o", "Acquire::http::Proxy=DIRECT"]
            run([*helper, "download-file", f"{server.url}/api/apt-proxy-detect", str(script)], home)
            script.chmod(0o755)
            check(root.update())
            through = server.metric(SENT, upstream="apt")
            check(root.download(_NAMES[0]))
            assert server.metric(SENT, upstream="apt") > through > 0
        root.forget()
        mirror.sent.clear()
        check(root.update())
        check(root.download(_NAMES[0]))
        assert mirror.pool_bytes() > 0


def _release_paths(layout: Layout) -> list[str]:
    name = "Release" if layout is Layout.PAIR else "InRelease"
    return [name] if layout is Layout.FLAT else [f"dists/stable/{name}"]
