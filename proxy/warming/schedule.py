"""Runs `pullthrough warm` for each `[[warm]]` of the settings, beside the running cache, one after the other.

Each run is a process of its own, which asks the cache as any client does: it takes no time of the event loop, and what
goes wrong in it stops nothing here. Started by `commands.serve`. How each run ended is an event, and a line of the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence

from proxy.config.warming import WarmSettings
from proxy.events import WarmRun
from proxy.ports import Clock, Observer

_KEPT = 1000  # characters of what a run said that are logged
_ENDING = 5.0  # seconds for a run that is told to end
_DONE, _FAILED = 0, 1

_log = logging.getLogger(__name__)


class Schedule:
    """When the next run of each entry is due. Mutable state, on the event loop only."""

    def __init__(
        self,
        entries: Sequence[WarmSettings],
        command: Sequence[str],
        environ: Mapping[str, str],
        observer: Observer,
        clock: Clock,
    ) -> None:
        """`command`: what runs the verb, its own words not included; `environ`: its variables, which name the cache."""
        self._command = tuple(command)
        self._environ = dict(environ)
        self._observer = observer
        self._clock = clock
        self._due = dict.fromkeys(entries, clock.monotonic())

    async def run(self) -> None:
        """Run what is due, for ever."""
        while self._due:
            entry = min(self._due, key=lambda one: self._due[one])
            await asyncio.sleep(max(0.0, self._due[entry] - self._clock.monotonic()))
            self._due[entry] = self._clock.monotonic() + entry.every
            ended = await self._once(entry)
            self._observer(ended)

    async def _once(self, entry: WarmSettings) -> WarmRun:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, *entry.arguments(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=self._environ
            )
        except OSError as error:
            _log.warning("warm %s could not be run: %s", entry.name, error.strerror)
            return WarmRun(entry.name, "failed")
        try:
            said, complained = await process.communicate()
        except asyncio.CancelledError:
            await _end(process)
            raise
        return _outcome(entry.name, process.returncode or 0, said, complained.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a run: it is repeated at the next start, and what came by then is there."""
    process.send_signal(signal.SIGINT)  # as Ctrl-C: it ends what it runs itself, and leaves no folder behind
    try:
        await asyncio.wait_for(process.communicate(), _ENDING)
    except TimeoutError:
        process.kill()
        await process.communicate()


def _outcome(name: str, status: int, said: bytes, complained: str) -> WarmRun:
    try:
        report = json.loads(said) if said else None
    except ValueError:
        report = None
    if report is None or status not in {_DONE, _FAILED}:
        _log.warning("warm %s failed with status %d: %s", name, status, complained.strip()[-_KEPT:])
        return WarmRun(name, "failed")
    refused = [f"{one['what']}: {one['why']}" for one in report["refused"]]
    for line in [*refused, *report["unread"]]:
        _log.warning("warm %s: %s", name, " ".join(line.split())[:_KEPT])
    outcome = "incomplete" if refused else "complete"
    run = WarmRun(name, outcome, report["here"], report["came"], report["size_came"], tuple(refused))
    _log.info("warm %s is %s: files that were here: %d, that came: %d", name, outcome, run.here, run.came)
    return run
