"""gzip: packed by either library, and unpacked however it comes."""

from __future__ import annotations

import gzip
import io
import itertools
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy import gzip_format
from proxy.gzip_format import DamagedGzip, GzipMember, beginning, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

BODY = b"".join(b"%d " % number for number in range(5000))

bodies = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=40), st.integers(0, 4000)),
)


def made(body: bytes, level: int = 6, name: str = "", *, flushed: bool = False) -> bytes:
    """A member as gzip(1) writes it: with the name of the file, if it has one; perhaps flushed before its end."""
    target = io.BytesIO()
    with gzip.GzipFile(name, "wb", level, target, mtime=0) as file:
        file.write(body)
        if flushed:
            file.flush()
    return target.getvalue()


def unpacked(data: bytes, cuts: Sequence[int] = (), most: int = 1 << 16) -> tuple[bytes, GzipMember]:
    """What a member contains whose bytes come in pieces; and the member."""
    member, whole, places = GzipMember(), b"", [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in itertools.pairwise(places):
        if member.over:
            break
        for piece in member.feed(memoryview(data)[begin:end], most):
            assert 0 < len(piece) <= most
            whole += piece
    return whole, member


@given(
    bodies,
    st.integers(0, 9),
    st.sampled_from(["", "page.json"]),
    st.lists(st.integers(0), max_size=6),
    st.integers(1, 3000),
)
@example(bytes(100_000), 9, "", [], 1000)
@example(bytes(1000), 9, "", [1, 2], 1000)
def test_feed__in_pieces(body: bytes, level: int, name: str, cuts: Sequence[int], most: int) -> None:
    """However it is cut, all of it comes, and each piece is bounded."""
    whole, member = unpacked(made(body, level, name), cuts, most)
    assert (body, True, b"") == (whole, member.over, member.behind)


@given(bodies, st.integers(1, 60), st.booleans())
def test_feed__in_short_pieces(body: bytes, step: int, flushed: bool) -> None:
    """A slow line brings a few bytes at a time."""
    data = made(body, flushed=flushed)[:3000]
    whole, member = unpacked(data, range(step, len(data), step))
    assert whole == body[: len(whole)]
    assert member.over == (data == made(body, flushed=flushed))


@given(st.binary(min_size=1, max_size=40), st.integers(1, 3000))
def test_feed__behind_the_end(more: bytes, most: int) -> None:
    """What follows a member is not lost."""
    whole, member = unpacked(made(BODY) + more, most=most)
    assert (BODY, True, more) == (whole, member.over, member.behind)


@given(st.integers(0))
def test_feed__cut_short(end: int) -> None:
    """A member without its end is not over."""
    data = made(BODY)
    whole, member = unpacked(data[: end % len(data)])
    assert BODY.startswith(whole)
    assert not member.over


@given(st.integers(10), st.integers(1, 255))
def test_feed__damaged(place: int, flipped: int) -> None:
    """Other bytes are never taken for the body: they are damaged, or are not over."""
    data = bytearray(made(BODY))
    data[10 + place % (len(data) - 10)] ^= flipped
    try:
        _, member = unpacked(bytes(data))
    except DamagedGzip:
        return
    assert not member.over


@pytest.mark.parametrize("data", [b"not gzip at all, but text", zlib.compress(BODY)])
def test_feed__no_gzip(data: bytes) -> None:
    """Neither text nor the format of zlib."""
    with pytest.raises(DamagedGzip):
        unpacked(data)


@given(bodies)
def test_packed(body: bytes) -> None:
    """Any other program unpacks it."""
    assert body == gzip.decompress(packed(body))


@pytest.mark.parametrize(
    ("head", "found"),
    [(made(BODY), BODY[:9]), (made(BODY)[:200], BODY[:9]), (made(b"ab"), b"ab"), (b"text", b""), (b"", b"")],
)
def test_beginning(head: bytes, found: bytes) -> None:
    """Of what a gzip file contains, a few bytes; of others nothing."""
    assert found == beginning(head, 9)


def test_packed__without_the_fast_library() -> None:
    """Where there is no wheel of it, the library that Python has does the same."""
    code = (
        "import sys, gzip; sys.modules['isal'] = None; from proxy import gzip_format as made; "
        "text = b'page' * 99; member = made.GzipMember(); "
        "print(made._LEVEL, gzip.decompress(made.packed(text)) == b''.join(member.feed(made.packed(text), 50)) == text)"
    )
    assert "6 True\n" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 1 == gzip_format._LEVEL
