"""The edge: a request is checked, read into a query, answered by a service, sent, and counted.

Requests that are no GET, HEAD, CONNECT or OPTIONS, or that have a body, are refused (`admission`). `request_target`
tells archives from addresses of this cache: the program's own pages, then the mounts. Errors become answers by the
table in `error_responses`; once the head has left, an error breaks the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.service import AptArchives
from proxy.cache.representation import Representation
from proxy.errors import BlobDamaged, PullthroughError
from proxy.events import Served
from proxy.model import Kind, Outcome, Query, Target
from proxy.ports import Observer
from proxy.python import addresses, negotiation
from proxy.python.later import Later
from proxy.python.lists import ProjectStream
from proxy.python.routes import Elsewhere
from proxy.python.service import PythonIndexes
from proxy.upstream import lines
from proxy.web import admission, request_target
from proxy.web.admission import READABLE
from proxy.web.answer_plan import Framing
from proxy.web.error_responses import error_response, text_response
from proxy.web.own_pages import OwnPages
from proxy.web.replay import Replay
from proxy.web.request_head import query_of
from proxy.web.request_target import Archived, Own
from proxy.web.responses import Exchange, Responder, Sent
from proxy.web.sender import BodyBroken, ClientGone
from proxy.web.server import Connection
from proxy.web.tunnel import Tunnels

_log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # the client went away before there was an answer


class Edge:
    """Answers the requests that are not replayed."""

    def __init__(  # noqa: PLR0913, PLR0917 the services and what answers leave by
        self,
        indexes: PythonIndexes,
        archives: AptArchives,
        responder: Responder,
        replay: Replay,
        own_pages: OwnPages,
        tunnels: Tunnels,
        observer: Observer,
        via: str,
        names: AbstractSet[str],
    ) -> None:
        """`via`: this cache's name in requests that it sends through proxies. `names`: its host names."""
        self._names = names
        self._indexes = indexes
        self._archives = archives
        self._responder = responder
        self._own_pages = own_pages
        self._tunnels = tunnels
        self._via = via
        self._observer = observer
        self._replay = replay

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; for aiohttp's server."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin()
        # An address in proxy form may hold a password: until it is read, it is not logged.
        path = request.raw_path if request.raw_path.startswith("/") else "-"
        framing = Framing((request.version.major, request.version.minor), request.keep_alive)
        record = _Record(Exchange(connection, Query(None, request.method), framing), path)
        try:
            return record.readable(await self._answer(request, record))
        except PullthroughError as error:
            response = record.readable(self._failed(error, request, record))
            record.outcome, record.exchange.status = Outcome.ERROR, response.status
            if request.method == "CONNECT":
                response.force_close()  # what comes next may be meant for the host
            return response
        except ConnectionError as broken:
            if isinstance(broken, ClientGone):
                connection.reset()
            elif isinstance(broken, BodyBroken):
                record.outcome = Outcome.ERROR  # whatever its head said
            return _broken(request, record)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 the last line of defence: nothing may end a body as if it were whole
            _log.exception("request failed unexpectedly")
            return _broken(request, record)
        finally:
            self._observer(record.event())

    async def _answer(self, request: web.BaseRequest, record: _Record) -> web.StreamResponse:
        refusal = admission.refusal(request, self._via)
        if refusal is not None:
            record.exchange.status = refusal.status
            return refusal
        if request.method == "CONNECT":
            to = lines.place(request.raw_path)
            record.path, record.outcome = f"{to[0]}:{to[1]}", Outcome.MISS
            return await self._tunnels.carry(record.exchange, to)
        own = record.exchange.connection.own
        target = request_target.read(request.raw_path, own, self._indexes.mounts, self._names)
        record.path = target.shown
        if request.method == "OPTIONS":
            return self._preflight(target, record)
        if isinstance(target, Archived):
            return await self._answer_archive(request, target.address, record)
        page = self._own_pages.answer(target.path, request)
        if page is not None:
            record.exchange.status, record.outcome = page.status, Outcome.HIT
            return page
        return await self._answer_index(request, target, record)

    async def _answer_index(self, request: web.BaseRequest, own: Own, record: _Record) -> web.StreamResponse:
        target = addresses.parse(own.path, self._indexes.mounts)
        record.mount = target.mount
        record.exchange.readable = target.mount in self._indexes.public
        if not record.exchange.readable:
            admission.refuse_stranger(request.raw_path, request.headers, self._names)
        query = query_of(request, target, own.query)
        record.exchange.query = query
        try:
            return await self._send_index(query, record)
        except BlobDamaged:  # it is dropped by now, and fetched this time
            return await self._send_index(query, record)

    async def _send_index(self, query: Query[Target], record: _Record) -> web.StreamResponse:
        answer = await self._indexes.answer(query)
        if isinstance(answer, Elsewhere):
            record.exchange.status, record.outcome, record.kind = 302, Outcome.HIT, Kind.PAGE
            form = negotiation.named(query.format)
            location = answer.location + (f"?format={quote(form.value)}" if form else "")
            # Not 301 or 308: pip keeps those for ever.
            return text_response(302, "The page is at the normalised name.", {"Location": location})
        if isinstance(answer, Later):
            record.exchange.status, record.outcome, record.kind = 302, Outcome.MISS, Kind.METADATA
            return text_response(302, "The metadata is on its way.", {"Location": answer.location})
        if isinstance(answer, ProjectStream):
            record.kind, record.outcome = Kind.PAGE, Outcome.MISS
            return await self._responder.send_projects(record.exchange, answer)
        return await self._send(answer, record)

    async def _answer_archive(
        self, request: web.BaseRequest, address: ArchiveAddress, record: _Record
    ) -> web.StreamResponse:
        record.mount, record.archive = ARCHIVES, address
        if request.raw_path.startswith("/") and self._archives.is_private(address):
            admission.refuse_stranger(request.raw_path, request.headers, self._names)
        connection = record.exchange.connection
        query = query_of(request, address, client=connection.clients.client(connection.client, request.headers))
        record.exchange.query = query
        waiting = request_target.archived(connection.waiting(), connection.own, self._indexes.mounts, self._names)
        self._archives.prefetch(waiting)
        try:
            return await self._send(await self._archives.answer(query), record)
        except BlobDamaged:  # it is dropped by now, and fetched this time
            return await self._send(await self._archives.answer(query), record)

    async def _send(self, answer: Representation, record: _Record) -> web.StreamResponse:
        # What a group answers is its member's: the figures are of upstreams.
        record.mount, record.kind, record.outcome = answer.mount, answer.kind, answer.outcome
        sent = await self._responder.send(record.exchange, answer)
        self._replay.remember(record.exchange, record.path, answer)
        return sent

    def _preflight(self, target: Own | Archived, record: _Record) -> web.StreamResponse:
        """Whether a page of another site may ask for something (OPTIONS)."""
        public = False
        if isinstance(target, Own):
            with contextlib.suppress(PullthroughError):
                public = addresses.parse(target.path, self._indexes.mounts).mount in self._indexes.public
        answer = admission.preflight() if public else admission.no_such_method()
        record.exchange.status = answer.status
        record.outcome = Outcome.HIT if public else Outcome.ERROR
        return answer

    def _failed(self, error: PullthroughError, request: web.BaseRequest, record: _Record) -> web.StreamResponse:
        """The answer that tells an error."""
        address = record.archive
        if address is None:
            return error_response(error, aloud=request.method == "CONNECT" or record.path == "-")  # as a proxy
        # A client that has an older copy goes on with it when an archive cannot be reached, as without a cache.
        final = not request.headers.get("If-Modified-Since") and self._archives.is_list(address)
        response = error_response(error, aloud=True, final=final)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("archive not answered", extra={"upstream": ARCHIVES, "reason": str(error)})
        return response


@dataclass(slots=True)
class _Record:
    """What is known of a request when it is counted."""

    exchange: Exchange
    path: str
    mount: str = "-"
    kind: Kind = Kind.OTHER
    outcome: Outcome = Outcome.ERROR
    archive: ArchiveAddress | None = None

    def readable(self, response: web.StreamResponse) -> web.StreamResponse:
        """The answer; pages of other sites may read it, an error too, where they may read the target."""
        if self.exchange.readable and not isinstance(response, Sent):
            response.headers.update(READABLE)
        return response

    def event(self) -> Served:
        exchange = self.exchange
        return Served(
            self.mount,
            self.kind,
            self.outcome,
            exchange.status or _CLIENT_GONE,
            exchange.sent,
            time.monotonic() - exchange.started,
            exchange.query.method,
            self.path,
            exchange.connection.client,
        )


def _broken(request: web.BaseRequest, record: _Record) -> web.StreamResponse:
    """Break the connection of an answer that cannot be ended rightly."""
    if request.transport is not None:
        request.transport.abort()
    return Sent(record.exchange.status or _CLIENT_GONE, keep_alive=False)
