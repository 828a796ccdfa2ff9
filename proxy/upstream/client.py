"""The client: one GET to upstream through aiohttp, with redirects followed hop by hop, retries and back-off.

The composition root makes one, inside the running loop; services know it as `ports.Upstream`. It never decodes a body,
keeps a cookie, carries credentials to another origin, or connects to an address that the guard refuses. `pools` sends
each request, and waits for the head of the response.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from aiohttp import http_parser
from aiohttp.abc import AbstractResolver
from yarl import URL

from proxy.errors import (
    Crowded,
    Forwarded,
    NoDescriptor,
    NotAllowed,
    Offline,
    PullthroughError,
    UpstreamBroken,
    UpstreamError,
    UpstreamThrottled,
    UpstreamTimeout,
)
from proxy.events import UpstreamAsked, UpstreamFailed
from proxy.model import Site, UpstreamRequest
from proxy.ports import Clock, Credentials, Observer, Proxies, Reply
from proxy.upstream import guard, hops, response_head
from proxy.upstream.connections import drop
from proxy.upstream.failures import Aspect, Failed, HostHealth
from proxy.upstream.guard import Trust
from proxy.upstream.hops import Authentication
from proxy.upstream.parent import Parent
from proxy.upstream.pools import Pools, authority
from proxy.upstream.reply import AiohttpReply
from proxy.upstream.request_slots import Rank

_log = logging.getLogger(__name__)

_ANSWERS_IN = 2.0  # seconds: who is silent for longer does not answer, also where the cache waits no more
_BACKOFF = 0.2  # seconds before the second try, doubling, each with jitter
_ANONYMOUS = Authentication(None)
_CONDITIONS = {"if-none-match", "if-modified-since"}


class AiohttpUpstream:
    """Implements `ports.Upstream`. Mutable state: the connection pools, and the hosts' health."""

    offline = False

    def __init__(  # noqa: PLR0913 the settings of the client, and what tests put in their place
        self,
        *,
        observer: Observer,
        clock: Clock,
        credentials: Credentials | None = None,
        proxies: Proxies | None = None,
        parent: Parent | None = None,
        via: str = "",
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        retries: int = 2,
        resolver: AbstractResolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Needs a running loop. `retries`: further tries of a request that failed before its body.

        `connect_timeout`: seconds for name, connection and TLS. `read_timeout`: seconds without a byte. A whole head
        must come within their sum; a body may take any time. `via`: this cache's name for proxies.
        `parent`: another cache, which is asked in place of every upstream.

        Raises PullthroughError if aiohttp lacks its C parser: the other one accepts ambiguous responses.
        """
        if http_parser.HttpResponseParser is http_parser.HttpResponseParserPy:
            raise PullthroughError("aiohttp was installed without its C parser; install it from a wheel.")
        self._observer = observer
        self._silence = read_timeout
        self._retries = retries
        self._clock = clock
        self._authentication = Authentication(credentials)
        self._proxies = proxies
        self._parent = parent
        self._sleep = sleep
        self._health = HostHealth()
        self._pools = Pools(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            via=via,
            resolver=resolver,
            ssl_context=ssl_context,
        )

    @asynccontextmanager
    async def get(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """See `ports.Upstream.get`."""
        reply = await self._open(request)
        try:
            yield reply
        finally:
            reply.close()

    def down(self, url: str, *, file: bool = False) -> bool:
        """See `ports.Upstream.down`: 1 s after a first failure, up to 30 s if they go on."""
        return self._down(url, Aspect.FILES if file else Aspect.DOCUMENTS)

    def reaches(self, url: str) -> bool:
        """See `ports.Upstream.reaches`."""
        return not self._down(url, Aspect.CONNECTION)

    def heard(self, url: str) -> bool:
        """See `ports.Upstream.heard`."""
        try:
            host = authority(hops.parse(url))
        except NotAllowed:
            return False
        return self._health.heard(host, self._clock.monotonic())

    async def close(self) -> None:
        """Drop all connections."""
        await self._pools.close()

    def _down(self, url: str, aspect: Aspect) -> bool:
        if self._health.sound:
            return False
        try:
            host = authority(hops.parse(url))
        except NotAllowed:
            return False
        return self._health.down(host, aspect, self._clock.monotonic())

    async def _open(self, request: UpstreamRequest) -> AiohttpReply:
        """Try, and retry where that may help: not for a host that is known to be down, and not for bulk."""
        tries = 1 if request.bulk or self._down(request.url, Aspect.of(request)) else 1 + self._retries
        for tried in range(1, tries + 1):
            try:
                return await self._follow(request)
            except Failed as failed:
                self._report(request, failed.error)
                if tried == tries or not failed.again:
                    self._failed(request, failed)
                    raise failed.error from failed.__cause__
            except Crowded as crowded:
                _log.warning("request not sent", extra={"upstream": request.site.mount, "reason": str(crowded)})
                raise
            except UpstreamError as error:
                if not isinstance(error, Offline):  # the parent's setting
                    self._report(request, error)
                raise
            await self._sleep(_BACKOFF * 2 ** (tried - 1) * random.uniform(0.5, 1.0))  # noqa: S311 jitter
        raise AssertionError("the last try returns or raises")

    async def _follow(self, request: UpstreamRequest) -> AiohttpReply:
        """Send the request hop by hop, until a response is no redirect; the guard admits each."""
        url, site = hops.parse(request.url), request.site
        headers = request.headers
        # A request with a client's own credentials gets none of the cache's.
        with_credentials = "authorization" not in map(str.lower, headers) and self._parent is None
        if site.agent:
            headers = {**headers, "User-Agent": site.agent}
        for number in range(hops.LIMIT + 1):
            trust = self._admit(url, site, redirected=number > 0)
            hop = functools.partial(self._hop, request, url, trust)
            # A host that the settings do not name sends no credentials on: neither to others nor back.
            authentication = self._authentication if with_credentials else _ANONYMOUS
            reply, known = await authentication.send(hop, site.mount, str(url), headers)
            with_credentials = with_credentials and trust is Trust.NAMED
            try:
                if reply.status not in hops.REDIRECTS:
                    # Where the settings say that a 403 always means "missing", it does so with credentials, too.
                    await self._judge(reply, request, url, known=known and not site.forbidden_is_missing)
                    return reply
                target = hops.follow(url, reply.headers.get("location"))
                await reply.drain()
            except BaseException:
                reply.close()
                raise
            if request.own and not site.owns(str(target)):
                raise Forwarded(
                    "Upstream redirects this page to another host: it does not have the project, or does not know the "
                    "credentials. If that host's pages are this index's own, name it under page_hosts of the "
                    "[[upstream]]; if a redirect only means that there is no such project, set redirected_is_missing."
                )
            url, headers = target, hops.headers_for(target, url, headers)
        raise UpstreamBroken("Upstream redirects in circles.")

    def _admit(self, url: URL, site: Site, *, redirected: bool) -> Trust:
        """How far the host is trusted. Raises NotAllowed."""
        if self._parent is not None and self._parent.has(str(url), site):
            return Trust.NAMED
        return guard.admit(url, site, redirected=redirected)

    async def _hop(self, request: UpstreamRequest, url: URL, trust: Trust, headers: dict[str, str]) -> AiohttpReply:
        """One request and the head of its response, straight or through a proxy; it is reported."""
        since: float | None = self._clock.monotonic()
        status, cancelled = 0, False
        try:
            reply = await self._sent(request, url, trust, headers)
            status = reply.status
        except Crowded:
            since = None  # it was not sent
            raise
        except asyncio.CancelledError:
            cancelled = True
            raise
        else:
            return reply
        finally:
            if since is not None:
                conditional = not _CONDITIONS.isdisjoint(map(str.lower, headers))
                seconds = self._clock.monotonic() - since
                cancelled = cancelled and seconds < _ANSWERS_IN
                self._observer(UpstreamAsked(request.site.mount, status, seconds, conditional, cancelled))

    async def _sent(self, request: UpstreamRequest, url: URL, trust: Trust, headers: dict[str, str]) -> AiohttpReply:
        response = await self._on_the_way(request, url, trust, headers)
        self._health.answered(authority(url), Aspect.CONNECTION, self._clock.monotonic())
        try:
            ended = functools.partial(self._ended, request, url)
            return AiohttpReply(response, request.site.mount, str(url), self._observer, ended, self._silence)
        except BaseException:
            drop(response)
            raise

    async def _on_the_way(
        self, request: UpstreamRequest, url: URL, trust: Trust, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        """The response to a request that is sent straight, to the parent, or through a proxy to either."""
        parent, there = self._parent, url
        if parent is not None:
            guard.admit_unseen(url, trust)
            there, trust, headers = parent.place(str(url), request.site), Trust.NAMED, {**headers, **parent.headers}
        proxy = self._proxies.proxy(request.site.mount, str(there)) if self._proxies else None
        step = authority(URL(proxy.url)) if proxy else authority(there) if parent is not None else None
        self._health.asked(authority(url), step)
        try:
            if proxy is None:
                response = await self._pools.send(there, trust, headers, Rank.of(request))
            else:
                guard.admit_unseen(there, trust)
                response = await self._pools.send_through(proxy, there, headers, Rank.of(request))
        except Failed as failed:
            if parent is not None and not failed.proxy and not isinstance(failed.error, NoDescriptor):
                # Without a connection it is the parent's failure, and else that of the host which the parent asks.
                failed.proxy, failed.host = failed.no_connection, step if failed.no_connection else authority(url)
            raise
        if step is not None:
            self._health.answered(step, Aspect.CONNECTION, self._clock.monotonic())
        return response

    async def _judge(self, reply: AiohttpReply, request: UpstreamRequest, url: URL, *, known: bool) -> None:
        """Raise the error of a response that is of no use. `known`: the request carried credentials."""
        requested = {name.lower(): value for name, value in request.headers.items()}
        error = (self._parent.refusal(reply.status, reply.headers) if self._parent is not None else None) or (
            response_head.refusal(reply.status, reply.headers, requested, self._clock.now(), known=known)
        )
        if error is None:
            # A document counts as answered when its body has come.
            if Aspect.of(request) is Aspect.FILES or reply.status == HTTPStatus.NOT_MODIFIED:
                self._answered(request, url)
            return
        await reply.drain()
        host = authority(url)
        if isinstance(error, UpstreamThrottled):
            raise Failed(error, host=host, wait=float(error.retry_after or 0)) from None
        if isinstance(error, UpstreamError) and response_head.is_server_failure(reply.status):
            # A parent has tried again itself.
            again = reply.status in response_head.TRANSIENT and self._parent is None
            raise Failed(error, again=again, host=host) from None
        self._answered(request, url)
        raise error.again()

    def _answered(self, request: UpstreamRequest, url: URL) -> None:
        """The host answered the request, and so did the one that redirected it there."""
        for host in {authority(url), authority(hops.parse(request.url))}:
            self._health.answered(host, Aspect.of(request), self._clock.monotonic())

    def _failed(self, request: UpstreamRequest, failed: Failed) -> None:
        """Note whose failure it was. That of bulk, or beside it, says nothing: the host may allow one at a time."""
        if failed.host is None or request.bulk or request.contended:
            return
        now, aspect = self._clock.monotonic(), Aspect.of(request)
        self._health.failed(failed.host, Aspect.CONNECTION if failed.no_connection else aspect, now, failed.wait)
        requested = authority(hops.parse(request.url))
        if failed.host != requested and not failed.proxy:  # it redirected the request there
            self._health.failed(requested, aspect, now, failed.wait)

    def _ended(self, request: UpstreamRequest, url: URL, error: UpstreamError | None) -> None:
        """A body came whole, or broke off. A file is continued where it broke: for files only silence counts."""
        if error is None:
            self._answered(request, url)
        elif isinstance(error, UpstreamTimeout) or Aspect.of(request) is Aspect.DOCUMENTS:
            self._failed(request, Failed(error, host=authority(url)))

    def _report(self, request: UpstreamRequest, error: UpstreamError) -> None:
        self._observer(UpstreamFailed(request.site.mount, error.reason))
