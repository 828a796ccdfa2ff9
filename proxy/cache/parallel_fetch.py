"""The connections of one download at one location: which one fetches what, and what happens when one of them fails.

One connection begins. While its range gets no response, the file is also requested without a range. If the connection
turns out to be slow, and ranges are honoured, further ones take what is missing, in order. All are alike: one that is
refused, breaks, lags or falls silent leaves its part to the others, so that help never harms (ADR 9). A download fails
only when its last connection fails, again and again, without a new byte. `filling` makes one of these for each location
of a file, and does the talking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from proxy.cache.flight import Changed, Flight, Location
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import LOOK, Job, Lanes, Pacing
from proxy.cache.retry_policy import BACKOFF, RetryPolicy, fresh_copy
from proxy.errors import (
    Crowded,
    NoDescriptor,
    NotAllowed,
    NotFound,
    PullthroughError,
    StoreError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    WrongBytes,
)

_log = logging.getLogger(__name__)

_TICK = 1.0  # seconds between looks at how all connections do
_REST = 5.0  # seconds without a further connection after this cache itself had none left
_OF_ADDRESSES = (NotFound, UpstreamDenied, UpstreamBroken)  # how hosts refuse connections, and addresses that expired
_FINAL = (NotFound, NotAllowed, UpstreamDenied, WrongBytes)  # the last word on a file, without a range


class ParallelFetch:
    """The connections that one download has at one location."""

    def __init__(
        self,
        flight: Flight,
        location: Location,
        lanes: Lanes,
        host_limits: HostLimits,
        do: Callable[[Job], Awaitable[None]],
    ) -> None:
        self.retries = RetryPolicy(flight, location, host_limits)
        self.small = False  # the first request needs no range
        self.parallel = False  # ranges are honoured, and parts that come at once can be told to belong to one file
        self._flight = flight
        self._location = location
        self._url = location.url
        self._lanes = lanes
        self._host_limits = host_limits
        self._do = do
        self._jobs: list[Job] = []
        self._wake = asyncio.Event()
        self._now = host_limits.now
        self._pacing = Pacing(lanes)
        self._welcome = 1  # connections that got responses at the same time
        self._single = False  # another connection got another version
        self._doubts: list[tuple[float, Callable[[], None]]] = []  # refusals that may be none: when; takes it back
        self._rested = 0.0  # when a further connection may be tried again
        self._logged = False

    async def run(self) -> None:
        """Fetch what is missing. Raises the failure of the last connection; bytes on disk stay there.

        Raises Changed where upstream has another file than the one that was begun.
        """
        try:
            while True:
                if not self._jobs and self._free() is not None:
                    await self.retries.among_others()
                self._open()
                if not self._jobs:
                    return
                await self._something()
                await self._settle()
                self._look()
        except _OF_ADDRESSES:
            # The last connection met the same as others before it: it was not about their number.
            for _, take_back in reversed(self._doubts):
                take_back()
            raise
        finally:
            await self._stop()

    @property
    def part(self) -> int:
        """The bytes that one connection takes at a time; all of a short file, or where one is enough."""
        if self._host_limits.brisk(self._url):
            return self._lanes.segment
        flight = self._flight
        return self._lanes.part(flight.wanted.size if flight.size is None else flight.size)

    def chosen(self, job: Job) -> None:
        """`job` got a response of use. Before the download starts, that ends other requests for the same bytes."""
        if not self._flight.started.done():
            for other in self._jobs:
                if other is not job:
                    other.drop()

    def answered(self, job: Job) -> None:
        """The head of a response came, and it is right."""
        self._pacing.answered(job, self._now(), self._flight.extents.total, self._brought(job))
        self._host_limits.answered(self._url)
        self._welcome += job.probe
        self._doubts = [(when, take_back) for when, take_back in self._doubts if when >= job.begun]
        self.retries.answered(job)
        self._wake.set()

    # Opening

    def _open(self) -> None:
        while (probe := self._more()) is not None and (part := self._free()) is not None:
            first = self._flight.size is None and not self._flight.extents.ranges
            plain = self.retries.plain or (self.small and first)
            self._begin(Job(*part, self._now(), plain=plain, helper=bool(self._jobs), probe=probe))

    def _begin(self, job: Job) -> None:
        self._host_limits.take(self._url)
        job.task = asyncio.create_task(self._work(job), name="lane")
        job.task.add_done_callback(lambda _: self._wake.set())
        self._jobs.append(job)

    def _ask_beside(self, now: float) -> None:
        """Where the first range gets no response, request the whole file as well: the first response counts."""
        if self._flight.started.done() or self.retries.plain_sent or len(self._jobs) != 1:
            return
        job = self._jobs[0]
        if not job.plain and not job.dropped and now - job.begun > self._host_limits.patience(self._location):
            self.retries.plain_sent = True
            self._begin(Job(0, None, now, plain=True))

    def _more(self) -> bool | None:
        """Whether one more connection would be more than the host allowed so far. None: do not open one."""
        flight, most = self._flight, self._lanes.connections
        if not self._jobs:
            return False
        if flight.size is None or self.retries.plain or not self._pacing.slow:
            return None
        if self._single or not self.parallel or self._now() < self._rested:
            return None
        if len(self._jobs) >= most or not self._host_limits.room(self._url, 1):
            return None
        if self._spare():
            return False
        # As many more as were allowed: a host that allows few has to refuse few.
        return True if len(self._jobs) - len(self._settled()) < self._welcome else None

    def _settled(self) -> list[Job]:
        return [job for job in self._jobs if job.answered is not None or not job.probe]

    def _spare(self) -> bool:
        """Whether there are fewer connections than the host is known to allow."""
        self._welcome = max(self._welcome, min(self._host_limits.proven(self._url), self._lanes.connections))
        return len(self._settled()) < self._welcome

    def _free(self) -> tuple[int, int | None] | None:
        """The first part that is missing and that no connection fetches; cut where segments end."""
        flight, segment = self._flight, self.part
        if flight.size is None:
            start = flight.extents.end_from(0)
            return None if self._jobs else (start, segment if start < segment else None)
        if not self._pacing.slow:
            segment = self._pacing.long_part  # as it is enough, it need not stop so soon
        taken = flight.extents
        for job in self._jobs:
            taken = taken.add(job.start, flight.size if job.end is None else job.end)
        free = taken.gaps(flight.size)
        if not free:
            return None
        if self.retries.plain:
            return 0, None
        start, end = free[0]
        return start, min(end, start - start % segment + segment) if self.retries.provable else None

    # Working

    async def _work(self, job: Job) -> None:
        try:
            await self._do(job)
        except (PullthroughError, Changed):
            raise
        except Exception as error:
            if not self._logged:
                _log.exception("a transfer broke unexpectedly", extra={"upstream": self._location.site.mount})
                self._logged = True
            raise UpstreamBroken("A transfer broke in the cache; its log says why.") from error

    async def _something(self) -> None:
        """Wait until a job ended or got a response, or until it is time to look."""
        self._wake.clear()
        if any(job.task is not None and job.task.done() for job in self._jobs):
            return
        patience = min(_TICK, self._lanes.window / 4) if self._pacing.slow else LOOK
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._wake.wait()

    async def _settle(self) -> None:
        """See which jobs ended. The failure of one counts only if no other is at work."""
        ended = self._ended()
        if len(ended) + len(self._jobs) > 1:
            self.retries.together = self._now()
        failed = [(job, error) for job, error in ended if error is not None and not job.dropped]
        for job, error in ended:
            self._learn(job, error)
        if self._jobs:
            self._heed(failed)
        elif failed:
            await self.retries.failed(*failed[-1])
        elif any(job.dropped for job, _ in ended):
            self.retries.dropped(silent=any(job.silent for job, _ in ended))
            await asyncio.sleep(BACKOFF)  # until the host has noticed

    def _learn(self, job: Job, error: BaseException | None) -> None:
        """See how a job ended. Raises a failure that ends the download, whichever job met it."""
        if isinstance(error, StoreError) or (isinstance(error, WrongBytes) and job.answered is not None):
            raise fresh_copy(error)
        if job.silent:
            self._note_silence(job)
        elif error is not None and not job.dropped:
            self._note(job, error)
        else:
            self._did(job)

    def _did(self, job: Job) -> None:
        """A connection did its part: see how fast it was."""
        now, brought = self._now(), self._brought(job)
        self._pacing.done(job, now, brought)
        brisk = self._pacing.brisk(job, now, brought)
        if brisk is not None:
            self._host_limits.note_pace(self._url, brisk=brisk)

    def _heed(self, failed: list[tuple[Job, BaseException]]) -> None:
        """Raise the final failure of a request without a range, while a ranged one still waits for a response."""
        for job, error in failed:
            if job.plain and not self._flight.started.done() and isinstance(error, _FINAL):
                raise fresh_copy(error)

    def _ended(self) -> list[tuple[Job, BaseException | None]]:
        """The jobs that ended since, and their failures; they are removed."""
        ended = [(job, job.task) for job in self._jobs if job.task is not None and job.task.done()]
        for job, _ in ended:
            self._jobs.remove(job)
            job.task = None  # it may hold an exception, whose frames hold the job
            self._host_limits.leave(self._url, answered=job.answered is not None)
        return [(job, None if task.cancelled() else task.exception()) for job, task in ended]

    def _note(self, job: Job, error: BaseException) -> None:
        """Learn from the failure of one of several how many the host allows, or that only one may fetch this file."""
        if isinstance(error, (Crowded, NoDescriptor)):  # which says nothing of the host
            self._rested = self._now() + _REST
            return
        if not job.probe:
            self._welcome = max(1, self._welcome - 1)
        if not self._flight.started.done() or (not self._jobs and not job.helper):
            return
        if isinstance(error, Changed):
            self._single = True
        elif job.answered is None or not self._brought(job) or self._host_limits.shaken(self._url, job.answered):
            wait = error.retry_after if isinstance(error, UpstreamThrottled) else None
            take_back = self._host_limits.refused(self._url, float(wait or 0))
            if job.answered is None and isinstance(error, _OF_ADDRESSES):
                self._doubts.append((self._now(), take_back))

    def _note_silence(self, job: Job) -> None:
        """One fell silent: beside others that is a refusal, however far it came."""
        if job.answered is not None or not job.probe:
            self._welcome = max(1, self._welcome - 1)
        if self._jobs or job.helper:
            self._host_limits.refused(self._url)

    async def _stop(self) -> None:
        jobs, self._jobs = self._jobs, []
        tasks = [job.task for job in jobs if job.task is not None]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for job in jobs:
                job.task = None
                self._host_limits.leave(self._url, answered=job.answered is not None)

    # Watching

    def _look(self) -> None:
        """See how all connections do. Raises UpstreamTimeout when together they bring next to nothing."""
        now, flight, pacing = self._now(), self._flight, self._pacing
        pacing.look(now, flight.extents.total)
        if flight.started.done() and pacing.trickles(now, flight.received):
            raise UpstreamTimeout("Upstream sends so slowly that the download was given up. Try again later.")
        idle = self._spare() and self._free() is None
        others = len(self._jobs) > 1
        for job in self._jobs:
            brought = self._brought(job)
            if pacing.crawls(job, now, brought) and pacing.slow and self.parallel:
                job.leave_rest(brought, self._lanes.segment)
            stalled = pacing.stalls(job, now, brought, idle=idle and others)
            if stalled or pacing.silent(job, now, idle=idle, others=others):
                job.silent = not job.dropped
                job.drop()
            elif pacing.lags(job, now, brought):
                job.drop()
        if len(self._jobs) > 1 and self._jobs[-1].helper and self._host_limits.crowded(self._url):
            self._jobs[-1].drop()  # another download has no connection at all
        self._ask_beside(now)

    def _brought(self, job: Job) -> int:
        """The bytes on disk of a job's part."""
        return self._flight.extents.end_from(job.start) - job.start
