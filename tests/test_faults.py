"""Each fault of the tests' upstream is on the wire what its description says."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from tests import faults
from tests.exchange import Exchange, ask
from tests.faults import Fault
from tests.gates import Gate
from tests.origin import Origin

_PATH = "/packages/demo-1.0-py3-none-any.whl"
_BODY = bytes(range(256)) * 4


async def test_gate__before_head(origin: Origin) -> None:
    """Nothing leaves before the gate opens."""
    gate = Gate()
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.hold_head(gate))
    asking = [asyncio.create_task(ask(origin.url + _PATH)) for _ in range(3)]

    await gate.until_arrived(3)
    assert (0, 3) == (origin.sent_body_bytes(), origin.open_connections)
    gate.open()

    assert [_BODY] * 3 == [answer.rest for answer in await asyncio.gather(*asking)]


async def test_gate__in_body(origin: Origin) -> None:
    """Exactly so many bytes of the body leave before the gate opens."""
    gate = Gate()
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.hold_body(100, gate))
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"GET {_PATH} HTTP/1.1\r\n\r\n".encode())

    await gate.reached.wait()
    await reader.readuntil(b"\r\n\r\n")
    assert (_BODY[:100], 100) == (await reader.readexactly(100), origin.sent_body_bytes())
    gate.open()

    assert _BODY[100:] == await reader.readexactly(len(_BODY) - 100)
    writer.close()


async def test_gate__client_goes_away(origin: Origin) -> None:
    """An answer that is held back ends when its client goes away."""
    gate = Gate()
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.hold_head(gate))
    asking = asyncio.create_task(ask(origin.url + _PATH))
    await gate.reached.wait()

    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"GET {_PATH} HTTP/1.1\r\n\r\n".encode())
    await gate.until_arrived(2)
    writer.close()
    await origin.until(lambda: origin.open_connections == 1)

    gate.open()
    assert _BODY == (await asking).rest
    assert b"" == await reader.read()


@pytest.mark.parametrize("reset", [False, True])
async def test_cut__in_body(origin: Origin, reset: bool) -> None:
    """The connection ends in the middle of the body, in the way that was asked for."""
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.cut(700, reset=reset))

    answer = await ask(origin.url + _PATH)

    assert f"Content-Length: {len(_BODY)}" in answer.head
    assert (_BODY[:700], reset, 700) == (answer.rest, answer.reset, origin.sent_body_bytes())


@pytest.mark.parametrize("reset", [False, True])
async def test_hang_up__before_head(origin: Origin, reset: bool) -> None:
    """The connection ends before the answer begins."""
    origin.misbehave(None, faults.hang_up(reset=reset))

    assert Exchange("", b"", reset) == await ask(origin.url + _PATH)


@pytest.mark.parametrize(
    ("fault", "status", "rest"),
    [
        (faults.chunked(), "200", b"4\r\nabcd\r\n0\r\n\r\n"),
        (faults.unfinished_chunks(), "200", b"4\r\nabcd\r\n"),
        (faults.until_close(), "200", b"abcd"),
        (faults.trailers(1), "200", b"4\r\nabcd\r\n0\r\nX-Filler-0: x\r\n\r\n"),
        (faults.length_and_chunks(4), "200", b"4\r\nabcd\r\n0\r\n\r\n"),
        (faults.declares(9), "200", b"abcd"),
        (faults.declares(2), "200", b"abcd"),
        (faults.flipped(1), "200", b"a\x9dcd"),
        (faults.longer(b"ef"), "200", b"abcdef"),
        (faults.shorter(2), "200", b"ab"),
        (faults.other_body(b"xyz"), "200", b"xyz"),
        (faults.unasked_range(1, 3), "206", b"bc"),
        (faults.bare_304(), "304", b""),
        (faults.redirect("/elsewhere", 301), "301", b""),
        (faults.gzipped(), "200", gzip.compress(b"abcd", mtime=0)),
        (faults.bad_status_line(), "okay", b""),
    ],
)
async def test_fault__on_the_wire(origin: Origin, fault: Fault, status: str, rest: bytes) -> None:
    """Each fault looks on the wire as its description says."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, fault)

    answer = await ask(origin.url + _PATH)

    assert (status, rest) == (answer.status, answer.rest)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.two_lengths(9), "Content-Length: 4\r\n|Content-Length: 9"),
        (faults.length_and_chunks(4), "Transfer-Encoding: chunked|Content-Length: 4"),
        (faults.declares(9), "Content-Length: 9"),
        (faults.redirect("//files.example/x"), " 302 Found|Location: //files.example/x"),
        (faults.huge_header(70_000), "X-Filler: " + "x" * 70_000),
        (faults.many_headers(300), "X-Filler-0: x|X-Filler-299: x"),
        (faults.headers(("X-Odd", "a\x00b")), "X-Odd: a\x00b"),
        (faults.captive_portal(), " 200 OK|Content-Type: text/html"),
        (faults.early_hints(2), "HTTP/1.1 103 Early Hints"),
    ],
)
async def test_fault__in_head(origin: Origin, fault: Fault, expected: str) -> None:
    """What is wrong with the head is written as it is, though no library would."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, fault)

    head = (await ask(origin.url + _PATH)).head

    assert [] == [part for part in expected.split("|") if part not in head]


async def test_fault__without_headers(origin: Origin) -> None:
    """A gateway that strips validators leaves none."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, faults.without_headers("etag", "last-modified"))

    head = (await ask(origin.url + _PATH)).head.lower()

    assert "etag" not in head
    assert "last-modified" not in head


@pytest.mark.parametrize(
    ("fault", "status", "rest", "content_range"),
    [
        (faults.ignores_range(), "200", b"abcdefgh", ""),
        (faults.shifted_range(1), "206", b"def", "bytes 3-5/8"),
    ],
)
async def test_fault__range(origin: Origin, fault: Fault, status: str, rest: bytes, content_range: str) -> None:
    """Ranges may be ignored, or answered with others."""
    origin.file(_PATH, b"abcdefgh")
    origin.misbehave(_PATH, fault)

    answer = await ask(origin.url + _PATH, Range="bytes=2-4")

    assert (status, rest) == (answer.status, answer.rest)
    assert content_range in answer.head


async def test_fault__several_at_once(origin: Origin) -> None:
    """Faults of one call add up on the same answer."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, faults.flipped(0), faults.chunked(), faults.cut(2))

    assert b"2\r\n\x9eb\r\n" == (await ask(origin.url + _PATH)).rest


async def test_gzip_bomb__size(origin: Origin) -> None:
    """A bomb is small on the wire and large behind it."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, faults.gzip_bomb(3_000_000))

    answer = await ask(origin.url + _PATH)

    assert "Content-Encoding: gzip" in answer.head
    assert len(answer.rest) < 10_000
    assert 3_000_000 == len(gzip.decompress(answer.rest))


async def test_endless__until_client_leaves(origin: Origin) -> None:
    """A body without end is sent until the client has enough."""
    origin.file(_PATH, b"abcd")
    origin.misbehave(_PATH, faults.endless())
    reader, writer = await asyncio.open_connection(origin.host, origin.port)
    writer.write(f"GET {_PATH} HTTP/1.1\r\n\r\n".encode())

    received = await reader.readexactly(2_000_000)
    writer.transport.abort()
    await origin.until(lambda: origin.open_connections == 0)

    assert b"chunked" in received
    assert origin.sent_body_bytes(_PATH) >= 1_900_000


async def test_throttled__arrives_whole(origin: Origin) -> None:
    """A slow upstream sends the same bytes."""
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.throttled(40_960))

    assert _BODY == (await ask(origin.url + _PATH)).rest
