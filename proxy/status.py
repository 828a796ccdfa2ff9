"""What the cache does now, and what it saved since it was started: the facts of its page and of its API.

`app` makes one, and passes it the events beside `metrics`: the last answers and the last failures stay in memory, a
bounded number of each. Everything else is asked of who knows it when a person looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Never
from urllib.parse import unquote

import msgspec

from proxy import version
from proxy.cache.flight import Flight
from proxy.events import OWN, DiskMeasured, Event, Served, Stored, UpstreamAsked, UpstreamFailed, WarmRun
from proxy.history import DaySum, ProjectSum
from proxy.metrics import Traffic
from proxy.ports import Clock
from proxy.user_agent import UserAgent

_ANSWERS = 200
_FAILURES = 50
_NAMES = 1024  # of files, whose projects are remembered


class UpstreamStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What clients got of one upstream, and how it is.

    `from_cache` in bytes; `hits`: answers without a download of their own. `answered`: when it last answered, in
    seconds since the epoch; None: it did not since the start. `failing`: why its last request failed, as in the
    metrics; None: it did not fail.
    """

    name: str
    requests: int
    hits: int
    from_cache: int
    answered: float | None = None
    failing: str | None = None


class DownloadStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file on its way. Sizes in bytes; `size` is None until upstream says it. `followers`: clients that wait."""

    upstream: str
    name: str
    received: int
    size: int | None
    followers: int


class AnswerStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer that a client got. `time` in seconds since the epoch; `sent` in bytes.

    `project`: of the page or the file, as far as its name tells.
    """

    time: float
    client: str
    upstream: str
    method: str
    path: str
    status: int
    outcome: str
    sent: int
    seconds: float
    project: str | None = None


class FailureStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to upstream that failed. `time` in seconds since the epoch; `reason` as in the metrics."""

    time: float
    upstream: str
    reason: str


class DayStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was sent and fetched on one day (UTC), in bytes. `date`: "2026-01-31"."""

    date: str
    sent: int
    fetched: int


class ProjectStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What clients got of the files of a project without a download of their own, in bytes."""

    name: str
    saved: int


class WarmStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the last run of a `[[warm]]` of the settings ended. `time` in seconds since the epoch; `came_size` in bytes.

    `outcome`: `complete`, `incomplete` or `failed`; `refused`: what could not be had, and why.
    """

    time: float
    name: str
    outcome: str
    here: int
    came: int
    came_size: int
    refused: tuple[str, ...] = ()


class Now(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it. Sizes in bytes, times in seconds since the epoch.

    `saved`: bytes sent less bytes fetched since the start; below zero where downloads were broken off. `limit`: the
    setting `disk`; `free`: what the file system has, None if it does not say. `unused`: seconds since the last use of
    the file that was unused the longest, and would be evicted next; None if it is not known. `days`: those on which
    something was sent, the first one first. `projects`: those that saved most, the first one first. Both outlive a
    restart.
    """

    version: str
    since: float
    sent: int
    fetched: int
    saved: int
    files: int
    size: int
    limit: int
    free: int | None
    upstreams: tuple[UpstreamStatus, ...] = ()
    downloads: tuple[DownloadStatus, ...] = ()
    failures: tuple[FailureStatus, ...] = ()
    answers: tuple[AnswerStatus, ...] = ()
    days: tuple[DayStatus, ...] = ()
    projects: tuple[ProjectStatus, ...] = ()
    unused: float | None = None
    warms: tuple[WarmStatus, ...] = ()


@dataclass(slots=True)
class _Condition:
    """When an upstream last answered, and why its last request failed, if it did."""

    answered: float | None = None
    failing: str | None = None


class Status:
    """Gathers the facts. Mutable state: what the events said, on the event loop only."""

    def __init__(
        self,
        clock: Clock,
        limit: int,
        days: Callable[[], Awaitable[Sequence[DaySum]]] | None = None,
        names: Callable[[str, str], tuple[str | None, str | None]] = lambda _, __: (None, None),
        projects: Callable[[], Awaitable[Sequence[ProjectSum]]] | None = None,
    ) -> None:
        """`limit`: the setting `disk`, in bytes; `days` and `projects`: ask the history.

        `names`: project and version of a file, by upstream and name.
        """
        self._project = lru_cache(_NAMES)(lambda upstream, path: names(upstream, _name(path))[0])
        self._conditions: dict[str, _Condition] = {}
        self._unused: float | None = None
        self._days = days or _none
        self._projects = projects or _none
        self._clock = clock
        self._limit = limit
        self._since = clock.now()
        self._answers: deque[tuple[Served, float, str, float]] = deque(maxlen=_ANSWERS)  # when, client, seconds
        self._failures: deque[FailureStatus] = deque(maxlen=_FAILURES)
        self._warms: dict[str, WarmStatus] = {}
        self._files = self._size = 0
        self._free: int | None = None

    def __call__(self, event: Event, /) -> None:
        """Remember an event; implements `ports.AnswerObserver`."""
        if isinstance(event, Served):
            self.again(self.prepare(event), self._clock.now(), event.client, event.seconds, event.agent)
        elif isinstance(event, UpstreamFailed):
            self._failures.append(FailureStatus(self._clock.now(), event.upstream, event.reason))
            self._conditions.setdefault(event.upstream, _Condition()).failing = event.reason
        elif isinstance(event, UpstreamAsked):
            if 0 < event.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._conditions[event.upstream] = _Condition(self._clock.now())
        elif isinstance(event, Stored):
            self._files, self._size = event.blobs, event.size
        elif isinstance(event, DiskMeasured):
            self._free, self._unused = event.free, event.longest_unused
        elif isinstance(event, WarmRun):
            self._warms[event.name] = WarmStatus(
                self._clock.now(),
                event.name,
                event.outcome,
                event.here,
                event.came,
                event.came_size,
                event.refused[:_FAILURES],
            )

    def prepare(self, event: Served) -> Served | None:
        return None if event.upstream == OWN else event

    def again(self, prepared: Served | None, when: float, client: str, seconds: float, _: UserAgent, /) -> None:
        if prepared is not None:
            self._answers.append((prepared, when, client, seconds))

    def failures(self) -> Sequence[FailureStatus]:
        """The last failures of upstreams, the newest first."""
        return tuple(reversed(self._failures))

    async def now(self, traffic_so_far: Callable[[], Traffic], flights: Callable[[], Iterable[Flight]]) -> Now:
        """The facts at this moment; the newest answers and failures first. `flights`: those under way."""
        traffic = traffic_so_far()
        upstreams: dict[str, list[int]] = {}
        for row in traffic.rows:
            sums = upstreams.setdefault(row.index, [0, 0, 0])
            for place, number in enumerate((row.requests, row.hits, row.from_cache)):
                sums[place] += number
        return Now(
            version=version(),
            since=self._since,
            sent=traffic.sent,
            fetched=traffic.fetched,
            saved=traffic.saved,
            files=self._files,
            size=self._size,
            limit=self._limit,
            free=self._free,
            unused=self._unused,
            warms=tuple(self._warms.values()),
            upstreams=tuple(self._upstream(name, *sums) for name, sums in sorted(upstreams.items())),
            downloads=tuple(map(_download, flights())),
            days=tuple(DayStatus(_date(one.day), one.sent, one.fetched) for one in await self._days()),
            projects=tuple(ProjectStatus(one.project, one.saved) for one in await self._projects()),
            failures=tuple(self.failures()),
            answers=tuple(
                _answer(*answer, answer[0].project or self._project(answer[0].upstream, answer[0].path))
                for answer in reversed(self._answers)
            ),
        )

    def _upstream(self, name: str, requests: int, hits: int, from_cache: int) -> UpstreamStatus:
        condition = self._conditions.get(name, _Condition())
        return UpstreamStatus(name, requests, hits, from_cache, condition.answered, condition.failing)


async def _none() -> Sequence[Never]:
    """There is no history."""
    return ()


def _date(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _download(flight: Flight) -> DownloadStatus:
    return DownloadStatus(
        upstream=flight.wanted.site.mount,
        name=flight.wanted.name,
        received=flight.extents.total,
        size=flight.size,
        followers=flight.followers,
    )


def _name(path: str) -> str:
    """The name of a file, of its address on the cache."""
    return unquote(path.partition("?")[0].rpartition("/")[2])


def _answer(event: Served, time: float, client: str, seconds: float, project: str | None) -> AnswerStatus:
    return AnswerStatus(
        time=time,
        client=client,
        upstream=event.upstream,
        method=event.method,
        path=event.path,
        status=event.status,
        outcome=event.outcome.value,
        sent=sum(event.sent.values()),
        seconds=seconds,
        project=project,
    )
