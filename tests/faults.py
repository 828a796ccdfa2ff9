"""Ways in which an upstream goes wrong. Each makes a `Fault`: a function that spoils a right answer.

A test hands them to `Origin.misbehave`; several in one call are applied one after another to the same answer.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

from tests.answers import Answer, Framing, Request
from tests.bodies import Body, Flipped, Joined, Noise, Plain, as_body, pieces
from tests.gates import Gate

Fault = Callable[[Request, Answer], Answer]
_HTML = ("Content-Type", "text/html; charset=utf-8")


def _each(change: Callable[[Answer], Answer]) -> Fault:
    return lambda _, answer: change(answer)


# Timing


def hold_head(gate: Gate) -> Fault:
    """Accept the request and say nothing until the gate opens."""
    return _each(lambda answer: replace(answer, head_gate=gate))


def silent() -> Fault:
    """Accept the request and never say anything."""
    return _each(lambda answer: replace(answer, head_gate=Gate()))


def hold_body(after: int, gate: Gate) -> Fault:
    """Stop after `after` bytes of this answer's body until the gate opens."""
    return _each(lambda answer: replace(answer, body_gates=(*answer.body_gates, (after, gate))))


def throttled(rate: int) -> Fault:
    """Send `rate` bytes a second on this connection. For measurements: no test asserts a time."""
    return _each(lambda answer: replace(answer, rate=rate))


def in_pieces(size: int) -> Fault:
    """Write `size` bytes of the body at once, and let everybody else have a turn between them. Legal."""
    return _each(lambda answer: replace(answer, piece=size))


# Transfers that break


def hang_up(*, reset: bool = False) -> Fault:
    """End the connection before any answer."""
    return _each(lambda answer: replace(answer, hang_up=True, reset=reset))


def cut(after: int, *, reset: bool = False) -> Fault:
    """End the connection after `after` bytes of this answer's body, by FIN, or RST if `reset`."""
    return _each(lambda answer: replace(answer, cut=after, reset=reset))


def unfinished_chunks() -> Fault:
    """Send all bytes in chunks, then end the connection without the last chunk (RFC 9112 §7.1)."""
    return _each(lambda answer: replace(answer, framing=Framing.CHUNKED, last_chunk=False))


# Framing


def chunked() -> Fault:
    """Send the body in chunks, without Content-Length. Legal."""
    return _each(lambda answer: replace(answer, framing=Framing.CHUNKED))


def until_close() -> Fault:
    """Send the body without a length; the end of the connection ends it. Legal."""
    return _each(lambda answer: replace(answer, framing=Framing.CLOSE))


def declares(length: int) -> Fault:
    """Say `length` in Content-Length, whatever is sent; then end the connection."""
    return _each(lambda answer: replace(answer, declared=length))


def two_lengths(other: int) -> Fault:
    """Send a second Content-Length that differs from the first."""
    return _each(lambda answer: replace(answer, headers=(*answer.headers, ("Content-Length", str(other)))))


def length_and_chunks(length: int) -> Fault:
    """Send Content-Length together with Transfer-Encoding: chunked."""
    return _each(
        lambda answer: replace(
            answer, framing=Framing.CHUNKED, headers=(*answer.headers, ("Content-Length", str(length)))
        )
    )


def raw(content: bytes) -> Fault:
    """Send exactly these bytes in place of the answer, and end the connection."""
    return _each(lambda answer: replace(answer, raw=content))


def bad_status_line() -> Fault:
    """A first line that is no status line."""
    return raw(b"HTP/1.1 okay\r\n\r\n")


def early_hints(count: int) -> Fault:
    """Send `count` interim answers 103 before the real one (RFC 8297)."""
    return _each(lambda answer: replace(answer, prelude=b"HTTP/1.1 103 Early Hints\r\n\r\n" * count))


def many_headers(count: int) -> Fault:
    """Add `count` headers of different names."""
    return headers(*((f"X-Filler-{number}", "x") for number in range(count)))


def huge_header(size: int) -> Fault:
    """Add one header with a value of `size` bytes."""
    return headers(("X-Filler", "x" * size))


def trailers(count: int) -> Fault:
    """Send `count` trailers behind the last chunk."""
    added = tuple((f"X-Filler-{number}", "x") for number in range(count))
    return _each(lambda answer: replace(answer, framing=Framing.CHUNKED, trailers=added))


# Bytes


def flipped(offset: int) -> Fault:
    """Right length, one wrong byte at `offset` of the file."""
    return _each(lambda answer: replace(answer, body=Flipped(answer.body, offset)))


def longer(extra: bytes) -> Fault:
    """More bytes than the file has, with a Content-Length that agrees with them."""
    return _each(lambda answer: replace(answer.whole(), body=Joined((answer.body, Plain(extra)))))


def shorter(size: int) -> Fault:
    """The first `size` bytes as if they were the file, with a Content-Length that agrees with them."""
    return _each(lambda answer: replace(answer.whole(), end=size))


def other_body(body: Body | bytes) -> Fault:
    """Other bytes than those of the file, all of them, as a plain 200."""
    return _each(lambda answer: replace(answer.whole(), body=as_body(body)))


def endless() -> Fault:
    """A body that never ends, in chunks."""
    return _each(lambda answer: replace(answer.whole(), body=Noise(1 << 60), framing=Framing.CHUNKED))


def captive_portal(links: bytes = b"") -> Fault:
    """A page of HTML in place of what was asked for, as networks with a login send it. `links`: more of its body."""
    page = Plain(b"<!DOCTYPE html><html><body><h1>Please log in</h1>" + links + b"</body></html>")
    return _each(lambda answer: replace(_plain(answer).with_headers(_HTML), body=page))


def gzipped() -> Fault:
    """The whole body compressed, with Content-Encoding: gzip, though nobody asked."""

    def change(answer: Answer) -> Answer:
        packed = gzip.compress(b"".join(pieces(answer.body)), mtime=0)
        return replace(answer.whole().with_headers(("Content-Encoding", "gzip")), body=Plain(packed))

    return _each(change)


def gzip_bomb(size: int) -> Fault:
    """`size` zero bytes, compressed to about a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    packed = b"".join(packer.compress(block[: min(len(block), size - done)]) for done in range(0, size, len(block)))
    body = Plain(packed + packer.flush())
    return _each(lambda answer: replace(answer.whole().with_headers(("Content-Encoding", "gzip")), body=body))


# Ranges and conditions


def ignores_range() -> Fault:
    """Answer 200 with everything, whatever range was asked for. Legal (RFC 9110 §14.2)."""
    return _each(lambda answer: answer.whole() if answer.status in {206, 416} else answer)


def shifted_range(by: int) -> Fault:
    """Answer a range with another one, `by` bytes further on, and say so in Content-Range."""

    def change(answer: Answer) -> Answer:
        size = answer.body.size
        if answer.status != 206:
            return answer
        return answer.part(min(answer.start + by, size - 1), min(answer.stop + by, size))

    return _each(change)


def unasked_range(start: int, end: int) -> Fault:
    """Answer 206 with this part, though no range was asked for."""
    return _each(lambda answer: answer.part(start, end))


def bare_304() -> Fault:
    """Answer 304 without any header, though nothing conditional was asked."""
    return _each(lambda answer: replace(_plain(answer), status=304, headers=()))


# Statuses


def status(code: int, body: Body | bytes | str = "Not now.\n", **extra: str) -> Fault:
    """Answer with this status. Names in `extra` become headers: `retry_after="5"` is `Retry-After: 5`."""
    added = tuple((name.replace("_", "-").title(), value) for name, value in extra.items())
    return _each(
        lambda answer: replace(_plain(answer), status=code, body=as_body(body)).with_headers(
            ("Content-Type", "text/plain"), *added
        )
    )


def redirect(location: str, code: int = 302) -> Fault:
    """Send the client elsewhere; `location` may be relative, or the same address: a loop."""
    return status(code, "", location=location)


def headers(*pairs: tuple[str, str]) -> Fault:
    """Set headers, in place of those of the same names; values go out unchecked, control characters too."""
    return _each(lambda answer: answer.with_headers(*pairs))


def without_headers(*names: str) -> Fault:
    """Leave headers out, as gateways do that strip validators."""
    return _each(lambda answer: answer.without_headers(*names))


def _plain(answer: Answer) -> Answer:
    """The answer without anything that described the representation; its gates stay."""
    return replace(answer.whole(), headers=(), framing=Framing.LENGTH, declared=None)
