"""The store of a folder on which no cache runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.control.opened_folder import OpenedFolder, is_data_folder
from proxy.control.protocol import CleanEnd, ControlError, VerifyEnd, Wish
from proxy.errors import StoreRefused
from tests.control.stores import fill, last
from tests.storage.disk import PLENTY, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a cache left."""

    async def leave() -> None:
        async with opened(tmp_path / "data") as store:
            await fill(store)

    asyncio.run(leave())
    return tmp_path / "data"


def test_verbs__one_after_another(folder: Path) -> None:
    """As of a running cache, but nothing is known of clients; what was done is there the next time."""
    store = OpenedFolder.open(folder, PLENTY)
    try:
        assert (3, None) == (store.stats().files, store.stats(0).since)
        assert 1000 == store.plan(Wish(index="apt")).size
        assert VerifyEnd(3, 4200, 0, 0, 0, 0) == last(store.verify())
        assert CleanEnd(1, 1000, 0) == last(store.clean(Wish(index="apt")))
    finally:
        store.close()
        store.close()

    again = OpenedFolder.open(folder, PLENTY)
    try:
        assert 2 == again.stats().files
    finally:
        again.close()


def test_verify__not_to_the_end(folder: Path) -> None:
    """Whoever looks no further can close."""
    store = OpenedFolder.open(folder, PLENTY)
    messages = store.verify()
    next(messages)
    messages.close()  # type: ignore[attr-defined] # it is a generator
    store.close()


def test_open__no_cache_there(tmp_path: Path) -> None:
    """Nothing is made where nothing was."""
    with pytest.raises(ControlError, match="no cache in"):
        OpenedFolder.open(tmp_path / "data", PLENTY)

    assert not (tmp_path / "data").exists()


def test_open__in_use(folder: Path) -> None:
    """Two never work on one folder."""
    store = OpenedFolder.open(folder, PLENTY)
    try:
        with pytest.raises(StoreRefused, match="in use by process"):
            OpenedFolder.open(folder, PLENTY)
    finally:
        store.close()


def test_open__a_file_in_its_place(tmp_path: Path) -> None:
    """The reason is told, not that there is no cache."""
    (tmp_path / "data").write_text("?")

    assert is_data_folder(tmp_path / "data")
    with pytest.raises(StoreRefused, match="is a file and not a folder"):
        OpenedFolder.open(tmp_path / "data", PLENTY)
