"""The way of a request: method and address checked, answered by a service, sent, counted.

What is no GET or HEAD, or has a body, is refused; `forms` tells archives from addresses of the cache itself: the
program's own pages, then the mounts. Errors become answers by the table in `failures`; after the head is out they break
the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from aiohttp import web

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.request import Request
from proxy.apt.service import AptArchives
from proxy.cache.representation import Representation
from proxy.errors import BadTarget, BlobDamaged, PullthroughError
from proxy.events import Served
from proxy.model import Kind, Outcome, Target
from proxy.ports import Observer
from proxy.python import addresses, negotiation
from proxy.python.later import MOST, Later
from proxy.python.lists import ProjectStream
from proxy.python.question import Question
from proxy.python.routes import Elsewhere
from proxy.python.service import PythonIndexes
from proxy.upstream import lines
from proxy.web import browsers, conditions, failures, forms, refusing, sharing
from proxy.web.browsers import READABLE
from proxy.web.operations import Operations
from proxy.web.plans import Asked
from proxy.web.responses import Exchange, Responder, Sent
from proxy.web.sender import BodyBroken, ClientGone
from proxy.web.server import Connection
from proxy.web.shortcut import Shortcut
from proxy.web.tunnel import Tunnels

_log = logging.getLogger(__name__)

_CLIENT_GONE = 499  # the client went away before there was an answer


class Edge:
    """Answers requests that take the usual way."""

    def __init__(  # noqa: PLR0913, PLR0917 the services and what answers leave by
        self,
        indexes: PythonIndexes,
        archives: AptArchives,
        responder: Responder,
        shortcut: Shortcut,
        operations: Operations,
        tunnels: Tunnels,
        observer: Observer,
        via: str,
        names: AbstractSet[str],
    ) -> None:
        """`via`: this cache's name in requests that it sends through proxies. `names`: what clients call it."""
        self._names = names
        self._indexes = indexes
        self._archives = archives
        self._responder = responder
        self._operations = operations
        self._tunnels = tunnels
        self._via = via
        self._observer = observer
        self._shortcut = shortcut

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; for aiohttp's server."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.begin()
        # An address in proxy form may hold a password: until it is read, it is not logged.
        path = request.raw_path if request.raw_path.startswith("/") else "-"
        told = _Told(Exchange(connection, Asked.of(request, None)), path)
        try:
            return told.readable(await self._answer(request, told))
        except PullthroughError as error:
            response = told.readable(self._failed(error, told))
            told.outcome, told.exchange.status = Outcome.ERROR, response.status
            if request.method == "CONNECT":
                response.force_close()  # what comes next may be meant for the host
            return response
        except ConnectionError as broken:
            if isinstance(broken, ClientGone):
                connection.reset()
            elif isinstance(broken, BodyBroken):
                told.outcome = Outcome.ERROR  # whatever its head said
            return _broken(request, told)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 the last line of defence: nothing may end a body as if it were whole
            _log.exception("request failed unexpectedly")
            return _broken(request, told)
        finally:
            self._observer(told.event())

    def _failed(self, error: PullthroughError, told: _Told) -> web.StreamResponse:
        """The answer that tells an error."""
        asked, address = told.exchange.asked, told.archived
        if address is None:
            return failures.response_of(error, aloud=asked.method == "CONNECT" or told.path == "-")  # as a proxy
        # Who has an older copy goes on with that when an archive cannot be reached, as without a cache.
        final = not asked.if_modified_since and self._archives.final(address)
        response = failures.response_of(error, aloud=True, final=final)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.warning("archive not answered", extra={"upstream": ARCHIVES, "reason": str(error)})
        return response

    async def _answer(self, request: web.BaseRequest, told: _Told) -> web.StreamResponse:
        refusal = refusing.refusal(request, self._via)
        if refusal is not None:
            told.exchange.status = refusal.status
            return refusal
        if request.method == "CONNECT":
            to = lines.place(request.raw_path)
            told.path, told.outcome = f"{to[0]}:{to[1]}", Outcome.MISS
            return await self._tunnels.carry(told.exchange, to)
        target = forms.read(request.raw_path, told.exchange.connection.own, self._indexes.mounts, self._names)
        told.path = target.shown
        if request.method == "OPTIONS":
            return self._preflight(target, told)
        if isinstance(target, forms.Archived):
            return await self._answer_archive(request, target.address, told)
        return await self._answer_own(request, target, told)

    async def _answer_own(self, request: web.BaseRequest, own: forms.Own, told: _Told) -> web.StreamResponse:
        answer = self._operations.answer(own.path, request)
        if answer is not None:
            told.exchange.status, told.outcome = answer.status, Outcome.HIT
            return answer
        target = addresses.parse(own.path, self._indexes.mounts)
        told.mount = target.mount
        public = target.mount in self._indexes.public
        told.exchange.asked = replace(told.exchange.asked, readable=public)
        if not public:
            browsers.refuse_stranger(request.raw_path, request.headers, self._names)
        question = self._question(request, target, own.query)
        told.exchange.asked = replace(told.exchange.asked, span=question.span)
        try:
            return await self._answer_target(question, told)
        except BlobDamaged:
            # It was dropped when that was noticed: this time it is fetched.
            return await self._answer_target(question, told)

    def _preflight(self, target: forms.Own | forms.Archived, told: _Told) -> web.StreamResponse:
        """Whether a page of another site may ask for something (OPTIONS)."""
        public = False
        if isinstance(target, forms.Own):
            with contextlib.suppress(PullthroughError):
                public = addresses.parse(target.path, self._indexes.mounts).mount in self._indexes.public
        answer = browsers.preflight() if public else refusing.no_such_method()
        told.exchange.status = answer.status
        told.outcome = Outcome.HIT if public else Outcome.ERROR
        return answer

    async def _answer_archive(
        self, request: web.BaseRequest, address: ArchiveAddress, told: _Told
    ) -> web.StreamResponse:
        told.mount = ARCHIVES
        headers, connection = request.headers, told.exchange.connection
        told.archived = address
        if request.raw_path.startswith("/") and self._archives.secret(address):
            browsers.refuse_stranger(request.raw_path, headers, self._names)
        # RFC 9110 §14.2: a range of anything but a GET means nothing
        span = conditions.parse_range(headers.get("Range")) if request.method == "GET" else None
        told.exchange.asked = replace(told.exchange.asked, span=span)
        client = sharing.client_of(connection.client, headers)
        asked = Request(
            address,
            span,
            headers.get("If-Range"),
            revalidate="no-cache" in headers.get("Cache-Control", "").lower(),
            head=request.method == "HEAD",
            client=client,
            memory=connection.given.memory(client),
            shared=sharing.is_shared(headers),
            authorization=conditions.authorization(headers.getall("Authorization", ())),
        )
        self._archives.foresee(forms.archived(connection.waiting(), connection.own, self._indexes.mounts, self._names))
        try:
            return await self._send(told, await self._archives.answer(asked))
        except BlobDamaged:
            return await self._send(told, await self._archives.answer(asked))

    async def _answer_target(self, question: Question, told: _Told) -> web.StreamResponse:
        answer = await self._indexes.answer(question)
        if isinstance(answer, Elsewhere):
            told.exchange.status, told.outcome, told.kind = 302, Outcome.HIT, Kind.PAGE
            form = negotiation.named(question.format)
            location = answer.location + (f"?format={quote(form.value)}" if form else "")
            # Not 301 or 308: pip keeps those for ever.
            return failures.plain(302, "The page is at the normalised name.", {"Location": location})
        if isinstance(answer, Later):
            told.exchange.status, told.outcome, told.kind = 302, Outcome.MISS, Kind.METADATA
            return failures.plain(302, "The metadata is on its way.", {"Location": answer.location})
        if isinstance(answer, ProjectStream):
            told.kind, told.outcome = Kind.PAGE, Outcome.MISS
            return await self._responder.send_projects(told.exchange, answer)
        return await self._send(told, answer)

    async def _send(self, told: _Told, answer: Representation) -> web.StreamResponse:
        # What a group answers is its member's: the figures are of upstreams.
        told.mount, told.kind, told.outcome = answer.mount, answer.kind, answer.outcome
        sent = await self._responder.send(told.exchange, answer)
        self._shortcut.remember(told.exchange, told.path, answer)
        return sent

    @staticmethod
    def _question(request: web.BaseRequest, target: Target, query: str) -> Question:
        headers = request.headers
        return Question(
            target=target,
            accept=headers.get("Accept"),
            accept_encoding=headers.get("Accept-Encoding"),
            format=_format_of(query) if "format" in query else None,
            # RFC 9110 §14.2: a range of anything but a GET means nothing
            span=conditions.parse_range(headers.get("Range")) if request.method == "GET" else None,
            if_range=headers.get("If-Range"),
            revalidate="no-cache" in headers.get("Cache-Control", "").lower(),
            head=request.method == "HEAD",
            waited=_waited(query) if "waited" in query else 0,
            agent=headers.get("User-Agent"),
        )


@dataclass(slots=True)
class _Told:
    """What is known of a request when it is counted."""

    exchange: Exchange
    path: str
    mount: str = "-"
    kind: Kind = Kind.OTHER
    outcome: Outcome = Outcome.ERROR
    archived: ArchiveAddress | None = None

    def readable(self, response: web.StreamResponse) -> web.StreamResponse:
        """The answer; pages of other sites may read it, an error too, where they may read what was asked for."""
        if self.exchange.asked.readable and not isinstance(response, Sent):
            response.headers.update(READABLE)
        return response

    def event(self) -> Served:
        exchange = self.exchange
        seconds = time.monotonic() - exchange.started
        status = exchange.status or _CLIENT_GONE
        client = exchange.connection.client
        return Served(
            self.mount,
            self.kind,
            self.outcome,
            status,
            exchange.sent,
            seconds,
            exchange.asked.method,
            self.path,
            client,
        )


def _format_of(query: str) -> str | None:
    try:
        return parse_qs(query, max_num_fields=20).get("format", [None])[0]
    except ValueError:
        raise BadTarget("The query has too many fields; only format= is understood.") from None


def _waited(query: str) -> int:
    """How often the client was sent on; what is no number of this cache's counts as one that was."""
    match = re.fullmatch(r"waited=([0-9]{1,2})", query)
    return int(match[1]) if match else MOST


def _broken(request: web.BaseRequest, told: _Told) -> web.StreamResponse:
    """Break the connection of an answer that cannot be ended rightly."""
    if request.transport is not None:
        request.transport.abort()
    return Sent(told.exchange.status or _CLIENT_GONE, keep_alive=False)
