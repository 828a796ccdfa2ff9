"""What verbs have done to a store."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.control.caretaker import Caretaker
from proxy.control.protocol import (
    Amount,
    CleanEnd,
    ControlError,
    DamagedFile,
    Message,
    Order,
    Progress,
    VerifyEnd,
    Wish,
)
from proxy.metrics import Traffic, TrafficRow
from proxy.storage.store import DiskStore
from tests.control.stores import BODIES, CURL, PAGE, TORCH, StoppedClock, fill
from tests.storage.disk import PLENTY, digest, file_of, fixed, opened

_NONE = Traffic()


@asynccontextmanager
async def _cared(
    path: Path, traffic: Traffic = _NONE, since: float | None = None
) -> AsyncGenerator[tuple[Caretaker, DiskStore]]:
    async with opened(path) as store:
        await fill(store)
        caretaker = Caretaker(store.inventory, path, StoppedClock(), lambda: traffic, since)
        try:
            yield caretaker, store
        finally:
            await caretaker.close()


async def _all(messages: AsyncGenerator[Message]) -> list[Message]:
    return [message async for message in messages]


async def test_stats__what_is_stored(tmp_path: Path) -> None:
    """By index and kind, the most bytes first; without a running cache nothing is known of clients."""
    async with _cared(tmp_path) as (caretaker, _):
        stats = await caretaker.stats(1)

    assert (3, 4200, PLENTY, None, str(tmp_path)) == (stats.files, stats.size, stats.limit, stats.since, stats.folder)
    assert (
        Amount("pypi", "file", 1, 3000),
        Amount("apt", "file", 1, 1000),
        Amount("pypi", "page", 1, 200),
    ) == stats.amounts
    assert ["torch-2.7.1-cp312-cp312-linux_x86_64.whl"] == [file.name for file in stats.largest]
    assert stats.free is not None
    assert stats.free > 0


@pytest.mark.skipif(sys.platform == "darwin", reason="its file system has no such names")
async def test_stats__folder_whose_name_is_no_text(tmp_path: Path) -> None:
    """What a running cache says of it can be sent."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    async with _cared(folder) as (caretaker, _):
        stats = await caretaker.stats(0)

    assert f"{tmp_path}/caf\N{REPLACEMENT CHARACTER}" == stats.folder


async def test_stats__what_clients_got(tmp_path: Path) -> None:
    """A running cache adds its figures, also of what is not stored any more; kinds nobody asked for have zeros."""
    rows = (
        TrafficRow("pypi", "file", 10, 9, 27_000),
        TrafficRow("pypi", "metadata", 2, 1, 50),
        TrafficRow("nvidia", "file", 0, 0, 0),
    )
    traffic = Traffic(rows, sent=10, fetched=22)
    async with _cared(tmp_path, traffic, 5.0) as (caretaker, _):
        stats = await caretaker.stats(0)

    assert (
        Amount("pypi", "file", 1, 3000, 10, 9, 27_000),
        Amount("apt", "file", 1, 1000, 0, 0, 0),
        Amount("pypi", "page", 1, 200, 0, 0, 0),
        Amount("pypi", "metadata", 0, 0, 2, 1, 50),
    ) == stats.amounts
    assert (5.0, -12) == (stats.since, stats.saved)


async def test_clean__what_was_planned(tmp_path: Path) -> None:
    """What the plan says goes, and the rest stays."""
    async with _cared(tmp_path) as (caretaker, store):
        wish = Wish(project="torch")
        plan = await caretaker.plan(wish)
        messages = await _all(caretaker.clean(wish))

        assert (2, 3200) == (plan.files, plan.size)
        assert [Progress(3200, 3200), CleanEnd(2, 3200, 0)] == messages
        assert [CURL] == list(store.keys(""))
        assert (await caretaker.plan(wish)).empty


async def test_clean__everything(tmp_path: Path) -> None:
    """Also what a download left that broke off."""
    async with _cared(tmp_path) as (caretaker, store):
        spool = await store.spool("half", 1000)
        await spool.write(0, [b"x" * 1000])
        await spool.close(keep=True)
        plan = await caretaker.plan(Wish(everything=True))
        messages = await _all(caretaker.clean(Wish(everything=True)))

        assert plan.broken_off > 0
        assert CleanEnd(3, 4200 + plan.broken_off, 0) == messages[-1]
        assert [] == list((tmp_path / "index" / "sha256").iterdir())
        assert [] == list((tmp_path / "spool").iterdir())


async def test_clean__what_cannot_be_deleted(tmp_path: Path) -> None:
    """It is told how many and why; what can go goes."""
    async with _cared(tmp_path) as (caretaker, store):
        with fixed(file_of(tmp_path, BODIES[TORCH]).parent):
            end = (await _all(caretaker.clean(Wish(everything=True))))[-1]

        assert isinstance(end, CleanEnd)
        assert (2, 1200, 1) == (end.files, end.size, end.undeleted)
        assert end.reason in {"Read-only file system", "Permission denied"}
        assert [TORCH] == list(store.keys(""))


async def test_verify__damaged_file_that_cannot_be_deleted(tmp_path: Path) -> None:
    """It is dropped, and counted."""
    async with _cared(tmp_path) as (caretaker, store):
        file_of(tmp_path, BODIES[TORCH]).write_bytes(b"t")
        with fixed(file_of(tmp_path, BODIES[TORCH]).parent):
            end = (await _all(caretaker.verify()))[-1]

        assert isinstance(end, VerifyEnd)
        assert (1, 1) == (end.damaged, end.undeleted)
        assert end.reason in {"Read-only file system", "Permission denied"}
        assert store.find(TORCH) is None


async def test_verify__all_is_well(tmp_path: Path) -> None:
    """All bytes are read, and nothing is dropped."""
    async with _cared(tmp_path) as (caretaker, _):
        messages = await _all(caretaker.verify())

    assert [Progress(4200, 4200), VerifyEnd(3, 4200, 0, 0, 0, 0)] == messages[-2:]


@pytest.mark.parametrize("damage", ["flipped", "short", "deleted"])
async def test_verify__heals(tmp_path: Path, damage: str) -> None:
    """A wrong file is named and dropped, so that it is fetched again; a lost one is dropped, too."""
    async with _cared(tmp_path) as (caretaker, store):
        file = file_of(tmp_path, BODIES[TORCH])
        match damage:
            case "flipped":
                file.write_bytes(b"T" + BODIES[TORCH][1:])
            case "short":
                file.write_bytes(b"t")
            case _:
                file.unlink()
        messages = await _all(caretaker.verify())

        assert (None, True) == (store.find(TORCH), store.find(PAGE) is not None)
        assert store.blob(digest(BODIES[TORCH])) is None
    end = messages[-1]
    assert isinstance(end, VerifyEnd)
    assert ((0, 1) if damage == "deleted" else (1, 0)) == (end.damaged, end.lost)
    names = [message.file.name for message in messages if isinstance(message, DamagedFile)]
    assert ([] if damage == "deleted" else ["torch-2.7.1-cp312-cp312-linux_x86_64.whl"]) == names


async def test_verify__broken_off(tmp_path: Path) -> None:
    """Whoever does not wait for the end leaves nothing running."""
    async with _cared(tmp_path) as (caretaker, _):
        messages = caretaker.verify()
        await anext(messages)
        await messages.aclose()


async def test_listing__without_a_history(tmp_path: Path) -> None:
    """A damaged history hides how often files were asked for; only the order by it cannot be had then."""
    async with _cared(tmp_path) as (caretaker, _):
        (tmp_path / "history.sqlite3").write_bytes(b"no database, no database" * 100)

        assert [None] * 3 == [one.requests for one in (await caretaker.listing("", Order.SIZE, 0, 9)).shown]
        with pytest.raises(ControlError, match="how often"):
            await caretaker.listing("", Order.REQUESTS, 0, 9)
