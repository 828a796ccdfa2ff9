"""The client: one GET to upstream through aiohttp, with redirects followed by hand, retries and back-off.

The composition root makes one, inside the running loop; services know it as `ports.Upstream`. It never decodes a
body, keeps a cookie, carries credentials to another origin, or connects to an address that the guard refuses. Where
the way leads through a proxy, `proxying` says what that changes.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import http_parser
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.errors import (
    Forwarded,
    NotAllowed,
    PullthroughError,
    UpstreamBroken,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.model import Ask, UpstreamFailed
from proxy.ports import Clock, Credentials, Observer, Reply, Ways
from proxy.upstream import answers, failures, guard, proxying, redirects
from proxy.upstream.connections import Connector
from proxy.upstream.guard import GuardedResolver, Trust
from proxy.upstream.health import Health
from proxy.upstream.names import SystemResolver
from proxy.upstream.transfer import Transfer, drop
from proxy.way import Proxy

_BACKOFF = 0.2  # seconds before the second try, doubling, each with jitter
_CONNECTIONS = 256  # at once to one host; one more waits within the connect limit
_KEEP_ALIVE = 30.0  # seconds
_BUFFER = 256 << 10  # bytes: a transfer is paused when it is twice this ahead of its reader
_FIELD = 16 << 10  # bytes of one header, and of the status line
_FIELDS = 128  # headers of one answer


class _TryAgain(Exception):
    """A failure that another try at once may mend."""

    def __init__(self, error: UpstreamError) -> None:
        super().__init__()
        self.error = error


class AiohttpUpstream:
    """Implements `ports.Upstream`. Mutable state: the connection pools, and the hosts' health."""

    def __init__(  # noqa: PLR0913 the settings of the client, and what tests put in their place
        self,
        *,
        observer: Observer,
        clock: Clock,
        credentials: Credentials | None = None,
        ways: Ways | None = None,
        via: str = "",
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        retries: int = 2,
        resolver: AbstractResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Needs a running loop. `retries`: further tries of a request that failed before there was a body.

        `connect_timeout`: seconds for name, connection and TLS. `read_timeout`: seconds without a byte. A whole head
        has to come within their sum; a body may take as long as it likes. `via`: this cache's name for proxies.

        Raises PullthroughError if aiohttp lacks its C parser: the other one lets ambiguous answers through.
        """
        if http_parser.HttpResponseParser is http_parser.HttpResponseParserPy:
            raise PullthroughError("aiohttp was installed without its C parser; install it from a wheel.")
        self._observer = observer
        self._head_limit = connect_timeout + read_timeout
        self._silence = read_timeout
        self._retries = retries
        self._clock = clock
        self._credentials = credentials
        self._ways = ways
        self._via = via
        self._sleep = sleep
        self._health = Health()
        # One for each: names that somebody makes up may all hang, and the settings' own must not wait for them.
        named, made_up, proxies = self._resolvers = [resolver or SystemResolver(connect_timeout) for _ in range(3)]
        allowing = {
            Trust.NAMED: GuardedResolver(named, guard.forbidden),
            Trust.OPEN: GuardedResolver(made_up, guard.private),
            None: proxies,  # which the settings name
        }
        self._sessions = {
            trust: aiohttp.ClientSession(
                connector=Connector(
                    limit=0,
                    limit_per_host=_CONNECTIONS,
                    keepalive_timeout=_KEEP_ALIVE,
                    resolver=names,
                    ssl=ssl_context or True,
                ),
                timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_read=read_timeout),
                headers={"Accept-Encoding": "identity", "User-Agent": f"pullthrough/{_version()}"},
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

    @asynccontextmanager
    async def get(self, ask: Ask) -> AsyncIterator[Reply]:
        """See `ports.Upstream.get`."""
        transfer = await self._open(ask)
        try:
            yield transfer
        finally:
            transfer.close()

    def down(self, url: str) -> bool:
        """See `ports.Upstream.down`: a failed connection or a silence, 1 s at first, up to 30 s if it goes on."""
        try:
            authority = _authority(redirects.parse(url))
        except NotAllowed:
            return False
        return self._health.down(authority, self._clock.monotonic())

    async def close(self) -> None:
        """Drop all connections."""
        for session in self._sessions.values():
            await session.close()
        for resolver in self._resolvers:
            await resolver.close()

    async def _open(self, ask: Ask) -> Transfer:
        """Try, and try again where that may help; not for a host that is known to be down."""
        tries = 1 if self.down(ask.url) else 1 + self._retries
        for tried in range(1, tries + 1):
            try:
                return await self._follow(ask)
            except _TryAgain as again:
                self._report(ask, again.error)
                if tried == tries:
                    raise again.error from again.__cause__
            except UpstreamError as error:
                self._report(ask, error)
                raise
            await self._sleep(_BACKOFF * 2 ** (tried - 1) * random.uniform(0.5, 1.0))  # noqa: S311 jitter
        raise AssertionError("the last try returns or raises")

    async def _follow(self, ask: Ask) -> Transfer:
        """Ask, hop by hop, until an answer is no redirect; the guard is asked at each."""
        url, site = redirects.parse(ask.url), ask.site
        headers = ask.headers
        authorization = self._credentials.authorization(site.mount, str(url)) if self._credentials else None
        if authorization is not None:
            headers = {**headers, "Authorization": authorization}
        for hop in range(redirects.LIMIT + 1):
            trust = guard.admit(url, site, redirected=hop > 0)
            proxy = self._ways.proxy(site.mount, str(url)) if self._ways else None
            self._health.asked(_authority(url), _authority(URL(proxy.url)) if proxy else None)
            if proxy is None:
                response = await self._send(url, trust, headers)
            else:
                guard.admit_unseen(url, trust)
                response = await self._send_through(proxy, url, headers)
            try:
                transfer = Transfer(response, site.mount, str(url), self._observer, self._silent, self._silence)
                if response.status not in redirects.STATUSES:
                    # Where the settings say that a refusal always means "missing", it does so for those it knows, too.
                    await self._judge(transfer, ask, url, known="Authorization" in headers and site.withholds)
                    return transfer
                target = redirects.follow(url, transfer.headers.get("location"))
                await transfer.drain()
            except BaseException:
                drop(response)
                raise
            if ask.own and not site.owns(str(target)):
                raise Forwarded(
                    "Upstream redirects this page to another host: it does not have the project, or does not know the "
                    "credentials. If that host's pages are this index's own, name it under page_hosts of the "
                    "[[upstream]]; if a redirect only means that there is no such project, set redirected_is_missing."
                )
            url, headers = target, redirects.headers_for(target, url, headers)
        raise UpstreamBroken("Upstream redirects in circles.")

    async def _send(self, url: URL, trust: Trust, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """One request and the head of its answer."""
        try:
            # Beside aiohttp's limit on silence: heads that drip, and interim answers without end.
            async with asyncio.timeout(self._head_limit):
                response = await self._sessions[trust].get(url, headers=headers, allow_redirects=False)
        except failures.CAUGHT as error:
            found = failures.failure(error)
            if isinstance(found, (UpstreamUnreachable, UpstreamTimeout)):
                self._health.failed(_authority(url), self._clock.monotonic())
            if failures.soon_again(error):
                raise _TryAgain(found) from error
            raise found from error
        self._health.answered(_authority(url))
        return response

    async def _send_through(self, proxy: Proxy, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """The same through a proxy. What fails may be the proxy, and then it is no matter of upstream's host."""
        sent, more = proxying.addressed(proxy, url, headers, self._via)
        try:
            async with asyncio.timeout(self._head_limit):
                response = await self._sessions[None].get(url, headers=sent, allow_redirects=False, **more)
        except failures.CAUGHT as error:
            fault = proxying.fault(error, proxy)
        else:
            own = proxying.answered(response.status, proxy)
            if own is None:
                self._health.answered(_authority(URL(proxy.url)))
                self._health.answered(_authority(url))
                return response
            drop(response)
            fault = own
        if isinstance(fault.error, (UpstreamUnreachable, UpstreamTimeout)):
            self._health.failed(_authority(URL(proxy.url) if fault.own else url), self._clock.monotonic())
        # Without the cause: aiohttp's exceptions hold what the proxy was sent.
        raise _TryAgain(fault.error) if fault.again else fault.error

    async def _judge(self, transfer: Transfer, ask: Ask, url: URL, *, known: bool) -> None:
        """Raise what the head says, if it says that the answer is of no use. `known`: it was told who asks."""
        asked = {name.lower(): value for name, value in ask.headers.items()}
        error = answers.refusal(transfer.status, transfer.headers, asked, self._clock.now(), known=known)
        if error is None:
            return
        await transfer.drain()
        if isinstance(error, UpstreamThrottled):
            self._health.failed(_authority(url), self._clock.monotonic(), float(error.retry_after or 0))
        if transfer.status in answers.TRANSIENT and isinstance(error, UpstreamError):
            raise _TryAgain(error)
        raise error

    def _silent(self, url: str) -> None:
        """A body stalled beyond the limit."""
        self._health.failed(_authority(URL(url, encoded=True)), self._clock.monotonic())

    def _report(self, ask: Ask, error: UpstreamError) -> None:
        self._observer(UpstreamFailed(ask.site.mount, error.reason))


def _authority(url: URL) -> str:
    return f"{guard.host_of(url)}:{url.port}"


def _version() -> str:
    try:
        return importlib.metadata.version("pullthrough")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was not installed
        return "0"
