"""Who is told what happens: metrics, the page, the log, and the history on disk.

Made by `app`. All get the same events, so that no two of them can disagree about an answer (ADR 16).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, TextIO, TypeAlias

from proxy.config.settings import Settings
from proxy.control.holdings import named
from proxy.events import Event, Served
from proxy.history import Recorder
from proxy.metrics import Gauges, Metrics
from proxy.ports import AnswerObserver, Clock
from proxy.status import Status
from proxy.storage.opening import PendingStore
from proxy.storage.store import DiskStore
from proxy.user_agent import UserAgent
from proxy.web.access_log import AccessLog
from proxy.web.log_writer import LogWriter
from proxy.web.program_log import written_to

_Prepared: TypeAlias = tuple[Any, Any, Any, Any]  # for metrics, page, log and history


@dataclass(frozen=True, slots=True)
class Observation:
    """Those that are told; `observer` tells them all. `history` is None where the settings turn it off."""

    log: LogWriter
    metrics: Metrics
    status: Status
    history: Recorder | None
    observer: AnswerObserver[Any]

    @classmethod
    def begin(  # noqa: PLR0913, PLR0917 - what it tells, and where
        cls,
        stack: AsyncExitStack,
        settings: Settings,
        clock: Clock,
        mounts: Sequence[str],
        gauges: Gauges,
        stream: TextIO | None = None,
    ) -> Observation:
        """Begin to observe; `stack` ends it. `mounts`: the configured upstreams; `gauges`: what metrics ask for.

        `stream`: where the log goes; None: standard error.
        """
        structured = settings.serve.log_format == "json"
        log = stack.enter_context(
            written_to(stream or sys.stderr, structured=structured, size=int(settings.serve.log_size))
        )
        metrics = Metrics(mounts, replace(gauges, dropped_lines=lambda: log.dropped))
        kept = settings.history
        history = Recorder(clock, kept.days, int(kept.size), named) if kept.days else None
        status = Status(
            clock,
            int(settings.disk),
            history.days if history else None,
            named,
            history.projects if history else None,
        )
        access_log = AccessLog(log, clock, structured=structured)
        return cls(log, metrics, status, history, _Each(metrics, status, access_log, history))

    async def keep(self, stack: AsyncExitStack, store: DiskStore | PendingStore) -> None:
        """Have the history written as soon as the data folder can be used; `stack` ends it."""
        history = self.history
        if history is not None:
            stack.push_async_callback(history.close)
            await store.when_open(lambda opened: history.start(opened.folder))


@dataclass(frozen=True, slots=True)
class _Each:
    """Tells all of them. By name and not in a loop, which would take 0.3 µs more of each hit (ADR 33)."""

    metrics: Metrics
    status: Status
    log: AccessLog
    history: Recorder | None

    def __call__(self, event: Event, /) -> None:
        self.metrics(event)
        self.status(event)
        self.log(event)
        if self.history is not None:
            self.history(event)

    def prepare(self, event: Served) -> _Prepared:
        """See `ports.AnswerObserver`: what each of them prepares."""
        of_history = None if self.history is None else self.history.prepare(event)
        return self.metrics.prepare(event), self.status.prepare(event), self.log.prepare(event), of_history

    def again(self, prepared: _Prepared, when: float, client: str, seconds: float, agent: UserAgent, /) -> None:
        """See `ports.AnswerObserver`."""
        of_metrics, of_status, of_log, of_history = prepared
        self.metrics.again(of_metrics, when, client, seconds, agent)
        self.status.again(of_status, when, client, seconds, agent)
        self.log.again(of_log, when, client, seconds, agent)
        if self.history is not None:
            self.history.again(of_history, when, client, seconds, agent)
