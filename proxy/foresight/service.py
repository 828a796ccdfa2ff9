"""Answers clients by the service of Python indexes, and asks it for what they will ask next (ADR 18).

Metadata that a client takes names the projects that it looks for next: their pages, and the metadata of the file that
a resolver tries first, are asked for at once, and so on from there. When the client downloads the first of the files
that it chose, the others follow. What is foreseen is asked for as a client would ask, behind what clients wait for.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from proxy.backoff import Backoff
from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.cache.workers import Workers
from proxy.errors import PullthroughError, UpstreamBroken, UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable
from proxy.foresight import candidates, requirements
from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install, Installs, Project
from proxy.foresight.predictions import Predictions
from proxy.model import Blob, Kind, Outcome, Query, Target
from proxy.ports import BlobReader, Clock, Observer
from proxy.python import addresses
from proxy.python.metadata import MOST_WAITS
from proxy.python.plain_links import Link
from proxy.python.service import Answer, PythonIndexes

_log = logging.getLogger(__name__)

_FILES = 4  # at once, of one client
_MANY = 4  # pages and metadata that a client asks for at once: it needs no help
_SMALL = 8 << 20  # bytes of a file that need not wait until clients wait for none
_LONGEST_METADATA = 2 << 20  # bytes of a metadata file that is read
_TASKS = 1024
_FIRST, _LONGEST, _MOUNTS = 10.0, 600.0, 256  # seconds without look-ahead after a mount failed; mounts remembered
_PATIENCE = 15.0  # seconds for a page or metadata
_METADATA = ".metadata"
# What is said of an upstream, and not of one address there.
_TROUBLE = (UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable, UpstreamBroken, TimeoutError)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far it looks. `requests`: at once, at least two; `size`: bytes of files that a client did not ask for yet."""

    what: Literal["off", "metadata", "files"] = "files"
    requests: int = 16
    size: int = 256 << 20


class Foresight:
    """Answers, and looks ahead. Mutable state: the work under way, the installs, and what was foreseen."""

    def __init__(
        self, indexes: PythonIndexes, blobs: BlobReader, observer: Observer, clock: Clock, bounds: Bounds
    ) -> None:
        self._indexes = indexes
        self._outlook = indexes.outlook
        self._blobs = blobs
        self._clock = clock
        self._bounds = bounds
        # Files take long, and nobody who resolves waits behind them.
        for_files = bounds.requests // 2
        self._slots, self._file_slots = asyncio.Semaphore(bounds.requests - for_files), asyncio.Semaphore(for_files)
        self._installs = Installs()
        self._predictions = Predictions(observer)
        self._failing: Backoff[str] = Backoff(_FIRST, _LONGEST, _MOUNTS)
        self._work = Workers("foresight", 1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: collections.Counter[str] = collections.Counter()  # questions of a client that have no answer yet

    async def answer(self, query: Query[Target]) -> Answer:
        """Answer a query, as `PythonIndexes.answer`. Raises what that raises."""
        client = query.client.name
        self._asking[client] += 1
        try:
            answer = await self._indexes.answer(query)
        finally:
            self._asking[client] -= 1
            if not self._asking[client]:
                del self._asking[client]
        if isinstance(answer, Representation):
            self.answered(query, answer, query.client.name)
        return answer

    def answered(self, query: Query[Target], answer: Representation, client: str) -> None:
        """A client of this name has the answer to this query, or what is remembered of it (`web.replay`)."""
        if self._bounds.what != "off" and not query.head and query.span is None:
            try:
                self._answered(query, answer, client)
            except Exception:  # noqa: BLE001 a defect here must not cost a client its answer
                _log.exception("look-ahead failed unexpectedly")

    async def close(self) -> None:
        """Break off what no client waits for."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._work.close()

    # ------------------------------------------------------------------ what clients ask

    def _answered(self, query: Query[Target], answer: Representation, client: str) -> None:
        environment = of_agent(query.user_agent)
        if environment is None:
            return
        now, target = self._clock.monotonic(), query.target
        foreseen = self._predictions.asked(self._outlook.first(target), now)
        install = self._installs.of(client, now, environment)
        match answer.kind:
            case Kind.PAGE:
                install.accept, install.accept_encoding = query.accept, query.accept_encoding
                install.base = query.base
                name = self._outlook.project(target)
                if name is not None:
                    install.asked_page(name, target)
            case Kind.METADATA:
                wheel = Target(target.mount, target.host, target.path.removesuffix(_METADATA))
                name = addresses.project_of(wheel)
                project = install.took_metadata(name, wheel) if name is not None else None
                # Where it was here before, so is most of what comes next.
                if project is not None and not foreseen and answer.outcome is not Outcome.HIT:
                    self._begin(self._taken(client, install, str(name), project, answer))
            case Kind.FILE if install.asked_file(target):
                # uv that locks downloads a wheel only to build with it.
                downloads = self._bounds.what == "files" and not install.environment.locks
                if downloads and (foreseen or answer.outcome is not Outcome.HIT):
                    if isinstance(answer.body, Flight):
                        self._begin(self._until_here(client, install, answer.body))
                    self._begin(self._next_files(client, install))

    async def _taken(self, client: str, install: Install, name: str, project: Project, answer: Representation) -> None:
        """A client took metadata that nobody foresaw."""
        if self._hurries(client):
            return
        wheel, found = project.wheel, await self._read(answer)
        if found is not None and project.wheel == wheel:
            project.requirements = found
            await self._follow(client, install, name, project)

    async def _until_here(self, client: str, install: Install, flight: Flight) -> None:
        """A file that the client waits for is on its way: when it is here, its line is free for others."""
        install.downloading += 1
        try:
            with contextlib.suppress(PullthroughError):
                await flight.ended()
        finally:
            install.downloading -= 1
        await self._next_files(client, install)

    # ------------------------------------------------------------------ pages and metadata

    async def _follow(self, client: str, install: Install, name: str, project: Project) -> None:
        """Look for the projects that a wheel requires."""
        if self._hurries(client):
            return
        found, extras = project.requirements or (), project.extras
        for wanted in await self._work.run(requirements.wanted, found, install.environment, extras, name):
            other = install.project(wanted.project)
            news = other is not None and other.narrowed(wanted, self._beside(project, wanted.project))
            if other is not None and news and other is not project:
                self._begin(self._foresee(client, install, wanted.project, other))

    def _beside(self, project: Project, name: str) -> list[Target]:
        """Where the client will look for a project: beside the pages of the one that requires it."""
        return [self._outlook.beside(page, name) for page in project.pages]

    async def _foresee(self, client: str, install: Install, name: str, project: Project) -> None:
        """Have the pages of a project here, and the metadata of the wheel that a resolver tries first."""
        listed: list[tuple[Target, Sequence[Link]]] = []
        for page in map(self._outlook.first, project.pages):
            await self._ask(client, install, page, Kind.PAGE)
            listed.append((page, await self._outlook.links(page)))
        found = await self._work.run(candidates.first_listed, listed, project.specifier, install.environment)
        wheel = self._outlook.place(*found) if found is not None else None
        if found is None or wheel is None or not self._outlook.is_cheap(found[0]):
            return
        if wheel != project.wheel:
            answer = await self._ask(client, install, _metadata_of(wheel), Kind.METADATA)
            needed = await self._read(answer) if answer is not None else None
            if needed is None or (project.wheel != wheel and project.wheel in install.taken):
                return  # the client has chosen another one meanwhile
            project.wheel, project.requirements = wheel, needed
        await self._follow(client, install, name, project)

    async def _read(self, answer: Representation) -> tuple[str, ...] | None:
        """The requirements in metadata; None if it is too long."""
        body = answer.body
        if isinstance(body, Blob) and body.size <= _LONGEST_METADATA:
            with self._blobs.lease(body) as descriptor:
                return await self._work.run(_from_descriptor, descriptor, body.size)
        if isinstance(body, bytes) and len(body) <= _LONGEST_METADATA:
            return await self._work.run(requirements.read, body)
        return None

    # ------------------------------------------------------------------ files

    async def _next_files(self, client: str, install: Install) -> None:
        """Fetch what the client will download next, as far as there is room.

        uv asks for dozens of files at once: one look is for all that came before it began.
        """
        install.look_again = True
        if install.looking:
            return
        install.looking = True
        try:
            while install.look_again:
                await asyncio.sleep(0)
                install.look_again = False
                await self._look(client, install)
        finally:
            install.looking = False

    async def _look(self, client: str, install: Install) -> None:
        for wheel in tuple(install.taken):
            # uv asks for dozens of files at once: it needs no help.
            if install.files >= _FILES or install.downloading > _FILES:
                return
            if wheel in install.ahead:
                continue
            prospect = await self._outlook.prospect(wheel)
            size = prospect.size
            if prospect.here:
                install.ahead.setdefault(wheel, 0)
            if wheel in install.ahead or wheel not in install.taken or not prospect.free or size is None:
                continue
            if install.files >= _FILES or install.bytes_ahead + size > self._bounds.size:
                continue
            if size > _SMALL and (install.files or install.downloading or not self._outlook.idle):
                continue
            install.files += 1
            install.ahead[wheel] = size
            self._begin(self._fetch(client, install, wheel))

    async def _fetch(self, client: str, install: Install, wheel: Target) -> None:
        """Fetch a file, and then the next ones."""
        try:
            if await self._ask(client, install, wheel, Kind.FILE) is None and wheel in install.ahead:
                install.ahead[wheel] = 0  # it takes no room, and is not tried again
        finally:
            install.files -= 1
        await self._next_files(client, install)

    # ------------------------------------------------------------------ asking

    async def _ask(self, client: str, install: Install, target: Target, kind: Kind) -> Representation | None:
        """Ask as the client would, when it is its turn. None if that would be too much, or nothing came of it."""
        async with self._file_slots if kind is Kind.FILE else self._slots:
            now = self._clock.monotonic()
            if self._failing.active(target.mount, now) or not self._predictions.may(client, now):
                return None
            if kind is not Kind.FILE and self._hurries(client):
                return None
            prediction = self._predictions.begin(target, kind, client, now)
            size: int | None = None
            try:
                answer, size = await self._answered_ahead(install, target, kind)
            except _TROUBLE as error:
                wait = error.retry_after if isinstance(error, UpstreamThrottled) else None
                self._failing.failed(target.mount, self._clock.monotonic(), at_least=float(wait or 0))
                return None
            except PullthroughError:
                return None
            finally:
                if prediction is not None:
                    self._predictions.ended(prediction, size)
            return answer

    async def _answered_ahead(
        self, install: Install, target: Target, kind: Kind
    ) -> tuple[Representation | None, int | None]:
        """The answer, and the bytes that upstream sent for it: None if it was here before."""
        page = kind is Kind.PAGE
        query = Query(
            target,
            accept=install.accept if page else None,
            accept_encoding=install.accept_encoding if page else None,
            waited=MOST_WAITS,
            ahead=True,
            base=install.base if page else "",
        )
        async with asyncio.timeout(None if kind is Kind.FILE else _PATIENCE):
            answer = await self._indexes.answer(query)
        return (answer, await self._size(target, answer)) if isinstance(answer, Representation) else (None, None)

    async def _size(self, target: Target, answer: Representation) -> int | None:
        """Bytes that upstream sent for an answer; None if it was here before. A file is waited for."""
        body = answer.body
        if isinstance(body, Passthrough):
            await body.close()  # the disk does not take it
            return None
        if answer.outcome not in (Outcome.MISS, Outcome.REVALIDATED):
            return None
        if isinstance(body, Flight):
            await body.ended()
            return body.size
        if answer.outcome is Outcome.REVALIDATED:
            return 0
        return self._outlook.page_size(target) if answer.kind is Kind.PAGE else answer.size

    def _hurries(self, client: str) -> bool:
        """Whether a client asks for all that it needs by itself, in the same moment, as uv does."""
        return self._asking[client] > _MANY

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that no client waits for."""
        if len(self._tasks) >= _TASKS:
            work.close()
            return
        task = asyncio.create_task(_harmless(work), name="foresight")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _harmless(work: Coroutine[Any, Any, None]) -> None:
    """Work whose failure concerns no client."""
    try:
        await work
    except PullthroughError as error:
        _log.debug("not foreseen", extra={"reason": str(error)})
    except Exception:  # noqa: BLE001 a defect here must not show anywhere but in the log
        _log.exception("look-ahead failed unexpectedly")


def _metadata_of(wheel: Target) -> Target:
    return Target(wheel.mount, wheel.host, wheel.path + _METADATA)


def _from_descriptor(descriptor: int, size: int) -> tuple[str, ...]:
    return requirements.read(os.pread(descriptor, size, 0))
