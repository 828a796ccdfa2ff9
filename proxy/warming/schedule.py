"""Runs `pullthrough warm` for each `[[warm]]` of the settings, beside the running cache, one after the other.

Each run is a process of its own, which asks the cache as any client does: it takes no time of the event loop, and what
goes wrong in it stops nothing here. Its temporary files are below the data folder: where the cache runs, `/tmp` may be
small, and nothing else can be written. Started by `commands.serve`. How each run ended is an event, and a line of the
log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.cache.workers import Workers
from proxy.config.warming import WarmSettings
from proxy.events import WarmRun
from proxy.ports import Clock, Observer

_KEPT = 1000  # characters of what a run said that are logged
_ENDING = 5.0  # seconds for a run that is told to end
_DONE, _FAILED = 0, 1

_log = logging.getLogger(__name__)


class Schedule:
    """When the next run of each entry is due. Mutable state, on the event loop only."""

    def __init__(  # noqa: PLR0913, PLR0917 - how runs are made, and who hears of them
        self,
        entries: Sequence[WarmSettings],
        command: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        observer: Observer,
        clock: Clock,
    ) -> None:
        """`command`: what runs the verb, its own words not included; `environ`: its variables, which name the cache.

        `folder`: for its temporary files; it is there while a run is under way, and empty when one begins.
        """
        self._command = tuple(command)
        self._folder = folder
        self._disk = Workers("warming", 1)
        self._environ = dict(environ)
        self._observer = observer
        self._clock = clock
        self._due = dict.fromkeys(entries, clock.monotonic())

    async def run(self) -> None:
        """Run what is due, for ever."""
        try:
            while self._due:
                entry = min(self._due, key=lambda one: self._due[one])
                await asyncio.sleep(max(0.0, self._due[entry] - self._clock.monotonic()))
                self._due[entry] = self._clock.monotonic() + entry.every
                made = await self._disk.run(_emptied, self._folder)
                ended = await self._once(entry, {"TMPDIR": str(self._folder)} if made else {})
                self._observer(ended)
                await self._disk.run(shutil.rmtree, self._folder, ignore_errors=True)
        finally:
            await self._disk.run(shutil.rmtree, self._folder, ignore_errors=True)
            await self._disk.close()

    async def _once(self, entry: WarmSettings, further: Mapping[str, str]) -> WarmRun:
        environ = {**self._environ, **further}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, *entry.arguments(), stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environ
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


def _emptied(folder: Path) -> bool:
    """Have an empty folder, also after a run that was killed; whether that could be."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError:  # the run may have room elsewhere
        return False
    return True


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
