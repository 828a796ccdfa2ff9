"""Answers clients by the service of Python indexes, and asks it for what they will ask next (ADR 18).

Metadata that a client takes names the projects that it looks for next (`resolution`). When the client downloads the
first of the files that it chose, the others follow (`downloads_ahead`). What is foreseen is asked for as a client would
ask, behind what clients wait for (`requests_ahead`).
"""

from __future__ import annotations

import logging

from msgspec import structs

from proxy.cache.flight import Flight
from proxy.cache.representation import Representation
from proxy.foresight.background import Background
from proxy.foresight.downloads_ahead import DownloadsAhead
from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install, Installs
from proxy.foresight.requests_ahead import TROUBLE, Bounds, RequestsAhead
from proxy.foresight.resolution import Resolution
from proxy.model import Kind, Outcome, Query, Target
from proxy.ports import BlobReader, Clock, Observer
from proxy.python import addresses
from proxy.python.attachments import METADATA
from proxy.python.service import Answer, PythonIndexes

_log = logging.getLogger(__name__)


class Foresight:
    """Answers, and looks ahead. Mutable state: the installs under way."""

    def __init__(
        self, indexes: PythonIndexes, blobs: BlobReader, observer: Observer, clock: Clock, bounds: Bounds
    ) -> None:
        self._indexes = indexes
        self._outlook = indexes.outlook
        self._clock = clock
        self._what = bounds.what
        self._installs = Installs()
        self._background = Background()
        self._ahead = RequestsAhead(indexes, observer, clock, bounds)
        self._resolution = Resolution(self._outlook, blobs, self._ahead, self._background)
        self._downloads = DownloadsAhead(self._outlook, self._ahead, self._background, bounds.size, self._ended)

    async def answer(self, query: Query[Target]) -> Answer:
        """Answer a query, as `PythonIndexes.answer`. Raises what that raises.

        An upstream may allow few requests at once. Where a client's fails while others go ahead of it, these stop, and
        it is made again: no client has an error, or an old page, that it would not have had alone. Where none do, none
        will for a while.
        """
        client = query.client.name
        with self._ahead.question(client):
            contended = self._contended(query.target)
            try:
                answer = await self._indexes.answer(structs.replace(query, contended=True) if contended else query)
            except TROUBLE as error:
                if not (await self._stepped_back(query.target, error) or contended):
                    raise
                answer = await self._indexes.answer(query)
        if isinstance(answer, Representation):
            self.answered(query, answer, client)
        return answer

    def answered(self, query: Query[Target], answer: Representation, client: str) -> None:
        """A client of this name has the answer to this query, or what is remembered of it (`web.replay`)."""
        if self._what != "off" and not query.head and query.span is None:
            try:
                self._answered(query, answer, client)
            except Exception:  # noqa: BLE001 a defect here must not cost a client its answer
                _log.exception("look-ahead failed unexpectedly")

    async def close(self) -> None:
        """Break off what no client waits for."""
        await self._background.close()
        await self._resolution.close()

    def _contended(self, target: Target) -> bool:
        """Whether others go ahead of a client there."""
        try:
            return not self._ahead.idle and self._ahead.concerns(self._outlook.first(target).mount)
        except Exception:  # noqa: BLE001 likewise
            _log.exception("look-ahead failed unexpectedly")
            return False

    async def _stepped_back(self, target: Target, error: Exception) -> bool:
        """Whether others went ahead of a client, which failed there, and do so no more."""
        try:
            mount = self._outlook.first(target).mount
            going = self._ahead.concerns(mount)
            self._ahead.failed(mount, error)
        except Exception:  # noqa: BLE001 likewise
            _log.exception("look-ahead failed unexpectedly")
            return False
        if going:
            await self._ahead.step_back(mount)
        return going

    def _ended(self, client: str, install: Install) -> None:
        """A file of a client is here, or failed."""
        self._installs.ended(client, install, self._clock.monotonic())

    def _answered(self, query: Query[Target], answer: Representation, client: str) -> None:
        environment = of_agent(query.user_agent)
        if environment is None:
            return
        target = query.target
        foreseen = self._ahead.foresaw(self._outlook.first(target))
        install = self._installs.of(client, self._clock.monotonic(), environment)
        match answer.kind:
            case Kind.PAGE:
                install.accept, install.accept_encoding = query.accept, query.accept_encoding
                install.base = query.base
                name = self._outlook.project(target)
                if name is not None:
                    install.asked_page(name, target)
            case Kind.METADATA:
                wheel = Target(target.mount, target.host, target.path.removesuffix(METADATA))
                name = addresses.project_of(wheel)
                project = install.took_metadata(name, wheel) if name is not None else None
                # Where it was here before, so is most of what comes next.
                if project is not None and not foreseen and answer.outcome is not Outcome.HIT:
                    self._background.begin(self._resolution.taken(client, install, str(name), project, answer))
            case Kind.FILE:
                flight = answer.body if isinstance(answer.body, Flight) else None
                # uv that locks downloads a wheel only to build with it.
                downloads = self._what == "files" and not install.environment.locks
                chosen = install.asked_file(target) and downloads
                if chosen and (foreseen or answer.outcome is not Outcome.HIT):
                    self._downloads.begun(client, install, flight)
                elif flight is not None:
                    self._downloads.waits(client, install, flight)
