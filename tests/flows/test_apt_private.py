"""Private archives through the whole program: who gets which credentials, and that no answer reaches anybody else."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests import exchange
from tests.archive import Archive, deb
from tests.faults import redirect
from tests.flows.apting import client
from tests.flows.asking import content, get
from tests.flows.test_credentials import Door, start
from tests.origin import Origin

ROOT = "/api/v4/projects/42/packages/debian/"
DEMO = deb("demo")
PATHS = ["dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz", DEMO.path, "key.asc"]


@pytest.fixture
def archive(origin: Origin) -> Archive:
    """An archive below a longer path, whose host lets nobody in without a password."""
    archive = Archive(origin, root=ROOT)
    archive.publish(DEMO)
    origin.file(f"{ROOT}key.asc", "key")
    origin.admit = Door("me:s3cret")
    return archive


def entry(origin: Origin, **more: str) -> str:
    """An archive of the settings, at a private address and another port than the usual ones."""
    lines = [f"{key} = {value}" for key, value in {"url": f'"http://{place(origin)}{ROOT}"', **more}.items()]
    return "\n".join(["[[archive]]", *lines, ""])


def place(origin: Origin) -> str:
    """Host and port."""
    return f"{origin.host}:{origin.port}"


def basic(pair: str) -> str:
    """What a client says."""
    return f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize("source", ["env", "netrc", "auth.conf"])
async def test_credentials(tmp_path: Path, archive: Archive, source: str) -> None:
    """The cache authenticates itself, wherever its credentials stand; clients need none, and share what is stored."""
    written, environ = source, {}
    if source == "env":
        written, environ = "env:CORP", {"CORP": "me:s3cret"}
    elif source == "netrc":
        (tmp_path / ".netrc").write_text(f"machine {archive.origin.host} login me password s3cret\n")
    else:
        written = f"auth.conf:{tmp_path}/auth.conf"
        (tmp_path / "auth.conf").write_text(
            f"# apt's\nmachine http://{place(archive.origin)}{ROOT} login me password s3cret  # comment\n"
        )
    async with (
        start(tmp_path, entry(archive.origin, credentials=f'"{written}"', window='"1h"'), **environ) as running,
        client(running) as apt,
        client(running) as other,
    ):
        for each in (apt, other):
            assert [200] * 4 == [(await each.get(archive.url(ROOT + path))).status for path in PATHS]
    assert 1 == archive.origin.count(ROOT + DEMO.path) == archive.origin.count(ROOT + PATHS[0])


async def test_credentials__renewed(tmp_path: Path, archive: Archive) -> None:
    """A password that changed in the file counts from the next refusal on."""
    conf = tmp_path / "auth.conf"
    conf.write_text(f"machine http://{archive.origin.host} login me password 0ld\n")
    toml = entry(archive.origin, credentials=f'"auth.conf:{conf}"')
    async with start(tmp_path, toml) as running, client(running) as apt:
        refused = await apt.get(archive.url(ROOT + PATHS[0]))
        conf.write_text(f"machine http://{archive.origin.host} login me password s3cret\n")
        again = await apt.get(archive.url(ROOT + PATHS[0]))
    assert (502, 200) == (refused.status, again.status)


async def test_credentials__for_that_archive_alone(tmp_path: Path, archive: Archive) -> None:
    """What else is on the host is another archive: it gets no credentials, and its private address is not open."""
    archive.origin.file("/other/key.asc", "key")
    toml = entry(archive.origin, credentials='"env:CORP"')
    async with start(tmp_path, toml, CORP="me:s3cret") as running, client(running) as apt:
        got = await apt.get(archive.url("/other/key.asc"))
    assert (403, True) == (got.status, "apt.hosts" in got.headers["x-error"])
    assert 0 == archive.origin.count()


async def test_client_credentials__are_nobody_elses(tmp_path: Path, archive: Archive) -> None:
    """Each client gets what the archive sends to it; nothing is stored, and without credentials there is nothing."""
    door = archive.origin.admit = Door("me:s3cret", "you:too")
    toml = entry(archive.origin, client_credentials="true")
    async with start(tmp_path, toml) as running, client(running) as apt:
        for path in PATHS:
            url = archive.url(ROOT + path)
            mine = await apt.get(url, basic("me:s3cret"))
            assert (200, "private, no-store", "miss") == (
                mine.status,
                mine.headers["cache-control"],
                mine.headers["x-cache"],
            )
            assert 200 == (await apt.get(url, basic("you:too"))).status
            for stranger in ((), (basic("me:wrong"),)):
                got = await apt.get(url, *stranger)
                assert (401, 'Basic realm="archive"') == (got.status, got.headers["www-authenticate"])
        part = await apt.get(archive.url(ROOT + DEMO.path), basic("me:s3cret"), "Range: bytes=5-8")
        door.pairs = ()
        assert 401 == (await apt.get(archive.url(ROOT + DEMO.path), basic("me:s3cret"))).status
        by_hash = list(archive.state(DEMO).hashed)  # to know a digest is no authorization
        refused = [(await apt.get(archive.url(archive.folder + path))).status for path in by_hash]
        assert [401, 401] == refused
    assert (206, DEMO.body.read(5, 9)) == (part.status, part.body)


async def test_client_credentials__outrank_the_caches_own(tmp_path: Path, archive: Archive) -> None:
    """A client with credentials of its own does not get those of the cache, not even where the archive refuses it."""
    toml = entry(archive.origin, client_credentials="true", credentials='"env:CORP"')
    async with start(tmp_path, toml, CORP="me:s3cret") as running, client(running) as apt:
        url = archive.url(ROOT + PATHS[0])
        assert [200, 401] == [(await apt.get(url)).status, (await apt.get(url, basic("me:wrong"))).status]


async def test_client_credentials__not_wanted(tmp_path: Path, archive: Archive) -> None:
    """Unless the settings say so, credentials of clients do not go upstream, and the answer says why."""
    async with start(tmp_path, entry(archive.origin)) as running, client(running) as apt:
        got = await apt.get(archive.url(ROOT + PATHS[0]), basic("me:s3cret"))
    assert (502, True) == (got.status, "client_credentials" in got.headers["x-error"])
    assert [None] == [request.headers.get("authorization") for request in archive.origin.requests]


async def test_client_credentials__stay_with_the_archive(tmp_path: Path, archive: Archive) -> None:
    """A redirect to another host takes nothing of them along."""
    async with Origin("127.0.0.2") as store:
        store.file("/blob", DEMO.body)
        archive.origin.misbehave(ROOT + DEMO.path, redirect(f"{store.url}/blob"))
        toml = entry(archive.origin, client_credentials="true")
        toml += f'[apt]\nhosts = ["{place(store)}"]\n'
        async with start(tmp_path, toml) as running, client(running) as apt:
            got = await apt.get(archive.url(ROOT + DEMO.path), basic("me:s3cret"))
        assert (200, content(DEMO.body)) == (got.status, got.body)
        assert [None] == [request.headers.get("authorization") for request in store.requests]


async def test_paths_and_agent(tmp_path: Path, archive: Archive) -> None:
    """Further paths, and another User-Agent, for this archive only."""
    archive.origin.admit = None
    archive.origin.file(f"{ROOT}status.json", "{}")
    async with (
        start(tmp_path, entry(archive.origin, paths='["*.json"]', user_agent='"corp"')) as running,
        client(running) as apt,
    ):
        got = [(await apt.get(archive.url(ROOT + path))).status for path in ("status.json", "status.xml")]
    assert [200, 403] == got
    assert {"corp"} == {request.headers["user-agent"] for request in archive.origin.requests}


async def test_browsers__names_of_other_sites(tmp_path: Path, archive: Archive, http: aiohttp.ClientSession) -> None:
    """A page on the internet whose name leads here reads nothing that the cache's own password opens.

    Not even where it names the cache in proxy form. By the archive's own name a browser that has a proxy reads it.
    """
    toml = entry(archive.origin, credentials='"env:CORP"')
    async with start(tmp_path, toml, CORP="me:s3cret") as running:
        url = running.url + archive.url(ROOT + PATHS[0])
        asked = {"User-Agent": "Mozilla/5.0", "Host": "evil.example"}
        async with http.get(url, headers=asked) as answer:
            assert 403 == answer.status
        assert 200 == (await get(http, url)).status

        path, port = archive.url(ROOT + PATHS[0]), urlsplit(running.url).port
        targets = (f"http://evil.example:{port}{path}", f"http://127.0.0.1:{port}{path}", f"http:/{path}")
        lines = "HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n"
        got = [await exchange.send(running.url, f"GET {target} {lines}".encode()) for target in targets]
        assert ["403", "200", "200"] == [each.status for each in got]
