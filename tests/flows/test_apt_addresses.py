"""Addresses of archives as they are: files beside dists/ and pool/, odd spellings, shields in front of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.answers import Answer, Request
from tests.archive import Archive, deb
from tests.conftest import MakeProxy
from tests.flows.apting import client, start
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running


@pytest.fixture
async def archive(origin: Origin) -> Archive:
    """A small archive."""
    archive = Archive(origin)
    archive.publish(deb("demo"))
    return archive


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """The program, to which the settings name the archive's host."""
    return await start(make_proxy, origin)


@pytest.mark.parametrize(
    "path",
    [
        "/linux/gpgkey",
        "/keys/VENDOR.PUB",
        "/RPM-GPG-KEY-vendor",
        "/US.txt",
        "/debian/project/trace/mirror.example",
        "/debian/indices/Maintainers.gz",
        "/debian/doc/mailing-lists.txt",
        "/debian/tools/loader.exe",
        "/debian/pool/main/d/demo/demo-1.0.tar.lz",
    ],
)
async def test_beside_the_suites(archive: Archive, running: Running, path: str) -> None:
    """What archives have beside suites and packages needs no setting."""
    archive.origin.file(path, "it")

    async with client(running) as apt:
        got = await apt.get(archive.url(path))

    assert (200, b"it") == (got.status, got.body)


@pytest.mark.parametrize(
    "path",
    [
        "/debian/pool/main/g/g++/g++_1:2~x_amd64.deb",
        "/debian/pool/main/g/g%2b%2B/g%2b%2B_1%3a2%7ex_amd64.deb",
        "/projects/group%2Fproject/packages/debian/pool/a_1.0_amd64.deb",
        "/a+b/c:d/dists/x/InRelease",
        "/a+b/c:d/dists/x/main/other.txt",
        "/a%20(b)/keys/a@b!$&'*,;=.key",
    ],
)
async def test_spelling__goes_upstream_as_it_came(archive: Archive, running: Running, path: str) -> None:
    """Servers distinguish a plus sign from an encoded one, and a slash, too."""
    archive.origin.file(path, archive.state().inrelease)

    async with client(running) as apt:
        assert 200 == (await apt.get(archive.url(path))).status

    assert {path} == {request.target for request in archive.origin.requests}


async def test_spelling__of_what_belongs_together(archive: Archive, running: Running) -> None:
    """What the cache asks for by itself is spelt as the client spelt what it asked for."""
    odd = Archive(archive.origin, root="/a+b:c/", inline=False, by_hash=False)
    odd.publish(deb("demo"))

    async with client(running) as apt:
        for path in ("Release", "Release.gpg", "main/binary-amd64/Packages.gz"):
            assert 200 == (await apt.get(odd.url(odd.folder + path))).status

    asked = {request.target for request in archive.origin.requests}
    assert {"/a+b:c/dists/stable/Release", "/a+b:c/dists/stable/Release.gpg"} < asked
    assert [] == [target for target in asked if not target.startswith("/a+b:c/")]


async def test_host__with_a_dot_at_its_end(archive: Archive, running: Running) -> None:
    """It is the same host, under the same permission."""
    path = archive.url(archive.root + deb("demo").path).replace(":", ".:", 1)

    async with client(running) as apt:
        await apt.get(archive.url(archive.folder + "InRelease"))
        await apt.get(archive.url(archive.folder + archive.binary + "Packages.gz"))
        answers = [await apt.get(target) for target in (path, f"http:/{path}", path.replace(".:", ":"))]

    assert [200] * 3 == [answer.status for answer in answers]
    assert 1 == archive.origin.count(archive.root + deb("demo").path)


@pytest.mark.parametrize(
    ("settings", "agent"),
    [({}, "Debian APT-HTTP/1."), ({"user_agent": "Debian Apt-Cacher-NG/3.7.4"}, "Debian Apt-Cacher-NG/3.7.4")],
)
async def test_user_agent__as_shields_want_it(
    archive: Archive, make_proxy: MakeProxy, settings: dict[str, str], agent: str
) -> None:
    """Archives that let only apt through let the cache through."""

    def shield(request: Request) -> Answer | None:
        return None if request.headers["user-agent"].startswith(agent) else Answer(403)

    archive.origin.admit = shield
    running = await start(make_proxy, archive.origin, **settings)
    async with client(running) as apt:
        for path in ("dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz", deb("demo").path):
            assert 200 == (await apt.get(archive.url(archive.root + path))).status


@pytest.mark.parametrize(
    ("target", "setting"),
    [
        ("/other.example/debian/dists/stable/InRelease", "apt.hosts"),
        ("/127.0.0.1:1/debian/dists/stable/InRelease", "apt.hosts"),
        ("{archive}/debian/secret.php", "apt.paths"),
        ("http://{host}/debian/secret.php", "apt.paths"),
        ("https://deb.example/debian/dists/stable/InRelease", "http://HTTPS///"),
    ],
)
async def test_refused__says_by_which_rule(archive: Archive, running: Running, target: str, setting: str) -> None:
    """The answer names the rule of the cache that refuses: in the body, and where apt shows it."""
    target = target.format(archive=archive.url(""), host=f"{archive.origin.host}:{archive.origin.port}")

    async with client(running) as apt:
        got = await apt.get(target)

    assert (403, True) == (got.status, setting in got.body.decode())
    assert setting in got.headers["x-error"]


async def test_refused__private_address(make_proxy: MakeProxy) -> None:
    """Without a list of hosts, those at private addresses are to be named."""
    running = await start(make_proxy)

    async with client(running) as apt:
        got = await apt.get("/127.0.0.1/debian/dists/stable/InRelease")

    assert (403, True) == (got.status, "apt.hosts" in got.headers["x-error"])
