"""Kills a store between any two steps, and looks what is left: run by `tests/test_crash.py` in a process of its own.

`python -m tests.crashing <folder>`: for each step, a child process works on a new data folder until it comes to that
step, and is killed there by SIGKILL; another child then opens the folder and checks it. A step is a call that changes
the disk, or a statement of SQLite. Prints one line of JSON for each kill: its step, and what was wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from proxy.model import Validator
from proxy.ports import SpoolState
from proxy.storage.store import DiskStore
from tests.storage.disk import adopt, digest, digests, entry, keep, opened

PAGES = [b"a page" * 200, b"its next version" * 200]
WHEEL = bytes(range(256)) * 1200
PLACES = (100_000, 200_000)
STATE = SpoolState(len(WHEEL), Validator('"1"'), ())
BODIES = {digest(body): body for body in (*PAGES, WHEEL, b"small", b"first")}
CALLS = ("open", "pwritev", "write", "pwrite", "ftruncate", "fdatasync", "fsync", "replace", "unlink", "mkdir", "rmdir")


async def work(path: Path, begin: Callable[[], None]) -> None:
    """Everything that a store does, once; `begin` is called when the steps begin to count."""
    async with opened(path) as store:
        await keep(store, "first", b"first")
        begin()
        await keep(store, "page", PAGES[0])
        spool = await store.spool("whl", len(WHEEL))
        if spool.state is None:
            await spool.checkpoint(STATE)
        await spool.write(PLACES[1], [WHEEL[PLACES[1] :]])
        await spool.write(0, [WHEEL[: PLACES[0]]])
        await spool.close(keep=True)
        spool = await store.spool("whl", len(WHEEL))
        await spool.write(PLACES[0], [WHEEL[PLACES[0] : PLACES[1]]])
        await store.adopt(spool, digest(WHEEL), len(WHEEL))
        await store.save(entry("whl", WHEEL))
        await keep(store, "page", PAGES[1])
        await adopt(store, "small", b"small")
        await store.forget("first")


def kill_at(number: int, begun: list[bool]) -> None:
    """Let this process be killed at its step `number`, counted once `begun` has an element."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += bool(begun)
        if steps > number:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            step()
            return call(*args, **kwargs)

        return counting

    class Connection(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            step()
            return super().execute(*args)

    connect = sqlite3.connect
    sqlite3.connect = lambda *args, **kwargs: connect(*args, factory=Connection, **kwargs)  # type: ignore[assignment]
    for name in filter(partial(hasattr, os), CALLS):
        setattr(os, name, counted(getattr(os, name)))


def _read(store: DiskStore, key: str) -> bytes | None:
    known = store.find(key)
    if known is None:
        return None
    blob = store.blob(known.digest)
    assert blob is not None, f"{key} names a blob that is not there"
    with store.lease(blob) as descriptor:
        return os.pread(descriptor, blob.size + 1, 0)


async def check(path: Path) -> None:
    """Nothing that is found is wrong, what was begun can be resumed, and nothing is left over."""
    async with opened(path) as store:
        assert _read(store, "first") in (None, b"first")
        assert _read(store, "page") in (None, *PAGES)
        assert _read(store, "whl") in (None, WHEEL)
        for known in digests(store):
            blob = store.blob(known)
            assert blob is not None
            with store.lease(blob) as descriptor:
                assert os.pread(descriptor, blob.size + 1, 0) == BODIES[known]
        spool = await store.spool("whl", len(WHEEL))
        if spool.state is not None:
            assert spool.state.size == len(WHEEL)
            for start, end in spool.state.extents:
                assert await spool.read(start, end - start) == WHEEL[start:end]
        await spool.close(keep=True)
    await work(path, lambda: None)
    async with opened(path) as store:
        assert _read(store, "page") == PAGES[1]
        assert _read(store, "whl") == WHEEL
        await store.sweep()
        files = [file for file in (path / "index" / "sha256").rglob("*") if file.is_file()]
        assert len(files) == len(digests(store)), "files that no row names"
        # A blob that no entry named yet when its process was killed is left for the eviction.
        assert {digest(PAGES[1]), digest(WHEEL), digest(b"small")} <= set(digests(store))
        left = [file.name for file in (path / "spool").iterdir()]
        assert left == [], f"left in the spool: {left}"
        assert store.healthy


def in_child(function: Callable[[], None]) -> int:
    """Run `function` in a child process; gives how that ended: its exit code, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:  # noqa: BLE001 whatever it was, the parent is told
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    """Kill at each step until a child gets through."""
    number = 0
    while True:
        path = folder / f"killed at {number}"
        begun: list[bool] = []

        def until_killed(path: Path = path, number: int = number, begun: list[bool] = begun) -> None:
            kill_at(number, begun)
            asyncio.run(work(path, lambda: begun.append(True)))

        ended = in_child(until_killed)
        checked = in_child(lambda path=path: asyncio.run(check(path)))  # type: ignore[misc]
        sys.stdout.write(json.dumps({"step": number, "ended": ended, "checked": checked}) + "\n")
        sys.stdout.flush()
        shutil.rmtree(path)
        if ended != -signal.SIGKILL:
            return
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
