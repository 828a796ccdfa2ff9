"""Pools of connections to hosts and proxies: they send one request, and wait for the head of its response.

The client uses them for each hop, and decides what a response means. Hosts that the settings name, hosts that came with
a request, and proxies have pools and name look-ups of their own. Never follows, repeats or judges anything.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy import version
from proxy.config.proxies import Proxy
from proxy.upstream import failures, guard, proxying
from proxy.upstream.connections import Connector, drop
from proxy.upstream.failures import Failed
from proxy.upstream.guard import GuardedResolver, Trust
from proxy.upstream.request_slots import Rank, RequestSlots
from proxy.upstream.resolver import SystemResolver

_KEEP_ALIVE = 30.0  # seconds
_BUFFER = 256 << 10  # bytes: a body is paused when it is twice this ahead of its reader
_FIELD = 16 << 10  # bytes of one header, and of the status line
_FIELDS = 128  # headers of one response


def authority(url: URL) -> str:
    """`host:port`, in the spelling under which a host is remembered."""
    return f"{guard.host_of(url)}:{url.port}"


class Pools:
    """Sends requests. Mutable state: the connections, and the request slots of the hosts."""

    def __init__(
        self,
        *,
        connect_timeout: float,
        read_timeout: float,
        via: str,
        resolver: AbstractResolver | None,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        """Needs a running loop. Seconds and `via` as of the client. `resolver`: in place of the system's."""
        self._head_limit = connect_timeout + read_timeout
        self._via = via
        self._slots = RequestSlots()
        # One for each: made-up names may all hang, and the settings' own must not wait for them.
        named, made_up, proxies = self._resolvers = [resolver or SystemResolver(connect_timeout) for _ in range(3)]
        allowing = {
            Trust.NAMED: GuardedResolver(named, guard.forbidden),
            Trust.OPEN: GuardedResolver(made_up, guard.private),
            None: proxies,  # which the settings name
        }
        self._sessions = {
            trust: aiohttp.ClientSession(
                # Without limits of its own: waiting for a slot would count as connecting.
                connector=Connector(
                    limit=0,
                    limit_per_host=0,
                    keepalive_timeout=_KEEP_ALIVE,
                    resolver=names,
                    ssl=ssl_context or True,
                ),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=read_timeout),
                headers={"Accept-Encoding": "identity", "User-Agent": f"pullthrough/{version()}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_BUFFER,
                max_line_size=_FIELD,
                max_field_size=_FIELD,
                max_headers=_FIELDS,
            )
            for trust, names in allowing.items()
        }

    async def send(self, url: URL, trust: Trust, headers: dict[str, str], rank: Rank) -> aiohttp.ClientResponse:
        """One request and the head of its response. Raises Failed, Crowded."""
        try:
            return await self._send(trust, url, headers, rank, {})
        except failures.CAUGHT as error:
            found = failures.failure(error)
            unwell = failures.is_of_host(found)
            failed = Failed(
                found,
                again=failures.soon_again(error),
                host=authority(url) if unwell else None,
                no_connection=failures.connecting(error),
            )
            # aiohttp's exceptions about responses hold the credentials of the request: they end here.
            failed.__cause__ = None if isinstance(error, aiohttp.ClientResponseError) else error
        raise failed

    async def send_through(self, proxy: Proxy, url: URL, headers: dict[str, str], rank: Rank) -> aiohttp.ClientResponse:
        """The same through a proxy. A failure of the proxy is not one of upstream's host."""
        sent, more = proxying.addressed(proxy, url, headers, self._via)
        try:
            response = await self._send(None, url, sent, rank, more)
        except failures.CAUGHT as error:
            fault, no_connection = proxying.fault(error, proxy), failures.connecting(error)
        else:
            own = proxying.answered(response.status, url, proxy)
            if own is None:
                return response
            drop(response)
            fault, no_connection = own, False
        unwell = failures.is_of_host(fault.error)
        host = authority(URL(proxy.url) if fault.own else url)
        # Without the cause: aiohttp's exceptions hold the credentials for the proxy.
        raise Failed(
            fault.error,
            again=fault.again,
            host=host if unwell else None,
            no_connection=no_connection or fault.own,
            proxy=fault.own,
        ) from None

    async def close(self) -> None:
        """Drop all connections."""
        for session in self._sessions.values():
            await session.close()
        for resolver in self._resolvers:
            await resolver.close()

    async def _send(
        self, pool: Trust | None, url: URL, headers: dict[str, str], rank: Rank, more: dict[str, Any]
    ) -> aiohttp.ClientResponse:
        give_back = await self._slots.take(authority(url), rank)
        try:
            # Besides aiohttp's limit on silence: for heads that drip, and for endless interim responses.
            async with asyncio.timeout(self._head_limit):
                response = await self._sessions[pool].get(url, headers=headers, allow_redirects=False, **more)
                _until_read(response, give_back)
                return response
        except BaseException:
            give_back()
            raise


def _until_read(response: aiohttp.ClientResponse, give_back: Callable[[], None]) -> None:
    """Hold a slot as long as the response holds its connection."""
    if response.connection is None:  # all of it came with its head
        give_back()
    else:
        response.connection.add_callback(give_back)
