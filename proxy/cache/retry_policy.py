"""What a download does when its only connection failed.

`parallel_fetch` uses it, and handles the failure of one among several connections itself. In this order: another
download's connection may have been in the way; the range may have been the trouble, so the file is requested without
one; upstream may be in trouble, and is tried again a few times, with growing pauses, and never before it allows it.
"""

from __future__ import annotations

import asyncio
import random

from proxy.cache.flight import Changed, Flight, Location
from proxy.cache.host_limits import HostLimits
from proxy.cache.lanes import Job
from proxy.errors import (
    Crowded,
    NoDescriptor,
    NotAllowed,
    NotFound,
    PullthroughError,
    TooLargeAhead,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)

_ATTEMPTS = 5  # tries in a row that bring next to nothing before a transfer is given up,
_MORE = 7  # and where much is on disk that would have to come again
LEAST = 512  # bytes that a try must bring to count as progress
BACKOFF = 0.2  # seconds before the first of them, doubling
_WAIT = 30.0  # seconds: a longer Retry-After ends the transfer, since no client waits for it
_TURN = 10.0  # seconds for which a request waits until other downloads of its host make room
_SETTLED = 3.0  # seconds after which a host has noticed that further connections are closed
_LITTLE = 64 << 20  # bytes that may be fetched again
_QUICK = 3.0  # seconds within which a connection that fails may have been closed because of the range
_REFUSALS = (UpstreamThrottled, UpstreamUnreachable)


class RetryPolicy:
    """Decides for one download at one location. Mutable state: how it is requested, and how often it failed lately."""

    def __init__(self, flight: Flight, location: Location, host_limits: HostLimits) -> None:
        self.plain = False  # request it without ranges
        self.provable = True  # parts that come one after another can be told to belong to one file
        self.together = 0.0  # when there was more than one connection
        self.plain_sent = False  # a request without a range was sent beside the first one, which got no response
        self._flight = flight
        self._location = location
        self._host_limits = host_limits
        self._begun = host_limits.now()
        self._failures = 0  # in a row, since the last one with progress
        self._total = flight.extents.total  # bytes on disk at the last failure
        self._doubtful = flight.plain  # a ranged request failed, perhaps because of the range
        self._unheard = False  # or got no response
        self._silences = 0  # of the only connection in a row, since the last new bytes

    def answered(self, job: Job) -> None:
        """The head of a response came, and it is right."""
        if self._doubtful and job.plain:
            self._host_limits.note(self._location, ranges=False)
        elif job.plain and (self.plain_sent or self._unheard):
            self._host_limits.suspect(self._location)

    def dropped(self, *, silent: bool) -> None:
        """The last connection was dropped. If it was `silent`, the range may be the reason.

        The range is tried once more, and more often where much is on disk that would have to come again.
        """
        self._silences = silent + (0 if self._progress() else self._silences)
        if self._silences > (1 if self._total <= _LITTLE else 4) and not self.plain:
            self.plain = self._unheard = True

    async def failed(self, job: Job, error: BaseException) -> None:
        """Wait until the next try, and decide how to request it. Raises the error if another try is of no use."""
        progress = self._progress()
        self._failures, self._silences = (1, 0) if progress else (self._failures + 1, self._silences)
        if not self._flight.started.done():
            await self._not_begun(job, error)
            return
        gone = isinstance(error, (NotFound, UpstreamDenied, Changed))
        most = _ATTEMPTS if gone or self._total <= _LITTLE else _MORE
        exhausted = self._failures >= most
        if isinstance(error, NotAllowed) or (job.plain and (gone or exhausted)):
            raise fresh_copy(error)
        if self._about_the_range(job, error):
            self._ask_plainly(error)
            return
        if self._is_away(error) and self.provable:
            if self._failures > _ATTEMPTS:
                raise fresh_copy(error)  # what is on disk stays there
        elif exhausted or not self.provable:
            self.plain = True
            self._failures = min(self._failures, most - 1)
        shaken = job.answered is not None and self._host_limits.shaken(self._location.url, job.answered)
        if await self._turn(error, _TURN, shaken=shaken):
            return
        if not progress or isinstance(error, _REFUSALS):
            await self._pause(error)

    async def _not_begun(self, job: Job, error: BaseException) -> None:
        """No response was of use yet, and clients can still get an error. `upstream` has retried already."""
        if await self._turn(error, self._begun + _TURN - self._host_limits.now()):
            return
        unheard = isinstance(error, UpstreamTimeout)
        # No host closes a connection because of a range so late; and if the file is elsewhere too, that is tried next.
        away = isinstance(error, UpstreamUnreachable) and (
            bool(self._flight.wanted.others) or self._host_limits.now() - job.begun > _QUICK
        )
        tried = job.plain or (unheard and self.plain_sent)
        useless = away or isinstance(error, (Changed, TooLargeAhead))
        if tried or useless or self._host_limits.final(self._location, error):
            raise fresh_copy(error)
        if unheard:
            self.plain = self._unheard = True
        else:
            self._ask_plainly(error)

    def _is_away(self, error: BaseException) -> bool:
        """Whether a host that honours ranges cannot be reached: it would not be for a request without one either."""
        return isinstance(error, UpstreamUnreachable) and self._host_limits.honours(self._location) is True

    def _about_the_range(self, job: Job, error: BaseException) -> bool:
        """Whether an error may be about the range alone, in the middle of a file."""
        if job.plain or job.answered is not None or isinstance(error, (UpstreamTimeout, UpstreamUnreachable)):
            return False
        return isinstance(error, Changed) or self._host_limits.honours(self._location) is not True

    def _progress(self) -> bool:
        """Whether new bytes came since the last call."""
        before, self._total = self._total, self._flight.extents.total
        return self._total - before >= LEAST

    def _ask_plainly(self, error: BaseException) -> None:
        self.plain = True
        self._doubtful = not isinstance(error, (Changed, NoDescriptor))

    async def _turn(self, error: BaseException, patience: float, *, shaken: bool = False) -> bool:
        """If other downloads have the connections that the host allows, wait for one. Whether there are others.

        `shaken`: a connection that was opened later broke this one.
        """
        url, seconds = self._location.url, _retry_after(error)
        refused = isinstance(error, _REFUSALS) and not isinstance(error, Crowded)
        if not (refused or shaken) or not self._host_limits.busy(url) or patience <= 0:
            return False
        self._host_limits.refused(url, seconds)
        if seconds > patience:
            return False
        await asyncio.sleep(seconds)
        await self._host_limits.freed(url, patience, begun=self._flight.started.done())
        return True

    async def _pause(self, error: BaseException) -> None:
        """Wait before the next try, as long as upstream asks for. Raises the error if that is too long."""
        seconds = BACKOFF * 2 ** (self._failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 jitter
        # A refusal just after connections were closed is about those connections.
        if self._host_limits.now() - self.together > _SETTLED:
            seconds = max(seconds, _retry_after(error))
        if seconds > _WAIT:
            raise fresh_copy(error)
        await asyncio.sleep(seconds)

    async def among_others(self) -> None:
        """Between two parts of a file: if another download waits in the middle of its file, take turns with it."""
        url = self._location.url
        if self._flight.started.done() and self._host_limits.pressed(url):
            await self._host_limits.freed(url, _TURN, begun=True)


def fresh_copy(error: BaseException) -> BaseException:
    """A copy of a failure, to be raised: the original would hold its holder, and the buffers of its transfer."""
    return error.again() if isinstance(error, (PullthroughError, Changed)) else error


def _retry_after(error: BaseException) -> float:
    """Seconds for which upstream asks to be left alone."""
    return float(error.retry_after or 0) if isinstance(error, UpstreamThrottled) else 0.0
