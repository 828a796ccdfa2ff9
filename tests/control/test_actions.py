"""What is done to single stored files."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.control import selection
from proxy.control.actions import Actions
from proxy.control.protocol import Action, ActionEnd, ActionWish
from proxy.python.store_keys import form_key, outline_key
from proxy.storage.store import DiskStore
from tests.control.stores import BODIES, CURL, PAGE, TORCH, StoppedClock, fill
from tests.storage.disk import digest, file_of, fixed, keep, opened

_GONE = "f" * 64


async def _done(store: DiskStore, do: Action, *keys: str, forgotten: list[str] | None = None) -> ActionEnd:
    told = forgotten if forgotten is not None else []
    actions = Actions(store.inventory, StoppedClock(), 600.0, lambda: told.append("all"))
    stored = selection.bodies(store.inventory.blobs(), await store.inventory.entries())
    return await actions.carry_out(stored, ActionWish(do, (*(digest(BODIES[key]).value for key in keys), _GONE)))


async def test_delete__with_all_addresses(tmp_path: Path) -> None:
    """It is gone, its pin too, and no answer that is ready to send has it; what is not stored is counted apart."""
    forgotten: list[str] = []
    async with opened(tmp_path) as store:
        await fill(store)
        await _done(store, Action.PIN, TORCH)
        end = await _done(store, Action.DELETE, TORCH, CURL, forgotten=forgotten)

        assert ActionEnd(Action.DELETE, 2, 4000, 1) == end
        assert (None, None, True) == (store.find(TORCH), store.find(CURL), store.find(PAGE) is not None)
        assert ["all"] == forgotten
        assert "" == (tmp_path / "pins").read_text()


async def test_delete__what_cannot_be_deleted(tmp_path: Path) -> None:
    """It is not told as deleted."""
    async with opened(tmp_path) as store:
        await fill(store)
        with fixed(file_of(tmp_path, BODIES[TORCH]).parent):
            end = await _done(store, Action.DELETE, TORCH, CURL)

        assert end.reason in {"Read-only file system", "Permission denied"}
        assert ActionEnd(Action.DELETE, 1, 1000, 1, 1, end.reason) == end
        assert (True, None) == (store.find(TORCH) is not None, store.find(CURL))


async def test_delete__a_page_with_what_was_made_of_it(tmp_path: Path) -> None:
    """It is not counted: a person wished for the page."""
    async with opened(tmp_path) as store:
        await fill(store)
        await keep(store, outline_key(PAGE), b"outline")
        await keep(store, form_key(PAGE, "json-0"), b"form")
        end = await _done(store, Action.DELETE, PAGE)

        assert ActionEnd(Action.DELETE, 1, 200, 1) == end
        assert ([], [], [CURL]) == (store.keys("outline:"), store.keys("form:"), store.keys("apt:"))


@pytest.mark.parametrize(("key", "age"), [(PAGE, 100_000.0), (CURL, 100_000.0)])
async def test_refresh__what_may_change(tmp_path: Path, key: str, age: float) -> None:
    """It is not fresh any more, and does not look older than it is."""
    forgotten: list[str] = []
    async with opened(tmp_path) as store:
        await fill(store)
        end = await _done(store, Action.REFRESH, key, forgotten=forgotten)

        entry = store.find(key)
        assert entry is not None
        assert StoppedClock().now() - age == entry.checked
        assert ActionEnd(Action.REFRESH, 1, len(BODIES[key]), 1) == end
        assert ["all"] == forgotten


async def test_pin__what_lasts(tmp_path: Path) -> None:
    """A wheel is pinned; a page is not, since it changes under its address."""
    async with opened(tmp_path) as store:
        await fill(store)
        end = await _done(store, Action.PIN, TORCH, PAGE)

        assert ActionEnd(Action.PIN, 1, 3000, 2) == end
        assert {digest(BODIES[TORCH]).value} == {one.sha256 for one in store.inventory.blobs() if one.pinned}

        await _done(store, Action.UNPIN, TORCH)
        assert not [one for one in store.inventory.blobs() if one.pinned]
