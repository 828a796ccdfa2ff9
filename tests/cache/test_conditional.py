"""Conditional requests: what a condition comes to, and when it is left out."""

from __future__ import annotations

import pytest

from proxy.cache.conditional import conditional
from proxy.errors import (
    Forwarded,
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Ask
from tests.cache.conftest import SITE, URL
from tests.memory_upstream import MemoryUpstream, Scripted

CONDITIONS = {"If-None-Match": '"one"'}
ASK = Ask(URL, SITE, {"Accept": "text/html"})


async def test_conditional__confirmed(upstream: MemoryUpstream) -> None:
    """A 304 is the answer, to one request with both kinds of fields."""
    upstream.on(URL, Scripted(status=304))
    async with conditional(upstream, ASK, CONDITIONS) as reply:
        assert 304 == reply.status
    assert [ASK.headers | CONDITIONS] == [ask.headers for ask in upstream.asks]


@pytest.mark.parametrize(
    "error", [NotFound(""), Withheld(""), UpstreamDenied(""), UpstreamBroken(""), UpstreamTimeout("")]
)
async def test_conditional__error(upstream: MemoryUpstream, error: PullthroughError) -> None:
    """An error may be about the condition: the same request without one is the last word."""
    upstream.on(URL, Scripted(error=error), Scripted(b"new"))
    async with conditional(upstream, ASK, CONDITIONS) as reply:
        assert b"new" == b"".join([chunk async for chunk in reply.chunks()])
    assert [ASK.headers | CONDITIONS, ASK.headers] == [ask.headers for ask in upstream.asks]


@pytest.mark.parametrize("error", [Forwarded(""), UpstreamThrottled(""), UpstreamUnreachable("")])
async def test_conditional__clear_error(upstream: MemoryUpstream, error: PullthroughError) -> None:
    """What is about the host, or about who asks, is told at once."""
    upstream.on(URL, Scripted(error=error), Scripted(b"new"))
    with pytest.raises(type(error)):
        async with conditional(upstream, ASK, CONDITIONS):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__host_is_down(upstream: MemoryUpstream) -> None:
    """A host that failed a moment ago is not asked twice as often."""
    upstream.down_urls.add(URL)
    upstream.on(URL, Scripted(error=UpstreamBroken("")))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, CONDITIONS):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__without_conditions(upstream: MemoryUpstream) -> None:
    """Where there is no condition an error is about something else."""
    upstream.on(URL, Scripted(error=UpstreamBroken("")), Scripted(b"new"))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, {}):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__broken_later(upstream: MemoryUpstream) -> None:
    """An answer that breaks behind its head is no word on the condition."""
    upstream.on(URL, Scripted(b"new", cut=1), Scripted(b"new"))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, CONDITIONS) as reply:
            async for _ in reply.chunks():
                pass
    assert 1 == upstream.count(URL)
