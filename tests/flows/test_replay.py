"""Requests over bare connections: what was answered before leaves by the short way, and nothing slips through it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests import faults, scrape
from tests.conftest import MakeProxy
from tests.gates import Gate
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import wheel

if TYPE_CHECKING:
    from datetime import datetime

    from proxy.app import Running

PAGE = "/pypi/simple/demo/"
HEAD = f"GET {PAGE} HTTP/1.1\r\nHost: cache.example\r\n\r\n".encode()
OTHER = b"GET /readyz HTTP/1.1\r\nHost: cache.example\r\n\r\n"


@dataclass(slots=True)
class Line:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, *pieces: bytes) -> None:
        """Send pieces, each as a packet of its own: the program has seen one before the next leaves."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.01)  # no synchronisation: what is right does not depend on how packets are cut

    async def hear(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer, which has a Content-Length."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, body

    async def ended(self) -> bytes:
        """What came after the answers that were heard, up to the end of the connection."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


@contextlib.asynccontextmanager
async def connected(running: Running) -> AsyncIterator[Line]:
    """A connection to the program."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.url).port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def warm(proxy: Running, origin: Origin) -> Running:
    """The program, which remembers the answer to `HEAD`."""
    origin.publish(wheel())
    async with connected(proxy) as line:
        for _ in range(3):
            await line.say(HEAD)
            await line.hear()
    origin.forget()
    return proxy


async def test_same_head__same_answer(warm: Running) -> None:
    """The remembered answer is the one that the usual way gives, a hit, with a Date."""
    async with connected(warm) as line:
        await line.say(HEAD)
        short = await line.hear()
        await line.say(HEAD.replace(b"\r\n\r\n", b"\r\nX-Other: 1\r\n\r\n"))
        usual = await line.hear()
    short[1].pop("date")
    usual[1].pop("date")
    assert short == usual
    assert short[1]["x-cache"] == "hit"


async def test_same_head__who_has_it(warm: Running) -> None:
    """A client that asks whether the page has changed gets the same head each time, by the short way, too."""
    async with connected(warm) as line:
        await line.say(HEAD)
        _, headers, _ = await line.hear()
        head = HEAD.replace(b"\r\n\r\n", f"\r\nIf-None-Match: {headers['etag']}\r\n\r\n".encode())
        answers = []
        for _ in range(3):
            await line.say(head)
            raw = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            answers.append(sorted(field for field in raw if not field.startswith("Date: ")))
    assert "HTTP/1.1 304 Not Modified" in answers[0]
    assert answers[0] == answers[1] == answers[2]
    assert 3 == scrape.metric(warm, "pullthrough_requests_total", kind="page", outcome="hit", status="3xx")


async def test_same_head__is_counted(warm: Running) -> None:
    """Answers of the short way are in the figures, with their bytes."""
    before = scrape.metric(warm, "pullthrough_requests_total", outcome="hit", kind="page")
    sent = scrape.metric(warm, "pullthrough_sent_bytes_total", source="cache")
    async with connected(warm) as line:
        bodies = []
        for _ in range(5):
            await line.say(HEAD)
            bodies.append((await line.hear())[2])
    assert scrape.metric(warm, "pullthrough_requests_total", outcome="hit", kind="page") == before + 5
    assert scrape.metric(warm, "pullthrough_sent_bytes_total", source="cache") == sent + sum(map(len, bodies))


async def test_same_head__on_many_connections(warm: Running, origin: Origin) -> None:
    """New connections that begin with a remembered head are answered, and upstream is not asked."""
    async with contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(connected(warm)) for _ in range(20)]
        await asyncio.gather(*(line.say(HEAD) for line in lines))
        answers = [await line.hear() for line in lines]
    assert ({200}, 0) == ({status for status, _, _ in answers}, origin.count())


@pytest.mark.parametrize("size", [1, 17, len(HEAD) - 1])
async def test_head__split_over_packets(warm: Running, size: int) -> None:
    """A head that comes in pieces is one request."""
    async with connected(warm) as line:
        await line.say(*(HEAD[at : at + size] for at in range(0, len(HEAD), size)))
        first = await line.hear()
        await line.say(OTHER)
        second = await line.hear()
    assert (200, b"ok\n") == (first[0], second[2])


async def test_pipelined__keep_their_order(warm: Running) -> None:
    """Heads in one packet, remembered and not, are answered one after another."""
    async with connected(warm) as line:
        await line.say(HEAD + OTHER + HEAD + HEAD + OTHER)
        bodies = [(await line.hear())[2] for _ in range(5)]
    assert [b"ok\n" == body for body in bodies] == [False, True, False, False, True]
    assert bodies[0] == bodies[2] == bodies[3]


async def test_remembered_head__behind_a_slow_one(proxy: Running, origin: Origin) -> None:
    """A remembered head that comes while an earlier request is under way waits for its turn."""
    origin.publish(wheel(), wheel("slow"))
    gate = Gate()
    origin.misbehave("/simple/slow/", faults.hold_head(gate))
    slow = HEAD.replace(b"/demo/", b"/slow/")
    async with connected(proxy) as line:
        for _ in range(2):
            await line.say(HEAD)
            await line.hear()
        await line.say(slow)
        await gate.reached.wait()
        await line.say(HEAD)
        gate.open()
        answers = [await line.hear(), await line.hear()]
    assert [b"Links for slow" in body for _, _, body in answers] == [True, False]


async def test_pipelined__with_a_failing_one_in_the_middle(warm: Running) -> None:
    """An error keeps its place, and does not end the connection."""
    missing = HEAD.replace(b"/demo/", b"/missing/")
    async with connected(warm) as line:
        await line.say(HEAD + missing + HEAD)
        assert [(await line.hear())[0] for _ in range(3)] == [200, 404, 200]


async def test_body__that_looks_like_a_remembered_head(warm: Running) -> None:
    """The bytes of a body are never taken for a request: the connection ends after the refusal."""
    async with connected(warm) as line:
        await line.say(f"POST {PAGE} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(HEAD)}\r\n\r\n".encode(), HEAD)
        status, _, _ = await line.hear()
        assert (405, b"") == (status, await line.ended())


async def test_get_with_a_body__that_looks_like_a_remembered_head(warm: Running) -> None:
    """The same for a GET with a length."""
    async with connected(warm) as line:
        await line.say(f"GET {PAGE} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(HEAD)}\r\n\r\n".encode(), HEAD)
        status, _, _ = await line.hear()
        assert (400, b"") == (status, await line.ended())


async def test_chunk__that_looks_like_a_remembered_head(warm: Running) -> None:
    """The same for chunks."""
    async with connected(warm) as line:
        head = f"GET {PAGE} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{len(HEAD):x}\r\n"
        await line.say(head.encode(), HEAD, b"\r\n0\r\n\r\n")
        status, _, _ = await line.hear()
        assert (400, b"") == (status, await line.ended())


async def test_length_and_chunks__with_a_remembered_head_behind(warm: Running) -> None:
    """CL+TE: refused, and what follows is not answered (RFC 9112 §6.1)."""
    async with connected(warm) as line:
        smuggled = b"0\r\n\r\n" + HEAD
        head = (
            f"GET {PAGE} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(smuggled)}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await line.say(head.encode(), smuggled)
        status, _, _ = await line.hear()
        assert (400, b"") == (status, await line.ended())


async def test_unfinished_head__then_a_remembered_one(warm: Running) -> None:
    """A head whose last field goes on in the next packet swallows it: it is refused, and nothing replayed."""
    async with connected(warm) as line:
        await line.say(b"GET /readyz HTTP/1.1\r\nHost: a\r\nX-Part: ", HEAD)
        status, _, _ = await line.hear()
        assert (400, b"") == (status, await line.ended())


async def test_upgrade__then_a_remembered_head(warm: Running) -> None:
    """A wish for another protocol is not granted; the connection stays HTTP, each request answered once."""
    async with connected(warm) as line:
        upgrade = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        await line.say(upgrade + HEAD)
        first = await line.hear()
        second = await line.hear()
        await line.say(HEAD)
        third = await line.hear()
    assert (b"ok\n", second[2]) == (first[2], third[2])


async def test_client_that_only_writes(warm: Running) -> None:
    """A thousand pipelined heads that nobody reads do not stop the server for others."""
    async with connected(warm) as greedy, connected(warm) as line:
        greedy.writer.write(HEAD * 1000)
        await line.say(HEAD)
        assert (await line.hear())[0] == 200


@pytest.mark.parametrize("wish", [b"Connection: close", b"Range: bytes=0-4", b"If-None-Match: *"])
async def test_other_kinds_of_request__are_right_each_time(warm: Running, wish: bytes) -> None:
    """What is no plain whole answer on a connection that stays is right the third time too."""
    answers = []
    for _ in range(3):
        async with connected(warm) as line:
            await line.say(HEAD.replace(b"\r\n\r\n", b"\r\n" + wish + b"\r\n\r\n"))
            status, headers, body = await line.hear() if wish[:2] != b"If" else await _hear_bodiless(line)
            answers.append((status, body, headers.get("connection")))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == {b"C": 200, b"R": 206, b"I": 304}[wish[:1]]


async def _hear_bodiless(line: Line) -> tuple[int, dict[str, str], bytes]:
    raw = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    return int(raw.split(" ")[1]), {}, b""


async def test_no_cache__is_never_answered_from_memory(make_proxy: MakeProxy, origin: Origin) -> None:
    """A client that asks for a revalidation gets one each time, though its head was seen before."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    head = HEAD.replace(b"\r\n\r\n", b"\r\nCache-Control: no-cache\r\n\r\n")
    async with connected(running) as line:
        outcomes = []
        for _ in range(4):
            await line.say(head)
            outcomes.append((await line.hear())[1]["x-cache"])
    assert outcomes == ["miss", "revalidated", "revalidated", "revalidated"]
    assert origin.count() == 4


async def test_stale_page__is_asked_for_each_time(make_proxy: MakeProxy, origin: Origin) -> None:
    """A page past its life is not answered from memory."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    async with connected(running) as line:
        for _ in range(3):
            await line.say(HEAD)
            await line.hear()
    assert origin.count() == 3


async def test_file__by_the_short_way(warm: Running, origin: Origin) -> None:
    """A short file is the same bytes each time; upstream sends it once."""
    package = wheel()
    head = HEAD.replace(PAGE.encode(), f"/pypi/packages/{package.filename}".encode())
    async with connected(warm) as line:
        bodies = []
        for _ in range(6):
            await line.say(head)
            bodies.append((await line.hear())[2])
    assert {package.body.read(0, package.body.size)} == set(bodies)
    assert origin.count() == 1


async def test_file_of_128_kib__by_the_short_way(proxy: Running, origin: Origin) -> None:
    """A file too long to be kept in memory leaves from disk, whole."""
    package = wheel(padding=128 << 10)
    origin.publish(package)
    head = HEAD.replace(PAGE.encode(), f"/pypi/packages/{package.filename}".encode())
    async with connected(proxy) as line:
        bodies = []
        for _ in range(6):
            await line.say(head)
            bodies.append((await line.hear())[2])
    assert {package.body.read(0, package.body.size)} == set(bodies)
    assert origin.count(f"/packages/{package.filename}") == 1


async def test_busy_file__read_after_its_second(proxy: Running, origin: Origin) -> None:
    """A client that reads late gets the answer as it left, though others have a newer head by then."""
    package = wheel(padding=100 << 10)
    origin.publish(package)
    head = HEAD.replace(PAGE.encode(), f"/pypi/packages/{package.filename}".encode())
    async with connected(proxy) as busy, connected(proxy) as late:

        async def asked() -> datetime:
            busy.writer.write(head)
            _, fields, body = await busy.hear()
            assert package.body.read(0, package.body.size) == body
            return parsedate_to_datetime(fields["date"])

        first = [await asked() for _ in range(20)][-1]  # by a file from now on
        late.writer.write(head)
        last = await asked()
        while await asked() == last:
            pass
        status, fields, body = await late.hear()
    assert status == 200
    assert first <= parsedate_to_datetime(fields["date"]) <= last
    assert package.body.read(0, package.body.size) == body


async def test_page__that_another_client_had_renewed(proxy: Running, origin: Origin) -> None:
    """Who asks in the old way gets the new page at once, as by the usual way."""
    origin.publish(wheel("demo", "1.0"))
    async with connected(proxy) as line, connected(proxy) as other:
        for _ in range(3):
            await line.say(HEAD)
            await line.hear()
        origin.publish(wheel("demo", "2.0"))
        anew = HEAD.replace(b"\r\n\r\n", b"\r\nCache-Control: no-cache\r\n\r\n")
        while True:
            await other.say(anew)
            if b"demo-2.0" in (await other.hear())[2]:
                break
        await line.say(HEAD)
        assert b"demo-2.0" in (await line.hear())[2]


async def test_page__that_may_not_be_stored(make_proxy: MakeProxy, origin: Origin) -> None:
    """It is asked for each time, in memory there is nothing of it either."""
    origin.publish(wheel())
    origin.misbehave("/simple/demo/", faults.headers(("Cache-Control", "no-store")))
    heeding = {"mount": "heeding", "url": origin.url, "honour_no_store": True}
    head = HEAD.replace(b"/pypi/", b"/heeding/")
    async with connected(await make_proxy(origin.url, upstreams=[heeding])) as line:
        for number in range(1, 4):
            await line.say(head)
            _, headers, _ = await line.hear()
            assert ("miss", number) == (headers["x-cache"], origin.count("/simple/demo/"))


async def test_page__with_links_to_the_address_that_was_reached(make_proxy: MakeProxy, origin: Origin) -> None:
    """By another address, the same head gets a page of its own: only one of them is certain."""
    origin.publish(wheel(), fmt="both")
    port = urlsplit((await make_proxy(origin.url, host="0.0.0.0")).url).port
    here = f"127.0.0.1:{port}"
    head = f"GET {PAGE} HTTP/1.1\r\nHost: {here}\r\nAccept: {JSON}\r\nConnection: keep-alive\r\n\r\n".encode()
    absolute = []
    for address in ("127.0.0.1", "127.0.0.2") * 2:
        reader, writer = await asyncio.open_connection(address, port)
        line = Line(reader, writer)
        await line.say(head)
        absolute.append(f'"http://{here}/'.encode() in (await line.hear())[2])
        writer.close()
        await writer.wait_closed()
    assert [True, False] * 2 == absolute


async def test_page__asked_for_by_a_server_in_front(make_proxy: MakeProxy, origin: Origin) -> None:
    """It may name the cache's own address, which its clients cannot know; links are relative then."""
    origin.publish(wheel(), fmt="both")
    here = (await make_proxy(origin.url)).url.removeprefix("http://")
    new_nginx = f"GET {PAGE} HTTP/1.1\r\nHost: {here}\r\nAccept: {JSON}\r\n\r\n".encode()
    straight = new_nginx.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    nginx = new_nginx.replace(b"1.1\r\n", b"1.0\r\n").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    apache = straight.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
    whole = []
    for head in (straight, nginx, apache, new_nginx) * 2:
        reader, writer = await asyncio.open_connection(*here.split(":"))
        line = Line(reader, writer)
        await line.say(head)
        whole.append(f'"http://{here}/'.encode() in (await line.hear())[2])
        writer.close()
        await writer.wait_closed()
    assert [True, False, False, False] * 2 == whole


@pytest.mark.parametrize("seed", range(8))
async def test_packets__do_not_matter(warm: Running, seed: int) -> None:
    """However the same requests are cut into packets, the same answers come in the same order."""
    chance = random.Random(seed)
    missing = HEAD.replace(b"/demo/", b"/none/")
    async with connected(warm) as line:
        for _ in range(10):
            chosen = [chance.choice([HEAD, HEAD, OTHER, missing]) for _ in range(chance.randint(1, 6))]
            stream = b"".join(chosen)
            cuts = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(chance.randint(0, 3)))})
            await line.say(*(stream[start:end] for start, end in itertools.pairwise(cuts)))
            answers = [await line.hear() for _ in chosen]
            assert [404 if head == missing else 200 for head in chosen] == [status for status, _, _ in answers]
            assert [head == OTHER for head in chosen] == [body == b"ok\n" for _, _, body in answers]
