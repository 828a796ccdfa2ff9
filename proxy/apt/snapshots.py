"""Snapshots of suites: which one is served, when upstream is asked for a newer one, and when that takes its place.

The service asks for the present snapshot of a suite, or for the one that a client was given. The rules are in
`suites`, what is known in `lines`. Never sends anything to a client, and never changes a Release file.
"""

from __future__ import annotations

import asyncio
import logging
from typing import assert_never

from proxy.apt import suites
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.indexes import Indexes
from proxy.apt.policy import MOUNT
from proxy.apt.release_fetcher import Reading, Torn, address_of
from proxy.apt.suite_history import Line, Lines
from proxy.apt.suites import Form, Held, Snapshot, Verdict
from proxy.cache.bodies import Bodies
from proxy.cache.flights import Flights, Flying
from proxy.cache.patience import Patience
from proxy.cache.workers import Workers
from proxy.errors import NotFound, PullthroughError, Unsettled
from proxy.events import StaleServed, UpstreamFailed
from proxy.model import Blob, Outcome, Site
from proxy.ports import Clock, Observer, Store, Upstream

_log = logging.getLogger(__name__)

_PREPARATION = 10.0  # seconds that it waits for the indexes of a new one
_COALESCE = 2.0  # seconds: who asks for a revalidation shares one that is younger
_MISSING = 10.0  # seconds for which a Release file is known not to be there
_AT_ONCE = 4  # indexes that are brought at once


class Snapshots:
    """Keeps suites in one piece. Mutable state: the lines, and the looks upstream that are under way."""

    def __init__(  # noqa: PLR0913, PLR0917 the ports, and a setting
        self,
        store: Store,
        upstream: Upstream,
        clock: Clock,
        observer: Observer,
        indexes: Indexes,
        bodies: Bodies,
        patience: Patience,
        *,
        serve_expired: bool,
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._indexes = indexes
        self._patience = patience
        self._serve_expired = serve_expired
        self._workers = Workers("releases", 2)
        self._lines = Lines(store, clock, indexes, self._workers)
        self._reading = Reading(upstream, bodies, clock, patience, self._lines, self._workers)
        self._flights: Flights[tuple[Snapshot, Outcome]] = Flights()

    async def present(
        self, suite: ArchiveAddress, form: Form, site: Site, *, revalidate: bool = False
    ) -> tuple[Snapshot, Outcome]:
        """The snapshot that is served now, after a look upstream if the last one is too long ago.

        Raises NotFound where the suite has no such file, or an UpstreamError when there is nothing that may be served.
        """
        line = await self._lines.get(suite, form)
        age = self._clock.monotonic() - line.checked
        if line.present is not None:
            trusted = suites.trusted_for(line.present, site.ttl)
            if age < (min(trusted, _COALESCE) if revalidate else trusted):
                return (line.present, Outcome.HIT) if line.error is None else self._stale(line, line.error)
        if line.missing is not None and self._clock.monotonic() < line.missing_until:
            raise line.missing.again()
        anew = revalidate or line.gone
        task, began = self._flights.join(line.key, lambda: self._look(line, site, anew=anew))
        if line.present is None:
            return _shared(await self._flights.result(task), began=began)
        try:
            return _shared(await self._patiently(line, task), began=began)
        except (TimeoutError, PullthroughError) as error:
            return self._stale(line, error)

    async def _patiently(self, line: Line, task: Flying[tuple[Snapshot, Outcome]]) -> tuple[Snapshot, Outcome]:
        """Wait for a look upstream as long as a client with a present snapshot should. Raises TimeoutError."""
        url = address_of(line, line.form.value)
        try:
            return await self._flights.result(task, self._patience.worth(url, self._age(line)))
        except TimeoutError:
            if not line.preparing:
                self._patience.ran_out(url)
                raise
        try:
            return await self._flights.result(task, _PREPARATION)
        except TimeoutError:
            line.preparing = False  # nobody else needs to wait for as long
            raise

    async def known(self, suite: ArchiveAddress) -> list[Snapshot]:
        """The snapshots that are known of a suite, in both forms, the present ones first."""
        lines = [await self._lines.get(suite, form) for form in Form]
        lines.sort(key=lambda line: -line.checked)
        return [line.recent[0] for line in lines if line.recent] + [one for line in lines for one in line.recent[1:]]

    async def used(self, suite: ArchiveAddress, snapshot: Snapshot, path: str) -> None:
        """A client was given the index at `path`: the next snapshot has to have it too."""
        line = await self._lines.get(suite, snapshot.form)
        line.used[path] = self._clock.now()

    def gone(self, address: ArchiveAddress) -> None:
        """Upstream has no package at `address`, which an index of a present snapshot lists: a new look says more."""
        for line in self._lines.of(address):
            line.gone = True
            if self._clock.monotonic() - line.checked >= _COALESCE:
                line.checked = float("-inf")

    def body(self, held: Held) -> Blob | bytes | None:
        """The body of a Release file; None if it was evicted."""
        return self._lines.blob(held)

    async def close(self) -> None:
        """Break off the looks upstream."""
        await self._flights.close()
        await self._workers.close()

    def _stale(self, line: Line, error: Exception) -> tuple[Snapshot, Outcome]:
        """The present snapshot although upstream gave none. Raises `error` where clients would refuse it by its age."""
        present = line.present
        if present is None and isinstance(error, NotFound):  # upstream took this form away
            raise error.again()
        if present is None:  # evicted while upstream was asked
            raise Unsettled("The stored Release file is gone, and upstream gives no other. Try again in a moment.")
        if suites.expired(present, self._clock.now()) and not self._serve_expired:
            if isinstance(error, PullthroughError):
                raise error.again()
            raise Unsettled("The suite is past its Valid-Until, and upstream is slow to give a newer one. Try again.")
        age = self._age(line)
        self._observer(StaleServed(MOUNT, age))
        extra = {"upstream": MOUNT, "reason": type(error).__name__, "confirmed_seconds_ago": round(age)}
        _log.warning("stale suite served", extra=extra)
        return present, Outcome.STALE

    def _age(self, line: Line) -> float:
        """Seconds since upstream confirmed the present snapshot, in an earlier run if it has to be."""
        return max(self._clock.now() - line.present.listing.entry.checked, 0.0) if line.present is not None else 0.0

    async def _look(self, line: Line, site: Site, *, anew: bool) -> tuple[Snapshot, Outcome]:
        """Ask upstream; gives the present snapshot after that. Raises what kept it from becoming a newer one.

        `anew`: without conditions, to which an archive with one date for all its files would say that nothing changed.
        """
        try:
            answer = await self._settle(line, site, anew=anew)
        except NotFound as error:
            if line.present is not None and await self._withdrawn(line, line.present, site):
                await self._lines.withdraw(line)
            if line.present is None:
                line.missing, line.missing_until = error.again(), self._clock.monotonic() + min(site.ttl, _MISSING)
            line.error = error.again()
            raise
        except PullthroughError as error:
            line.error = error.again()
            raise
        else:
            line.error, line.missing = None, None
            return answer
        finally:
            line.preparing = False
            line.checked = self._clock.monotonic()

    async def _withdrawn(self, line: Line, present: Snapshot, site: Site) -> bool:
        """Whether upstream has the suite in the other form by now, newer than the present snapshot of this one."""
        other = Form.DETACHED if line.form is Form.INLINE else Form.INLINE
        try:
            found, _ = await self.present(line.suite, other, site)
        except PullthroughError:
            return False
        return suites.withdrawn(present, found)

    async def _settle(self, line: Line, site: Site, *, anew: bool) -> tuple[Snapshot, Outcome]:
        present = line.present
        try:
            found = await self._reading.found(line, site, anew=anew)
        except Torn:
            raise self._held(line, None) from None
        now = self._clock.now()
        verdict = Verdict.SAME if found is None else suites.judge(present, found, line.away, now, gone=line.gone)
        if found is None or verdict is Verdict.SAME:
            assert present is not None, "upstream said that it has not changed"
            await self._lines.confirm(line, found)
            line.away, line.gone = None, line.gone and not anew
            return line.present or present, Outcome.REVALIDATED
        match verdict:
            case Verdict.ADOPT:
                pass
            case Verdict.HOLD:
                raise self._held(line, found)
            case Verdict.PREPARE:
                await self._prepare(line, found, site)
            case _:
                assert_never(verdict)
        await self._lines.adopt(line, found)
        line.away, line.gone = None, False
        _log.info("suite adopted", extra={"upstream": MOUNT, "indexes": len(line.used)})
        return found, Outcome.MISS

    def _held(self, line: Line, found: Snapshot | None) -> Unsettled:
        """Upstream is away from the present snapshot, at `found` if that is whole in itself."""
        line.away = suites.still_away(line.away, found, self._clock.now())
        self._observer(UpstreamFailed(MOUNT, Unsettled.reason))
        return Unsettled("Upstream is between two states of the suite; it is asked again soon. Try again in a moment.")

    async def _prepare(self, line: Line, found: Snapshot, site: Site) -> None:
        """Have every index that clients use as `found` lists it. Raises Unsettled where upstream has not."""
        line.preparing = True
        turn = asyncio.Semaphore(_AT_ONCE)

        failed: dict[str, Exception] = {}

        async def bring(path: str) -> None:
            async with turn:
                try:
                    await self._indexes.bring(line.suite, found, path, site)
                except PullthroughError as error:
                    failed[path] = error

        async with asyncio.TaskGroup() as group:
            for path in suites.needed(found.release, line.used, self._clock.now()):
                group.create_task(bring(path))
        kept = self._indexes.kept(line.suite, line.present) if line.present is not None else []
        error = suites.blocking(failed, kept, line.away, self._clock.now())
        if error is not None:
            raise self._held(line, found) from error


def _shared(answer: tuple[Snapshot, Outcome], *, began: bool) -> tuple[Snapshot, Outcome]:
    """What a look upstream means for one of those who waited for it."""
    snapshot, outcome = answer
    return (snapshot, outcome) if began or outcome is not Outcome.MISS else (snapshot, Outcome.SHARED)
