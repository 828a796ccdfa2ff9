"""The edge: a request is checked, read into a query, answered by a service, sent, and counted.

`admission` refuses requests by their head. `request_target` tells archives from addresses of this cache: its own
pages, then the mounts. Errors become answers by the table in `error_responses`; once the head has left, an error
breaks the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.service import AptArchives
from proxy.cache.representation import Representation
from proxy.errors import BlobDamaged, NotHere, PullthroughError
from proxy.events import Served
from proxy.foresight.service import Foresight
from proxy.model import Kind, Outcome, Query
from proxy.ports import Clock, Observer
from proxy.python import addresses, negotiation
from proxy.python.metadata import Later
from proxy.python.project_list import ProjectStream
from proxy.python.routes import Elsewhere
from proxy.python.service import PythonIndexes
from proxy.upstream import tunnel_connections
from proxy.upstream.parent import Parent
from proxy.user_agent import UNKNOWN, UserAgent
from proxy.web import admission, request_target
from proxy.web.admission import CORS_FIELDS
from proxy.web.answer_plan import Framing
from proxy.web.error_responses import error_response, text_response
from proxy.web.own_base import own_base
from proxy.web.own_pages import OwnPages
from proxy.web.replay import Replay
from proxy.web.request_head import agent_of, came_straight, in_build, query_of
from proxy.web.request_target import ArchiveTarget, OwnTarget
from proxy.web.responses import AlreadySent, Exchange, Responder
from proxy.web.sender import BodyBroken, ClientGone
from proxy.web.server import ClientConnection
from proxy.web.shared_facts import SharedAnswer
from proxy.web.tunnel import Tunnels

_log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # the client went away before there was an answer

Answer = Representation | Elsewhere | Later | ProjectStream


class Edge:
    """Answers the requests that are not replayed."""

    def __init__(  # noqa: PLR0913, PLR0917 the services, and the ways by which answers leave
        self,
        indexes: PythonIndexes,
        foresight: Foresight,
        archives: AptArchives,
        responder: Responder,
        replay: Replay,
        own_pages: OwnPages,
        tunnels: Tunnels,
        observer: Observer,
        clock: Clock,
        via: str,
        names: AbstractSet[str],
        parent: Parent | None = None,
        public_url: str = "",
    ) -> None:
        """`via`: this cache's name in requests to proxies and to its parent. `names`: its host names.

        `public_url`: of the settings.
        """
        self._indexes = indexes
        self._foresight = foresight
        self._archives = archives
        self._responder = responder
        self._replay = replay
        self._own_pages = own_pages
        self._tunnels = tunnels
        self._observer = observer
        self._clock = clock
        self._via = via
        self._names = names
        self._parent = parent
        self._public_url = public_url

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; for aiohttp's server."""
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        connection.begin_request()
        framing = Framing((request.version.major, request.version.minor), request.keep_alive)
        exchange = Exchange(connection, Query(None, request.method), framing, self._clock.monotonic())
        headers = request.headers
        path = request_target.logged_unread(request.raw_path)
        record = _RequestRecord(exchange, path, agent=agent_of(headers), in_build=in_build(headers))
        try:
            return record.left(record.with_cors(await self._answer(request, record)), self._clock.monotonic())
        except PullthroughError as error:
            response = record.with_cors(self._error_response(error, request, record))
            record.outcome, exchange.status = Outcome.ERROR, response.status
            if request.method == "CONNECT":
                response.force_close()  # the bytes that follow may be meant for the host
            return record.left(response, self._clock.monotonic())
        except ConnectionError as broken:
            if isinstance(broken, ClientGone):
                connection.reset()
            elif isinstance(broken, BodyBroken):
                record.outcome = Outcome.ERROR  # whatever its head said
            return _break_connection(request, record)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 the last line of defence: no defect may make a body look whole
            _log.exception("request failed unexpectedly")
            return _break_connection(request, record)
        finally:
            self._observer(record.event(self._clock.monotonic()))

    async def _answer(self, request: web.BaseRequest, record: _RequestRecord) -> web.StreamResponse:
        exchange = record.exchange
        refusal = admission.refusal(request, self._via)
        if refusal is not None:
            exchange.status = refusal.status
            return refusal
        if self._parent is not None:
            self._parent.asked(request.headers.getall("Via", ()))
        if request.method == "CONNECT":
            to = tunnel_connections.parse_authority(request.raw_path)
            record.path, record.outcome = f"{to[0]}:{to[1]}", Outcome.MISS
            return await self._tunnels.carry(exchange, to)
        local_address = exchange.connection.local_address
        target = request_target.parse(request.raw_path, local_address, self._indexes.mounts, self._names)
        record.path = target.logged
        if request.method == "OPTIONS":
            return self._preflight(target, record)
        if isinstance(target, ArchiveTarget):
            return await self._answer_archive(request, target, record)
        page = await self._own_pages.answer(target.path, request)
        if page is not None:
            exchange.status, record.outcome = page.status, Outcome.HIT
            if isinstance(page, SharedAnswer):
                self._replay.remember_shared(exchange, record.path, page, record.agent, in_build=record.in_build)
            return page
        return await self._answer_index(request, target, record)

    async def _answer_index(
        self, request: web.BaseRequest, own: OwnTarget, record: _RequestRecord
    ) -> web.StreamResponse:
        target = addresses.parse(own.path, self._indexes.mounts)
        record.mount = target.mount
        record.exchange.cors = target.mount in self._indexes.public
        if not record.exchange.cors:
            admission.check_browser_host(request.raw_path, request.headers, self._names)
        connection = record.exchange.connection
        client = connection.clients.client(connection.peer, request.headers)
        local_address = connection.local_address if came_straight(request) else None
        base = own_base(request.headers.get("Host", ""), local_address, self._public_url)
        query = query_of(request, target, own.query, client, base)
        record.exchange.query = query
        return await self._send(partial(self._foresight.answer, query), record)

    async def _answer_archive(
        self, request: web.BaseRequest, target: ArchiveTarget, record: _RequestRecord
    ) -> web.StreamResponse:
        address = target.address
        record.mount, record.archive = ARCHIVES, address
        if not target.proxied and self._archives.is_private(address):
            admission.check_browser_host(request.raw_path, request.headers, self._names)
        connection = record.exchange.connection
        query = query_of(request, address, client=connection.clients.client(connection.peer, request.headers))
        record.exchange.query = query
        pipelined, local_address = connection.pipelined_targets(), connection.local_address
        self._archives.prefetch(
            request_target.archive_addresses(pipelined, local_address, self._indexes.mounts, self._names)
        )
        return await self._send(partial(self._archives.answer, query), record)

    async def _send(self, answer: Callable[[], Awaitable[Answer]], record: _RequestRecord) -> web.StreamResponse:
        """Send what a service answers. It is asked again after BlobDamaged: the damaged file is dropped by then."""
        try:
            return await self._send_answer(await answer(), record)
        except BlobDamaged:
            return await self._send_answer(await answer(), record)

    async def _send_answer(self, answer: Answer, record: _RequestRecord) -> web.StreamResponse:
        exchange = record.exchange
        if isinstance(answer, Elsewhere):
            exchange.status, record.outcome, record.kind = 302, Outcome.HIT, Kind.PAGE
            form = negotiation.named(exchange.query.format)
            location = answer.location + (f"?format={quote(form.value)}" if form else "")
            # Not 301 or 308: pip stores those for ever.
            return text_response(302, "The page is at the normalised name.", {"Location": location})
        if isinstance(answer, Later):
            exchange.status, record.outcome, record.kind = 302, Outcome.MISS, Kind.METADATA
            return text_response(302, "The metadata is not ready yet; ask again.", {"Location": answer.location})
        if isinstance(answer, ProjectStream):
            record.kind, record.outcome = Kind.PAGE, Outcome.MISS
            return await self._responder.send_projects(exchange, answer)
        # The figures are of upstreams: what a group answers counts for its member.
        record.mount, record.kind, record.outcome = answer.mount, answer.kind, answer.outcome
        record.project, record.sha256 = answer.project, answer.sha256
        if answer.outcome is Outcome.STALE:
            record.stale_age = answer.age
        sent = await self._responder.send(exchange, answer)
        told = None if record.archive is not None else self._foresight.answered
        self._replay.remember(exchange, record.path, answer, record.agent, in_build=record.in_build, told=told)
        return sent

    def _preflight(self, target: OwnTarget | ArchiveTarget, record: _RequestRecord) -> web.StreamResponse:
        """Tell a browser whether a page of another site may send a request (OPTIONS)."""
        public = False
        if isinstance(target, OwnTarget):
            with contextlib.suppress(PullthroughError):
                public = addresses.parse(target.path, self._indexes.mounts).mount in self._indexes.public
        changing = isinstance(target, OwnTarget) and target.path in admission.CHANGING
        answer = admission.preflight() if public else admission.method_not_allowed(changing=changing)
        record.exchange.status = answer.status
        record.outcome = Outcome.HIT if public else Outcome.ERROR
        return answer

    def _error_response(
        self, error: PullthroughError, request: web.BaseRequest, record: _RequestRecord
    ) -> web.StreamResponse:
        address = record.archive
        if address is None:
            # apt and pip show the reason phrase, and no body: it says what is wrong with a line of their settings.
            shown = record.mount == "-" or record.agent.name == "apt" or isinstance(error, NotHere)
            return error_response(error, in_status_line=shown)
        # When an archive cannot be reached, a client that has an older copy goes on with it, as without a cache.
        final = not request.headers.get("If-Modified-Since") and self._archives.is_list(address)
        response = error_response(error, in_status_line=True, final=final)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("archive not answered", extra={"upstream": ARCHIVES, "reason": str(error)})
        return response


@dataclass(slots=True)
class _RequestRecord:
    """What is known of a request when it is counted."""

    exchange: Exchange
    path: str
    mount: str = "-"
    kind: Kind = Kind.OTHER
    outcome: Outcome = Outcome.ERROR
    archive: ArchiveAddress | None = None
    stale_age: float | None = None
    agent: UserAgent = UNKNOWN
    in_build: bool = False
    project: str | None = None
    sha256: str | None = None

    def with_cors(self, response: web.StreamResponse) -> web.StreamResponse:
        """The response. Pages of other sites may read it, even an error, if they may read the target."""
        if self.exchange.cors and not isinstance(response, AlreadySent):
            response.headers.update(CORS_FIELDS)
        return response

    def left(self, response: web.StreamResponse, now: float) -> web.StreamResponse:
        """The response, which begins to leave at `now` unless it did before."""
        if not isinstance(response, AlreadySent):
            self.exchange.begin(now)
        return response

    def event(self, now: float) -> Served:
        exchange = self.exchange
        first = exchange.first_byte
        return Served(
            self.mount,
            self.kind,
            self.outcome,
            exchange.status or _CLIENT_GONE,
            exchange.sent,
            now - exchange.started,
            exchange.query.method,
            self.path,
            exchange.connection.peer,
            first_byte=None if first is None else first - exchange.started,
            stale_age=self.stale_age,
            agent=self.agent,
            project=self.project,
            sha256=self.sha256,
        )


def _break_connection(request: web.BaseRequest, record: _RequestRecord) -> web.StreamResponse:
    """Break the connection of an answer that cannot be completed."""
    if request.transport is not None:
        request.transport.abort()
    return AlreadySent(record.exchange.status or _CLIENT_GONE, keep_alive=False)
