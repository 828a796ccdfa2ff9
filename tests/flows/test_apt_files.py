"""Files of archives as upstream has them now: what no index vouches for, what several do, and what is asked anew."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.archive import Archive, Deb, deb
from tests.bodies import Noise, sha256
from tests.conftest import MakeProxy
from tests.exchange import send
from tests.faults import captive_portal, flipped, gzipped, headers, hold_body, status
from tests.flows.apting import client, start, update
from tests.flows.asking import SteppedClock, get, until_idle
from tests.flows.conftest import MakeClocked
from tests.gates import Gate
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

LATEST = "/direct/browser_current_amd64.deb"
INITRD = "/debian/dists/stable/main/installer-amd64/current/images/netboot/initrd.gz"
AR = b"!<arch>\n"
LONG = Noise(3_000_000)
HTML = headers(("Content-Type", "text/html"))


def older(days: float) -> str:
    """A date that was `days` ago in the clocked program's time."""
    return formatdate(1_790_000_000.0 - 86_400 * days, usegmt=True)


@pytest.fixture
async def running(make_clocked: MakeClocked, origin: Origin) -> Running:
    """The program with a window of 20 s, on the test's clock."""
    return await start(make_clocked, origin, window=20)


@pytest.fixture
def url(running: Running, origin: Origin) -> Callable[[str], str]:
    """What the cache calls a path of the origin."""
    return lambda path: f"{running.url}/{origin.host}:{origin.port}{path}"


async def test_latest__replaced(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """A package that no index lists is asked for once in a window, and never said to last."""
    answers = []
    for content in (b"one", b"two!"):
        origin.file(LATEST, AR + content, last_modified=older(3))
        for _ in range(3):
            answers.append(await get(http, url(LATEST)))
            await until_idle(running)
        clock.advance(30)

    assert [AR + b"one"] * 3 + [AR + b"two!"] * 3 == [answer.body for answer in answers]
    assert ["miss", "hit", "hit"] * 2 == [answer.source for answer in answers]
    assert {"no-cache"} == {answer.headers["cache-control"] for answer in answers}


@pytest.mark.parametrize("day", [1.0, 3.0, 9.0], ids=["newer", "same-date", "older"])
async def test_latest__dates_that_lie(
    running: Running,
    origin: Origin,
    clock: SteppedClock,
    http: aiohttp.ClientSession,
    url: Callable[[str], str],
    day: float,
) -> None:
    """Another file is noticed by its length or date, though upstream says 304 of each date before its present one."""
    origin.file(LATEST, AR + b"one", last_modified=older(3), etag=None)
    await get(http, url(LATEST))
    await until_idle(running)
    origin.file(LATEST, AR + b"another", last_modified=older(day), etag=None)
    clock.advance(30)

    assert AR + b"another" == (await get(http, url(LATEST))).body


async def test_no_cache__same_date_and_length(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """For a client's no-cache, a file is fetched though its date and length are those of before; all get it then."""
    origin.file(LATEST, AR + b"one", last_modified=older(3), etag=None)
    for _ in range(2):
        await get(http, url(LATEST))
        await until_idle(running)
    origin.file(LATEST, AR + b"two", last_modified=older(3), etag=None)
    clock.advance(3)

    forced = await get(http, url(LATEST), cache_control="no-cache")
    await until_idle(running)
    again = await get(http, url(LATEST))

    assert [AR + b"two"] * 2 == [forced.body, again.body]
    assert ["miss", "hit"] == [forced.source, again.source]


async def test_latest__upstream_is_down(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """When upstream fails, what is stored is served."""
    origin.file(LATEST, AR + b"one")
    await get(http, url(LATEST))
    await until_idle(running)
    clock.advance(30)
    origin.misbehave(LATEST, status(500))
    failing = [await get(http, url(LATEST)), await get(http, url(LATEST), cache_control="no-cache")]
    await origin.stop()
    clock.advance(300)
    down = await get(http, url(LATEST))

    assert [(200, AR + b"one", "stale")] * 3 == [(one.status, one.body, one.source) for one in [*failing, down]]


async def test_document__streams(
    running: Running, origin: Origin, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """An installer image is sent as it arrives."""
    gate = Gate()
    origin.file(INITRD, LONG, ranges=False)
    origin.misbehave(INITRD, hold_body(1_000_000, gate))
    async with http.get(url(INITRD)) as response:
        begun = await response.content.readexactly(500_000)
        gate.open()
        rest = await response.content.read()

    assert (LONG.size, sha256(LONG)) == (len(begun + rest), hashlib.sha256(begun + rest).hexdigest())


async def test_listed__streams(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, archive_of: Callable[[bytes], Archive]
) -> None:
    """A long index that the cache does not parse is sent as it arrives, though a Release file lists it."""
    content = LONG.read(0, LONG.size)
    archive = archive_of(content)
    running = await start(make_proxy, origin)
    path = f"{archive.folder}main/Contents-amd64.gz"
    gate = Gate()
    origin.misbehave(path, hold_body(1_000_000, gate))
    await get(http, running.url + archive.url(archive.folder + "InRelease"))
    async with http.get(running.url + archive.url(path)) as response:
        begun = await response.content.readexactly(500_000)
        gate.open()
        rest = await response.content.read()

    assert content == begun + rest


@pytest.fixture
def archive_of(origin: Origin) -> Callable[[bytes], Archive]:
    """An archive that has and lists long Contents."""

    def make(content: bytes) -> Archive:
        archive = Archive(origin, by_hash=False)
        state = archive.state(deb("demo"), further={"main/Contents-amd64.gz": content})
        archive.show(state)
        origin.file(f"{archive.folder}main/Contents-amd64.gz", content, etag=None, ranges=False)
        return archive

    return make


async def test_html__from_a_server_that_calls_everything_so(
    running: Running, origin: Origin, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """The bytes of a file count, and not its media type."""
    archive = Archive(origin)
    listed = deb("demo")
    archive.publish(listed)
    page = b"<!DOCTYPE html><html><body>What is new</body></html>"
    files = {
        "/debian/" + listed.path: listed.body.read(0, listed.body.size),
        LATEST: AR + b"one",
        INITRD: gzip.compress(b"initrd"),
        "/keys/archive.asc": b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
        "/debian/dists/stable/main/dist-upgrader-all/current/ReleaseAnnouncement.html": page,
        "/debian/dists/stable/main/installer-amd64/current/doc/manual/en/index.htm": page,
    }
    for path, body in files.items():
        if path != "/debian/" + listed.path:
            origin.file(path, body)
    origin.misbehave(None, HTML)
    async with client(running) as apt:
        _, index, same = await update(apt, archive)

    assert index is not None
    assert (200, True) == (index.status, same)
    assert files == {path: (await get(http, url(path))).body for path in files}


@pytest.mark.parametrize("path", [LATEST, INITRD, "/keys/archive.asc", "/changelogs/a_changelog"])
@pytest.mark.parametrize("said", ["text/html", "application/octet-stream"])
async def test_portal(
    running: Running,
    origin: Origin,
    clock: SteppedClock,
    http: aiohttp.ClientSession,
    url: Callable[[str], str],
    path: str,
    said: str,
) -> None:
    """A portal's page is no file, whatever its type, and does not replace a stored one."""
    portal = (captive_portal(), headers(("Content-Type", said)))
    origin.file(path, AR + b"right")
    origin.misbehave(path, *portal)
    first = await get(http, url(path))
    origin.behave()
    clock.advance(120)
    right = await get(http, url(path))
    await until_idle(running)
    origin.misbehave(path, *portal)
    clock.advance(120)
    again = await get(http, url(path))

    assert [502, 200, 200] == [first.status, right.status, again.status]
    assert [(AR + b"right", "miss"), (AR + b"right", "stale")] == [(one.body, one.source) for one in (right, again)]


async def test_coded__does_not_replace_a_good_key(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """A key that comes coded one day is decoded, and confirmed as any other."""
    path = "/keys/archive.asc"
    keys = [f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n{number}\n".encode() * 40 for number in range(3)]
    answers = []
    for number, key in enumerate(keys):
        origin.file(path, key)
        origin.behave()
        if number == 1:
            origin.misbehave(path, gzipped())
        answers += [await get(http, url(path))]
        await until_idle(running)
        answers += [await get(http, url(path))]
        clock.advance(30)

    assert [key for key in keys for _ in range(2)] == [answer.body for answer in answers]
    assert [200] * 6 == [answer.status for answer in answers]


async def test_without_a_release_file(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """In a folder with an index alone, that index says what packages are: they are checked, and last."""
    package = "/builds/app_1.0_amd64.deb"
    seen = []
    for days, content in ((3, "first"), (2, "again!")):
        built = Deb("app", deb("app", content).body, folder="./")
        index = gzip.compress(built.paragraph().encode(), mtime=0)
        origin.file("/builds/Packages.gz", index, etag=None, last_modified=older(days))
        origin.file(package, built.body, etag=None, last_modified=older(days))
        await get(http, url("/builds/Packages.gz"))
        await until_idle(running)
        for _ in range(2):
            seen.append(await get(http, url(package)))
            await until_idle(running)
        clock.advance(30)
    origin.misbehave(package, flipped(2))
    wrong = await get(http, url(package), cache_control="no-cache")

    assert [b"first", b"first", b"again!", b"again!"] == [one.body for one in seen]
    assert all("immutable" in one.headers["cache-control"] for one in seen)
    assert (b"again!", "hit") == (wrong.body, wrong.source)


@pytest.mark.parametrize("kind", ["sha256", "sha512", "sha1", "md5"])
async def test_sources(
    running: Running, origin: Origin, http: aiohttp.ClientSession, url: Callable[[str], str], kind: str
) -> None:
    """Files of sources are checked by their index, whatever kind of sums it has."""
    field = {"sha256": "Checksums-Sha256", "sha512": "Checksums-Sha512", "sha1": "Checksums-Sha1", "md5": "Files"}[kind]
    body = Noise(200_000)
    content = body.read(0, body.size)
    digest = hashlib.new(kind, content).hexdigest()
    text = f"Package: demo\nDirectory: pool/d\n{field}:\n {digest} {body.size} demo_1.tar.xz\n"
    archive = Archive(origin)
    archive.show(archive.state(deb("demo"), further={"main/source/Sources": text.encode()}))
    path = "/debian/pool/d/demo_1.tar.xz"
    origin.file(path, body)
    for name in ("InRelease", "main/source/Sources"):
        await get(http, url(archive.folder + name))
    await until_idle(running)
    origin.misbehave(path, flipped(199_000))

    wrong = await get(http, url(path))
    await until_idle(running)
    other = await get(http, url("/debian/pool/d/other_1.tar.xz"))

    assert (200, True) == (wrong.status, wrong.broken)
    assert 404 == other.status


async def test_hot__dropped_when_an_index_is_learnt(
    running: Running, origin: Origin, clock: SteppedClock, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """An answer that leaves by the short way is the one that the newest index lists."""
    archive = Archive(origin)
    bodies = []
    for content in ("one", "two!"):
        archive.publish(deb("demo", content), modified=1_735_689_600.0 + len(content))
        async with client(running) as apt:
            await update(apt, archive)
        await until_idle(running)
        head = f"GET {archive.url('/debian/' + deb('demo').path)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        for _ in range(4):
            bodies.append((await send(running.url, head.encode())).rest.rpartition(b"\r\n\r\n")[2])
            await until_idle(running)
        clock.advance(21)

    assert [b"one"] * 4 + [b"two!"] * 4 == bodies


async def test_release_file_of_a_component__listed_wrong(
    running: Running, origin: Origin, http: aiohttp.ClientSession, url: Callable[[str], str]
) -> None:
    """It is given as upstream has it, and holds up no later state of the suite."""
    archive = Archive(origin)
    path = "main/binary-amd64/Release"
    archive.show(archive.state(deb("demo"), further={path: b""}))
    origin.file(archive.folder + path, b"Component: main\n")
    await get(http, url(archive.folder + "InRelease"))

    assert b"Component: main\n" == (await get(http, url(archive.folder + path))).body
