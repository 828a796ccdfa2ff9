"""Whether a response can be the file that is wanted."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from proxy.cache.body_checks import BodyCheck, FirstBytes, refuse_by_head, refuse_page, shape_of
from proxy.cache.flight import WantedFile
from proxy.errors import Coded, WrongBytes
from proxy.model import UpstreamRequest
from tests.cache.conftest import BODY, SITE, URL, wanted
from tests.memory_upstream import MemoryUpstream, Scripted

PAGE = b"<!DOCTYPE html><title>Sign in</title>"
TYPED = {"content-type": "text/html"}
CODED = {"content-encoding": "gzip"}


async def first_bytes(
    upstream: MemoryUpstream, file: WantedFile, body: bytes, headers: dict[str, str], start: int = 0
) -> FirstBytes:
    """The check of this body's first bytes."""
    upstream.on(URL, Scripted(body, headers=headers))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        return FirstBytes(reply, file, start=start)


@pytest.mark.parametrize(
    ("file", "body", "headers", "right"),
    [
        (wanted(None), BODY, {}, True),
        (wanted(None), BODY, TYPED, False),
        (replace(wanted(None), binary=False), BODY, TYPED, True),
        (wanted(), BODY, TYPED, True),
        (wanted(), b"", {}, False),
        (wanted(b""), b"", {}, True),
        (replace(wanted(None), called="py.typed"), b"", {}, True),
        (wanted(), BODY + b"?", {}, True),
        (replace(wanted(), signed=True), BODY + b"?", {}, False),
        (replace(wanted(), digest=None), BODY + b"?", {}, False),
    ],
)
async def test_refuse_by_head__type_and_length(
    upstream: MemoryUpstream, file: WantedFile, body: bytes, headers: dict[str, str], right: bool
) -> None:
    """A known digest decides alone, but for a body without a byte, and for a length of a signed list."""
    upstream.on(URL, Scripted(body, headers=headers))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        if right:
            refuse_by_head(reply, file, reply.size)
        else:
            with pytest.raises(WrongBytes):
                refuse_by_head(reply, file, reply.size)


@pytest.mark.parametrize(
    ("file", "body", "headers", "error"),
    [
        (wanted(), PAGE, TYPED, WrongBytes),  # of another size, and no wheel begins so
        (replace(wanted(PAGE), called="notes"), PAGE, TYPED, None),
        (replace(wanted(BODY), called="notes"), PAGE, TYPED, WrongBytes),  # of another size
        (wanted(), BODY, TYPED, None),
        (wanted(None), BODY, CODED, Coded),
        (wanted(None), BODY, {"content-encoding": "aws-chunked"}, None),
        (wanted(None), BODY, {"content-encoding": ""}, None),
        (replace(wanted(None), called="a.tar.gz"), gzip.compress(b"tar", mtime=0), CODED, None),
        (replace(wanted(None), text=True), BODY, CODED, None),
        (wanted(), BODY, CODED, None),
        (replace(wanted(None), looked_at=True), PAGE, {}, WrongBytes),
        (replace(wanted(None), looked_at=True, called="index.html"), PAGE, {}, None),
        (wanted(None), PAGE, {}, None),
    ],
)
async def test_first_bytes__page_and_coding(
    upstream: MemoryUpstream, file: WantedFile, body: bytes, headers: dict[str, str], error: type[Exception] | None
) -> None:
    """The first bytes tell a page, and a coding, where the head leaves it open; else nobody looks at them."""
    first = await first_bytes(upstream, file, body, headers)
    if error is None:
        first.refuse(body[:512])
    else:
        assert first.needed
        with pytest.raises(error):
            first.refuse(body[:512])


async def test_first_bytes__of_a_later_part(upstream: MemoryUpstream) -> None:
    """What begins in the middle of a file is no page, whatever it begins with."""
    first = await first_bytes(upstream, replace(wanted(None), looked_at=True), PAGE, {}, start=100)
    assert not first.needed
    first.refuse(PAGE)


def test_refuse_page__by_its_name() -> None:
    """HTML is a page in place of the file, unless the file is called one."""
    with pytest.raises(WrongBytes):
        refuse_page("Packages", PAGE)
    refuse_page("index.html", PAGE)
    refuse_page("Packages", b"Package: hello\n")


def test_shape_of__what_nothing_is_known_of() -> None:
    """A digest or a size tells more than the kind of a file."""
    assert [None, None] == [shape_of(file) for file in (wanted(), replace(wanted(), digest=None))]
    assert shape_of(wanted(None)) is not None


@pytest.mark.parametrize("piece", [1, 100])
@pytest.mark.parametrize(
    ("body", "whole"), [(gzip.compress(BODY, mtime=0), True), (gzip.compress(BODY, mtime=0)[:-9], False), (b"", False)]
)
async def test_body_check__without_a_length(upstream: MemoryUpstream, piece: int, body: bytes, whole: bool) -> None:
    """Where nothing tells how long a body is, what its kind demands tells whether it is whole."""
    upstream.on(URL, Scripted(body, headers={"content-length": "?"}))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        check = BodyCheck(reply, replace(wanted(None), called="a.tar.gz"), start=0)
    for at in range(0, len(body), piece):
        check.feed(body[at : at + piece])
    check.refuse_beginning()
    if whole:
        check.refuse_end(len(body))
    else:
        with pytest.raises(WrongBytes):
            check.refuse_end(len(body))


async def test_body_check__with_a_length(upstream: MemoryUpstream) -> None:
    """A body that has its length is whole, whatever it is; one without a byte is no archive."""
    upstream.on(URL, Scripted(BODY))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        check = BodyCheck(reply, replace(wanted(None), called="a.tar.gz"), start=0)
    check.feed(BODY)
    check.refuse_end(len(BODY))
    with pytest.raises(WrongBytes):
        check.refuse_end(0)
