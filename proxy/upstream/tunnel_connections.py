"""Bare connections to the hosts that clients may open a tunnel to.

The edge opens one when a client sends CONNECT. Hosts and ports are those of the settings; names are resolved through
the guard. Never reads or writes: what passes is between the client and the host.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping

import aiohappyeyeballs
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.proxies import Proxy
from proxy.errors import BadTarget, NotAllowed, Offline, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from proxy.events import UpstreamFailed
from proxy.ports import Observer, Proxies
from proxy.upstream import guard, proxying
from proxy.upstream.guard import GuardedResolver, Trust
from proxy.upstream.resolver import SystemResolver

_NEXT = 0.25  # seconds until a host's next address is tried beside the one before (RFC 8305 §5)

HostPort = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def parse_authority(authority: str) -> HostPort:
    """Host and port of a CONNECT request. Raises BadTarget, and NotAllowed if the host is no plain name or address."""
    try:
        host, port = address_text.host(authority, rooted=True)
    except BadTarget:
        host, port = "", None
    if port is None:  # RFC 9112 §3.2.3: both of them, and nothing else
        raise BadTarget("CONNECT needs a host and a port, such as files.example:443.")
    return guard.host_of(URL.build(scheme="https", host=host.strip("[]"))), port


def allowed_hosts(tunnels: Iterable[str], usual: Iterable[str]) -> dict[HostPort, Trust]:
    """Where the settings open a tunnel to, and how far each host is trusted.

    `tunnels`: `host`, for port 443, or `host:port`. `usual`: those of them that are defaults and not settings: they may
    not have a private address.
    """
    return {_entry(entry): Trust.OPEN if entry in usual else Trust.NAMED for entry in tunnels}


class TunnelConnections:
    """Opens connections, and keeps none."""

    def __init__(  # noqa: PLR0913 what is allowed, and the way there
        self,
        allowed: Mapping[HostPort, Trust],
        *,
        observer: Observer,
        proxies: Proxies | None = None,
        via: str = "",
        connect_timeout: float = 10.0,
        resolver: AbstractResolver | None = None,
        offline: bool = False,
    ) -> None:
        """`connect_timeout`: seconds for name and connection. `via`: this cache's name for proxies.

        `offline`: no tunnel is opened.
        """
        self._allowed = allowed
        self._offline = offline
        self._observer = observer
        self._proxies = proxies
        self._via = via
        self._limit = connect_timeout
        named, usual, self._of_proxies = self._resolvers = [
            resolver or SystemResolver(connect_timeout) for _ in range(3)
        ]
        self._tls: ssl.SSLContext | None = None  # made when a proxy wants it: reading authorities takes long
        self._guarded = {
            Trust.NAMED: GuardedResolver(named, guard.forbidden),
            Trust.OPEN: GuardedResolver(usual, guard.private),
        }

    async def open(self, to: HostPort) -> Streams:
        """A connection; the caller closes it. Raises NotAllowed, UpstreamUnreachable, UpstreamTimeout."""
        if self._offline:
            raise Offline("The cache is offline, and opens no tunnel.")
        trust = self._allowed.get(to)
        if trust is None:
            raise NotAllowed(
                "This cache opens no tunnel to that host. pip and uv: use the cache as an index, and no https_proxy. "
                "apt: write http://HTTPS/// for https:// in the source, or add the host to `apt.tunnels` in the "
                "settings."
            )
        try:
            return await self._open(to, trust)
        except UpstreamError as error:
            self._observer(UpstreamFailed("-", error.reason))
            raise

    async def close(self) -> None:
        """Let the resolvers go."""
        for resolver in self._resolvers:
            await resolver.close()

    async def _open(self, to: HostPort, trust: Trust) -> Streams:
        url = URL.build(scheme="https", host=to[0], port=to[1])
        proxy = self._proxies.proxy("-", str(url)) if self._proxies else None
        try:
            if proxy is not None:
                guard.admit_unseen(url, trust)
                return await self._open_through(proxy, url)
            async with asyncio.timeout(self._limit):
                return await asyncio.open_connection(sock=await self._dial(to, self._guarded[trust]))
        except NotAllowed:
            raise NotAllowed(
                "The host of the tunnel has a loopback, link-local or private address; name the host in `apt.tunnels` "
                "in the settings to allow it."
            ) from None
        except TimeoutError as error:
            raise UpstreamTimeout("The host of the tunnel did not answer in time; try again later.") from error
        except OSError as error:
            raise UpstreamUnreachable("The host of the tunnel cannot be reached; try again later.") from error

    async def _open_through(self, proxy: Proxy, url: URL) -> Streams:
        """The same through a proxy, which opens a tunnel of its own."""
        place = URL(proxy.url)
        secure = place.scheme == "https"
        if secure and self._tls is None:
            self._tls = ssl.create_default_context()
        writer = None
        try:
            async with asyncio.timeout(self._limit):
                sock = await self._dial((guard.host_of(place), place.port or 0), self._of_proxies)
                reader, writer = await asyncio.open_connection(
                    sock=sock, ssl=self._tls if secure else None, server_hostname=place.host if secure else None
                )
                await proxying.connect(reader, writer, proxy, f"{url.host_subcomponent}:{url.port}", self._via)
                return reader, writer
        except BaseException as error:
            if writer is not None:
                writer.transport.abort()
            if isinstance(error, ssl.SSLError):
                raise proxying.untrusted(error, proxy).error from error
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise proxying.unreachable(proxy).error from error
            raise

    async def _dial(self, to: HostPort, resolver: AbstractResolver) -> socket.socket:
        """A connected socket. Raises OSError, and what the resolver raises."""
        found = await resolver.resolve(*to, socket.AF_UNSPEC)
        if not found:
            raise OSError("The host has no address.")
        return await aiohappyeyeballs.start_connection(
            [_info(result) for result in found], happy_eyeballs_delay=_NEXT, interleave=1
        )


def _entry(text: str) -> HostPort:
    return parse_authority(text if address_text.host(text)[1] else f"{text}:{PORTS['https']}")


def _info(result: ResolveResult) -> tuple[int, int, int, str, tuple[str, int]]:
    return result["family"], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (result["host"], result["port"])
