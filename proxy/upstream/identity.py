"""Who the cache says it is: requests of upstream that are told who asks, and again when that has changed.

Used by the client for each hop. Tokens expire and are renewed where they stand, so an answer that strangers may get is
reason for one look there, and for one more request if something else stands there by now; never for a third.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.ports import Credentials
from proxy.upstream import redirects
from proxy.upstream.reply import AiohttpReply

# What an index may say to somebody whom it does not know: to ask for a name and a password, to deny that there is
# anything, to send to a page for signing in, or on to a public index.
_TO_STRANGERS = redirects.STATUSES | frozenset((401, 403, 404))

Hop = Callable[[dict[str, str]], Awaitable[AiohttpReply]]


class Identity:
    """Asks `Credentials`, if there are any."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    async def introduce(self, hop: Hop, mount: str, url: str, headers: dict[str, str]) -> tuple[AiohttpReply, bool]:
        """The answer of a hop that is told who asks, where the settings say so; and whether it was told."""
        if self._credentials is None:
            return await hop(headers), False
        authorization = self._credentials.authorization(mount, url)
        reply = await hop(_with(headers, authorization))
        if reply.status not in _TO_STRANGERS:
            return reply, authorization is not None
        try:
            renewed = await self._credentials.renewed(mount, url, authorization)
            if renewed is None:
                return reply, authorization is not None
            await reply.drain()
        except BaseException:
            reply.close()
            raise
        return await hop(_with(headers, renewed)), True


def _with(headers: dict[str, str], authorization: str | None) -> dict[str, str]:
    return headers if authorization is None else {**headers, "Authorization": authorization}
