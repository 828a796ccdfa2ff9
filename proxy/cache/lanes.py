"""The connections of a download, as values: their limits, the part of the work that one has, and how fast they are.

`parallel_fetch` and `filling` use them. `Pacing` is told what came and when. It says whether more connections would
help, which one is to be replaced, and whether the download is worth waiting for. Rules over numbers: no waiting, no
clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

LOOK = 0.1  # seconds between looks at how fast a single connection is
_LEAST = 2 << 20  # bytes of a file for which one connection more is worth its request
FAST = 100_000_000  # bytes a second from which on one connection is enough
_LONGEST = 32  # segments that such a connection takes at a time, at most
_SILENT = 2.0  # seconds without a response, at least, after which a further connection counts as refused,
_SOON = 0.5  # if another one has nothing to do,
_HANGS = 5.0  # and after which the only one does no good,
_STALLED = 4.0  # or one with a response brings nothing more; as soon as a further one if another is idle
_SPAN = 5.0  # seconds over which it is measured how fast a connection is,
_BRIEF = 0.2  # seconds below which it says nothing,
_LAGGING = 8  # and which part of the others' pace is too slow
_CRAWLING = FAST / 4  # bytes a second below which a connection is better not left alone with a long part


@dataclass(frozen=True, slots=True)
class Lanes:
    """How large files are fetched: at most `connections` at once, each taking `segment` bytes at a time, at most.

    A download that brings fewer than `least` bytes a second, over `window` seconds, is given up; 0: none is. At most
    `downloads` are under way at once; one more waits `turn` seconds for its turn.
    """

    connections: int = 6
    segment: int = 16 << 20
    least: int = 1024
    window: float = 60.0
    downloads: int = 256
    turn: float = 5.0

    def patience(self, size: int) -> float | None:
        """Seconds in which `size` bytes have to come; None: they may take any time."""
        return self.window + size / self.least if self.least else None

    def part(self, size: int | None) -> int:
        """The bytes that one connection takes at a time, of a file of `size` bytes, so that all have some of it."""
        if size is None:
            return self.segment
        return min(self.segment, max(-(-size // self.connections), _LEAST))


@dataclass(eq=False, slots=True)
class Job:
    """One request of a download: for bytes `[start, end)`, or, `plain`, without a range. Times: the loop's clock.

    `end` None: all bytes behind `start`. `helper`: other jobs are at work, and go on if this one fails. `probe`: it is
    one more than the host allowed so far. `answered`: when the head of the response was found right. `looked`: when it
    was last measured, and how many bytes it had brought; `paced`: the same, more often; `crawled`: it was slow then;
    `moved`: the same when it last brought something. `whole`: the response is the whole file, and no other connection
    can continue it. `busy`: whether bytes that it brought are still being written. `dropped`: it is to end, and how it
    ends means nothing; `silent`: because nothing came.
    """

    start: int
    end: int | None
    begun: float
    plain: bool = False
    helper: bool = False
    probe: bool = False
    answered: float | None = None
    looked: tuple[float, int] = (0.0, 0)
    paced: tuple[float, int] = (0.0, 0)
    crawled: bool = False
    moved: tuple[float, int] = (0.0, 0)
    whole: bool = False
    busy: Callable[[], bool] = field(default=lambda: False, repr=False)
    dropped: bool = False
    silent: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    def drop(self) -> None:
        """Cancel it; its part is free again when it has ended."""
        if self.task is not None and not self.dropped:
            self.dropped = True
            self.task.cancel()

    def leave_rest(self, brought: int, segment: int) -> None:
        """Stop where the present segment ends, if the part is longer than one: its rest is free.

        `brought`: the bytes of the part that came. The transfer looks at `end` before it reads on.
        """
        if self.end is not None and self.end - self.start > segment:
            at = self.start + brought
            self.end = min(self.end, at - at % segment + segment)


class Pacing:
    """Measures the connections of one download. Times are seconds of one clock."""

    def __init__(self, lanes: Lanes) -> None:
        self.slow = False  # one connection alone is not fast
        self._lanes = lanes
        self._alone: tuple[float, int] | None = None  # when a single one was last looked at, and bytes on disk then
        self._mark: tuple[float, int] | None = None  # where the present window began, and bytes that had come
        self._latency = 0.0  # seconds to the first response
        self._pace = 0.0  # bytes a second of the last connection that did its part
        self._segments = 1  # that a connection takes at a time which is enough alone
        self._replaced = 0

    def answered(self, job: Job, now: float, on_disk: int, brought: int) -> None:
        """The head of a response came. `on_disk`: bytes of the file on disk; `brought`: those of the job's part."""
        job.answered = now
        job.looked = job.paced = job.moved = (now, brought)
        if self._alone is None:
            self._alone, self._latency = (now, on_disk), now - job.begun

    def look(self, now: float, on_disk: int) -> None:
        """Note whether a single connection is slow; a fast one does better alone, in order."""
        if self.slow or self._alone is None or now - self._alone[0] < LOOK:
            return
        self.slow = on_disk - self._alone[1] < FAST * (now - self._alone[0])
        self._alone = (now, on_disk)

    def trickles(self, now: float, came: int) -> bool:
        """Whether too little came over the last window. `came`: bytes that upstream has sent."""
        lanes = self._lanes
        if self._mark is None or came - self._mark[1] >= lanes.least * lanes.window:
            self._mark = (now, came)
        return now - self._mark[0] >= lanes.window

    @property
    def long_part(self) -> int:
        """The bytes that a connection takes at a time which is enough alone.

        Twice as many after each part that was fast: while a request waits for its response, nothing comes.
        """
        return self._segments * self._lanes.segment

    def done(self, job: Job, now: float, brought: int) -> None:
        """A connection did its part."""
        self._segments = min(2 * self._segments, _LONGEST) if self.brisk(job, now, brought) else 1
        if job.answered is not None and now - job.answered >= _BRIEF:
            self._pace = brought / (now - job.answered)

    def brisk(self, job: Job, now: float, brought: int) -> bool | None:
        """Whether one connection is enough at this host, by a part that it did alone. None: that does not tell."""
        if self.slow or job.answered is None or brought < _LEAST:
            return False if self.slow else None
        return brought >= FAST * (now - job.answered)

    def silent(self, job: Job, now: float, *, idle: bool = False, others: bool = False) -> bool:
        """Whether a connection has been without a response for too long.

        For a further one, or one beside `others`, the host may allow no more; sooner if another is `idle` and could do
        its part. The only one, after others had responses, is replaced a bounded number of times: a response may take
        that long, even more for the whole file.
        """
        if job.answered is not None or self._alone is None:
            return False
        if job.helper or others:
            return now - job.begun > max(_SOON if idle else _SILENT, 4 * self._latency)
        patience = max(_HANGS, 8 * self._latency) * (2 if job.plain else 1)
        if now - job.begun <= patience or self._replaced >= self._lanes.connections:
            return False
        self._replaced += 1
        return True

    def stalls(self, job: Job, now: float, brought: int, *, idle: bool = False) -> bool:
        """Whether a connection fell silent in the middle of its part, which another could continue.

        Called at each look. `idle` as of `silent`.
        """
        if job.answered is None or job.plain or job.whole:
            return False
        if brought != job.moved[1] or job.busy():
            job.moved = (now, brought)
        return now - job.moved[0] > (_SILENT if idle else _STALLED)

    @staticmethod
    def crawls(job: Job, now: float, brought: int) -> bool:
        """Whether others should have the rest of a long part, since upstream became slow. Called at each look.

        What upstream has sent of it is fetched again. So it counts only twice in a row, and not while this machine may
        be the reason itself.
        """
        then, before = job.paced
        if job.answered is None or now - then < LOOK:
            return False
        job.paced = (now, brought)
        again, job.crawled = job.crawled, brought - before < _CRAWLING * (now - then) and not job.busy()
        return again and job.crawled

    def lags(self, job: Job, now: float, brought: int) -> bool:
        """Whether a connection is so much slower than others were that a new one should take its part.

        Called at any time; it measures now and then. No more replacements than there may be connections: if all are
        slow, replacing them does not help.
        """
        if job.answered is None or job.plain or now - job.looked[0] < _SPAN:
            return False
        pace = (brought - job.looked[1]) / (now - job.looked[0])
        job.looked = (now, brought)
        if pace * _LAGGING >= self._pace or self._replaced >= self._lanes.connections:
            return False
        self._replaced += 1
        return True
