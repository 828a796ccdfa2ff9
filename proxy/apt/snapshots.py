"""Snapshots of suites: which one is served, when upstream is asked for a newer one, and when that takes its place.

The service asks for the present snapshot of a suite, or for the one that a client was given. The rules are in `suites`;
`release_fetcher` asks upstream, and `suite_history` remembers what is known. Never changes a Release file.
"""

from __future__ import annotations

import asyncio
import logging
from typing import assert_never

from proxy.apt import packages, suites
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.indexes import Indexes
from proxy.apt.policy import MOUNT
from proxy.apt.release_fetcher import ReleaseFetcher, Torn, address_of
from proxy.apt.suite_history import SuiteHistories, SuiteHistory
from proxy.apt.suites import Decision, Received, ReleaseForm, Snapshot
from proxy.cache.bodies import Bodies
from proxy.cache.freshness import COALESCE, NEGATIVE, Patience
from proxy.cache.single_flight import FlightTask, SingleFlight
from proxy.cache.workers import Workers
from proxy.errors import NotFound, NotHere, Offline, PullthroughError, Unsettled
from proxy.events import UpstreamFailed
from proxy.model import Blob, Outcome, Site
from proxy.ports import Clock, Observer, Store, Upstream

_log = logging.getLogger(__name__)

_PREPARATION = 10.0  # seconds that a client waits while the indexes of a new snapshot are fetched
_LONGEST = 22.0  # seconds that it waits in all, so that it gets the present one before `retries` ends its request
_AT_ONCE = 4  # indexes that are fetched at once


class Snapshots:
    """Keeps suites in one piece.

    Mutable state: the histories of suites, the looks upstream under way, and which of them ask for the other form.
    """

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
        self._offline = upstream.offline
        self._workers = Workers("releases", 2)
        self._histories = SuiteHistories(store, clock, indexes, self._workers)
        self._fetcher = ReleaseFetcher(store, upstream, clock, bodies, patience, self._workers)
        self._flights: SingleFlight[tuple[Snapshot, Outcome]] = SingleFlight()
        self._asking_other: set[str] = set()

    async def present(
        self, suite: ArchiveAddress, form: ReleaseForm, site: Site, *, revalidate: bool = False
    ) -> tuple[Snapshot, Outcome]:
        """The snapshot that is served now, after a look upstream if the last one is too long ago.

        `revalidate`: upstream is asked unless it was a moment ago, and in any case for what it lacked. Raises NotFound
        where the suite has no such file, or an UpstreamError when nothing may be served.
        """
        history = await self._histories.get(suite, form)
        if self._offline:
            return await self._here(history), Outcome.HIT
        recent = self._recent(history, site, revalidate=revalidate)
        if recent is not None:
            return recent
        if history.missing is not None and not revalidate and self._clock.monotonic() < history.missing_until:
            raise history.missing.again()
        unconditional = revalidate or history.gone
        task, began = self._flights.join(history.key, lambda: self._look(history, site, unconditional=unconditional))
        if history.present is None or self._is_refused(history.present):
            return _shared(await self._flights.result(task), began=began)
        try:
            return _shared(await self._patiently(history, task), began=began)
        except (TimeoutError, PullthroughError) as error:
            return self._stale(history, error)

    def _recent(self, history: SuiteHistory, site: Site, *, revalidate: bool) -> tuple[Snapshot, Outcome] | None:
        """What the last look upstream found, if that is not too long ago; None if upstream is to be asked."""
        present = history.present
        if present is None:
            return None
        age, trusted = self._clock.monotonic() - history.checked, suites.trusted_for(present, site.ttl)
        if age >= (min(trusted, COALESCE) if revalidate else trusted):
            return None
        if history.error is None:
            return present, Outcome.HIT
        # Each try asks for one that clients take, as if there were none.
        return None if self._is_refused(present) else self._stale(history, history.error)

    async def known(self, suite: ArchiveAddress) -> list[Snapshot]:
        """The snapshots that are known of a suite, in both forms, the present ones first."""
        histories = [await self._histories.get(suite, form) for form in ReleaseForm]
        histories.sort(key=lambda history: -history.checked)
        present = [history.recent[0] for history in histories if history.recent]
        return present + [one for history in histories for one in history.recent[1:]]

    async def used(self, suite: ArchiveAddress, snapshot: Snapshot, path: str) -> None:
        """A client was given the index at `path`: the next snapshot has to have it too."""
        history = await self._histories.get(suite, snapshot.form)
        history.used[path] = self._clock.now()

    def gone(self, address: ArchiveAddress) -> None:
        """Upstream lacks the package at `address`, which an index of a present snapshot lists: look again soon."""
        for history in self._histories.of_archive(address):
            history.gone = True
            if self._clock.monotonic() - history.checked >= COALESCE:
                history.checked = float("-inf")

    def body(self, received: Received) -> Blob | bytes | None:
        """The body of a Release file; None if it was evicted."""
        return self._histories.body(received)

    async def close(self) -> None:
        """Cancel the looks upstream."""
        await self._flights.close()
        await self._workers.close()

    async def _patiently(
        self, history: SuiteHistory, task: FlightTask[tuple[Snapshot, Outcome]]
    ) -> tuple[Snapshot, Outcome]:
        """Wait for a look upstream as long as a client with a present snapshot should. Raises TimeoutError."""
        url = address_of(history, history.form.value)
        worth = self._patience.worth(url, self._age(history))
        try:
            return await self._flights.result(task, worth)
        except TimeoutError:
            if not history.preparing:
                self._patience.ran_out(url)
                raise
        try:
            return await self._flights.result(task, min(_PREPARATION, _LONGEST - worth))
        except TimeoutError:
            history.preparing = False  # nobody else needs to wait for as long
            raise

    async def _here(self, history: SuiteHistory) -> Snapshot:
        """The present snapshot while the cache is offline, however old: apt itself looks at its `Valid-Until`.

        Raises Offline where no list of packages is here that it lists, and one is wanted: apt would take the suite for
        one in which everything failed. Raises NotFound where the suite is here in its other form: apt asks for that
        one then.
        """
        present = history.present
        if present is not None and (
            suites.is_empty(present.release)
            or any(map(packages.readable, self._indexes.cached(history.suite, present)))
        ):
            return present
        what = "no list of packages of this suite is here" if present is not None else "this suite is not here"
        other = ReleaseForm.DETACHED if history.form is ReleaseForm.INLINE else ReleaseForm.INLINE
        if present is None and (await self._histories.get(history.suite, other)).present is not None:
            raise NotHere("The suite is here in another form, and this cache is offline.")
        raise Offline(f"The cache is offline, and {what}. Get it while it is online, with: pullthrough warm --apt")

    def _stale(self, history: SuiteHistory, error: Exception) -> tuple[Snapshot, Outcome]:
        """The present snapshot although upstream gave none. Raises `error` if clients would refuse it by its age."""
        present = history.present
        if present is None and isinstance(error, NotFound):  # upstream took this form away
            raise error.again()
        if present is None:  # evicted while upstream was asked
            raise Unsettled("The stored Release file is gone, and upstream sends no other. Try again in a moment.")
        if self._is_refused(present):
            if isinstance(error, PullthroughError):
                raise error.again()
            raise Unsettled("The suite is past its Valid-Until, and upstream is slow to send a newer one. Try again.")
        extra = {"upstream": MOUNT, "reason": type(error).__name__, "confirmed_seconds_ago": round(self._age(history))}
        _log.warning("stale suite served", extra=extra)
        return present, Outcome.STALE

    def _is_refused(self, present: Snapshot) -> bool:
        """Whether clients refuse the snapshot by its age, so that it is not served without upstream's word."""
        return suites.expired(present, self._clock.now()) and not self._serve_expired

    def _age(self, history: SuiteHistory) -> float:
        """Seconds since upstream confirmed the present snapshot, perhaps in an earlier run."""
        present = history.present
        return max(self._clock.now() - present.listing.entry.checked, 0.0) if present is not None else 0.0

    async def _look(self, history: SuiteHistory, site: Site, *, unconditional: bool) -> tuple[Snapshot, Outcome]:
        """Ask upstream; gives the present snapshot after that. Raises what kept it from becoming a newer one.

        `unconditional`: to conditions, an archive with one date for all its files would answer that nothing changed.
        """
        try:
            answer = await self._settle(history, site, unconditional=unconditional)
        except NotFound as error:
            if history.present is not None and await self._withdrawn(history, history.present, site):
                await self._histories.withdraw(history)
            if history.present is None or self._is_refused(history.present):
                history.missing = error.again()
                history.missing_until = self._clock.monotonic() + min(site.ttl, NEGATIVE)
            history.error = error.again()
            raise
        except PullthroughError as error:
            history.error = error.again()
            raise
        else:
            history.error, history.missing = None, None
            return answer
        finally:
            history.preparing = False
            history.checked = self._clock.monotonic()

    async def _withdrawn(self, history: SuiteHistory, present: Snapshot, site: Site) -> bool:
        """Whether upstream has the suite in the other form by now, newer than the present snapshot of this one."""
        other = ReleaseForm.DETACHED if history.form is ReleaseForm.INLINE else ReleaseForm.INLINE
        if SuiteHistory(history.suite, other).key in self._asking_other:
            return False  # upstream lacks that form, too, and its look waits for this one
        self._asking_other.add(history.key)
        try:
            found, outcome = await self.present(history.suite, other, site)
        except PullthroughError:
            return False
        finally:
            self._asking_other.discard(history.key)
        return outcome is not Outcome.STALE and suites.withdrawn(present, found)

    async def _settle(self, history: SuiteHistory, site: Site, *, unconditional: bool) -> tuple[Snapshot, Outcome]:
        """Fetch what upstream has, and act on the decision about it."""
        present = history.present
        try:
            found = await self._fetcher.fetch(history, site, unconditional=unconditional)
        except Torn:
            raise self._held(history, None) from None
        now = self._clock.now()
        decision = (
            Decision.SAME if found is None else suites.judge(present, found, history.away, now, gone=history.gone)
        )
        if found is None or decision is Decision.SAME:
            assert present is not None, "upstream said that it has not changed"
            await self._histories.confirm(history, found)
            history.away, history.gone = None, history.gone and not unconditional
            return history.present or present, Outcome.REVALIDATED
        match decision:
            case Decision.ADOPT:
                pass
            case Decision.HOLD:
                raise self._held(history, found)
            case Decision.PREPARE:
                await self._prepare(history, found, site)
            case _:
                assert_never(decision)
        await self._histories.adopt(history, found)
        history.away, history.gone = None, False
        _log.info("suite adopted", extra={"upstream": MOUNT, "indexes": len(history.used)})
        return found, Outcome.MISS

    def _held(self, history: SuiteHistory, found: Snapshot | None) -> Unsettled:
        """Upstream has something other than the present snapshot: `found`, if that is whole in itself."""
        history.away = suites.still_away(history.away, found, self._clock.now())
        self._observer(UpstreamFailed(MOUNT, Unsettled.reason))
        return Unsettled("Upstream is between two states of the suite; it is asked again soon. Try again in a moment.")

    async def _prepare(self, history: SuiteHistory, found: Snapshot, site: Site) -> None:
        """Fetch every index that clients use as `found` lists it. Raises Unsettled where upstream has it not."""
        history.preparing = True
        turn = asyncio.Semaphore(_AT_ONCE)
        failed: dict[str, Exception] = {}

        async def fetch(path: str) -> None:
            async with turn:
                try:
                    await self._indexes.fetch(history.suite, found, path, site)
                except PullthroughError as error:
                    failed[path] = error

        async with asyncio.TaskGroup() as group:
            for path in suites.needed(found.release, history.used, self._clock.now()):
                group.create_task(fetch(path))
        cached = self._indexes.cached(history.suite, history.present) if history.present is not None else []
        error = suites.blocking(failed, cached, history.away, self._clock.now())
        if error is not None:
            raise self._held(history, found) from error


def _shared(answer: tuple[Snapshot, Outcome], *, began: bool) -> tuple[Snapshot, Outcome]:
    """What a look upstream means for one of those who waited for it."""
    snapshot, outcome = answer
    return (snapshot, outcome) if began or outcome is not Outcome.MISS else (snapshot, Outcome.SHARED)
