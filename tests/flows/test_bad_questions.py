"""What is asked of the page and the API that nobody can answer: clear answers, and the cache serves on."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from urllib.parse import urlencode

import aiohttp
import pytest

from proxy.app import Running
from tests.conftest import MakeProxy
from tests.flows.asking import address, get, until_kept
from tests.origin import Origin
from tests.wheels import Package, wheel

# Patterns that keep a matcher busy for longer than anybody waits, where it goes back and tries again.
_BOMBS = ("(a+)+$", "(.*a){30}", "^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 4000, "*" * 4000, "\0", "\N{SNOWMAN}", "%", "'--")


@pytest.fixture
async def kept(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> Running:
    """A cache that has files of a long name, which clients got."""
    running = await make_proxy(origin.url)
    for package in (_package(), wheel("demo")):
        origin.publish(package, fmt="json")
        await get(http, address(running, package))
        await until_kept(http, address(running, package))
    return running


def _package() -> Package:
    return wheel("a" * 80)


@pytest.mark.parametrize("text", _BOMBS)
@pytest.mark.parametrize(
    ("path", "name", "answers"),
    [
        ("/", "path", {200}),
        ("/", "client", {200}),
        ("/?view=stored", "q", {200}),
        ("/api/v1/stored", "q", {200}),
        ("/api/v1/who", "what", {200, 400}),
        ("/api/v1/who?what=demo", "version", {200, 400}),
        ("/api/v1/who?what=demo", "client", {200}),
        ("/api/v1/explain", "url", {200, 400}),
    ],
)
async def test_filter__that_would_keep_a_matcher_busy(
    kept: Running, http: aiohttp.ClientSession, text: str, path: str, name: str, answers: set[int]
) -> None:
    """It is a text to look for, or a pattern that is refused; whatever it is, the answer comes."""
    mark = "&" if "?" in path else "?"
    got = await get(http, f"{kept.url}{path}{mark}{urlencode({name: text})}", accept="text/html")

    assert got.status in answers
    assert 200 == (await get(http, f"{kept.url}/healthz")).status


async def test_who__too_many_stars(kept: Running, http: aiohttp.ClientSession) -> None:
    """What is wrong with a pattern is said."""
    got = await get(http, f"{kept.url}/api/v1/who?what={'*a' * 30}")

    assert (400, b"a pattern has at most 200 characters and 4 stars\n") == (got.status, got.body)


async def test_project__that_nobody_knows(kept: Running, http: aiohttp.ClientSession) -> None:
    """Nothing was found is an answer, for a program and for a person."""
    who = await get(http, f"{kept.url}/api/v1/who?what=no-such-project")
    stored = await get(http, f"{kept.url}/api/v1/stored?q=no-such-project")
    page = await get(http, f"{kept.url}/?view=stored&q=no-such-project", accept="text/html")
    answers = await get(http, f"{kept.url}/?path=no-such-project", accept="text/html")

    assert {"rows": [], "more": False} == json.loads(who.body)
    assert {"files": 0, "size": 0, "shown": []} == json.loads(stored.body)
    assert b"Nothing that is stored has that." in page.body
    assert b"<p>None.</p>" in answers.body


@pytest.mark.parametrize("content", [b"no database, no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
async def test_history__damaged_while_nobody_looked(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, content: bytes
) -> None:
    """It is set aside and begun anew: files, page and API are there, with what came since."""
    package = wheel(padding=10_000)
    origin.publish(package, fmt="json")
    first = await make_proxy(origin.url)
    await get(http, address(first, package))
    await until_kept(http, address(first, package))
    folder = first.store.folder
    await first.close()
    (folder / "history.sqlite3").write_bytes(content)

    running = await make_proxy(origin.url)
    got = await get(http, address(running, package))
    now = json.loads((await get(http, f"{running.url}/api/v1/now")).body)
    who = await get(http, f"{running.url}/api/v1/who?what=demo")
    stored = json.loads((await get(http, f"{running.url}/api/v1/stored?order=requests&q={package.filename}")).body)
    page = await get(http, f"{running.url}/", accept="text/html")

    assert ("hit", package.sha256) == (got.source, got.sha256)
    assert [package.body.size] == [day["sent"] for day in now["days"]]
    assert [1] == [row["requests"] for row in json.loads(who.body)["rows"]]
    assert [1] == [one["requests"] for one in stored["shown"]]
    assert 200 == page.status
    assert content == (folder / "history.sqlite3.damaged").read_bytes()


async def test_history__of_a_later_version(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file that this program would misread is no reason not to serve; what needs it says why it cannot be had."""
    package = wheel(padding=10_000)
    origin.publish(package, fmt="json")
    first = await make_proxy(origin.url)
    await get(http, address(first, package))
    await until_kept(http, address(first, package))
    folder = first.store.folder
    await first.close()
    with contextlib.closing(sqlite3.connect(folder / "history.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")

    running = await make_proxy(origin.url)
    got = await get(http, address(running, package))
    who = await get(http, f"{running.url}/api/v1/who?what=demo")
    page = await get(http, f"{running.url}/?view=stored", accept="text/html")
    await running.close()

    assert "hit" == got.source
    assert 503 == who.status
    assert b"later version" in who.body
    assert 200 == page.status
    with contextlib.closing(sqlite3.connect(folder / "history.sqlite3")) as connection:
        assert [(99,)] == connection.execute("PRAGMA user_version").fetchall()
        assert [(1,)] == connection.execute("SELECT sum(requests) FROM requests").fetchall()
