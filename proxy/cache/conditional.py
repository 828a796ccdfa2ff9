"""Conditional requests (RFC 9110 §13): whether upstream still has what is kept, or the plain way what it has now.

Some servers, and gateways before them, answer a condition by an error, or not at all, and the same request without one
by the body. So an error may be about the condition alone, and so may silence. Asked by whoever keeps what changes under
its address; never reads a body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from proxy.errors import Forwarded, NotFound, UpstreamError, UpstreamThrottled, UpstreamUnreachable
from proxy.model import Ask
from proxy.ports import Reply, Upstream

# They are about the host, or about who asks, and not about the condition.
_CLEAR = (Forwarded, UpstreamThrottled, UpstreamUnreachable)


@asynccontextmanager
async def conditional(upstream: Upstream, ask: Ask, conditions: Mapping[str, str]) -> AsyncIterator[Reply]:
    """The answer to `ask` with these header fields, or to `ask` alone where that fails. Raises as `Upstream.get`.

    A host that is known to be down is asked once.
    """
    down = upstream.down(ask.url)
    async with AsyncExitStack() as stack:
        try:
            reply = await stack.enter_async_context(upstream.get(replace(ask, headers={**ask.headers, **conditions})))
        except (NotFound, UpstreamError) as error:
            if down or not conditions or isinstance(error, _CLEAR):
                raise
            reply = None
        if reply is None:
            reply = await stack.enter_async_context(upstream.get(ask))
        yield reply
