"""Who has the store of a data folder: a cache that runs here, one in a container, or nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from proxy.app import Running
from proxy.builds.contained_cache import ContainedStore
from proxy.builds.store_access import SETUP_FOLDER, DataPlace, idle_folder, reach
from proxy.control.client import RunningStore
from proxy.control.opened_folder import OpenedFolder
from proxy.control.protocol import ControlError
from proxy.errors import StoreRefused
from proxy.storage.folder import DataFolder
from tests.fake_engine import FakeEngine
from tests.storage.disk import PLENTY, opened


@pytest.fixture
def machine(engine: FakeEngine, environ: dict[str, str]) -> Mapping[str, str]:
    """An engine and a command."""
    return environ | engine.environ


async def test_reach__running_cache(proxy: Running, data_folder: Path, machine: Mapping[str, str]) -> None:
    """It is asked, and Docker is not."""
    with closing(await _in_thread(data_folder, machine)) as store:
        assert isinstance(store, RunningStore)


async def _in_thread(folder: Path, environ: Mapping[str, str]) -> RunningStore | OpenedFolder | ContainedStore:
    found = await asyncio.get_running_loop().run_in_executor(
        None, reach, DataPlace(folder, PLENTY, chosen=True), environ
    )
    assert isinstance(found, RunningStore | OpenedFolder | ContainedStore)
    return found


def test_reach__cache_in_a_container(engine: FakeEngine, machine: Mapping[str, str], data_folder: Path) -> None:
    """The folder is not opened, even where its lock is free: locks do not cross a virtual machine's border."""
    _make(data_folder)
    mounts = [{"Type": "bind", "Source": str(data_folder), "Destination": "/data"}]
    engine.answer("GET", "/containers/json", [{"Id": "1", "Names": ["/c"], "State": "running", "Mounts": mounts}])

    with closing(reach(DataPlace(data_folder, PLENTY, chosen=True), machine)) as store:
        assert isinstance(store, ContainedStore)


def test_reach__nobody_has_it(machine: Mapping[str, str], data_folder: Path) -> None:
    """It is opened here, and free again when it is closed."""
    _make(data_folder)

    for _ in range(2):
        with closing(reach(DataPlace(data_folder, PLENTY, chosen=True), machine)) as store:
            assert isinstance(store, OpenedFolder)


def test_reach__process_without_a_socket(machine: Mapping[str, str], data_folder: Path) -> None:
    """Another process has the lock, and cannot be asked: it is named, and nothing is opened."""
    _make(data_folder)
    folder = DataFolder.open(data_folder)
    try:
        with pytest.raises(StoreRefused, match="is in use by process"):
            reach(DataPlace(data_folder, PLENTY, chosen=True), machine)
    finally:
        folder.lock.release()


def test_reach__no_cache(machine: Mapping[str, str], data_folder: Path) -> None:
    """It says how to start one."""
    with pytest.raises(ControlError, match=r"no cache in .*pullthrough setup"):
        reach(DataPlace(data_folder, PLENTY, chosen=True), machine)
    assert not data_folder.exists()


def test_reach__folder_of_setup(machine: Mapping[str, str], data_folder: Path) -> None:
    """Where nobody chose a folder and the default one is empty, it is the one that `setup` made."""
    made = Path(machine["HOME"]) / SETUP_FOLDER
    _make(made)

    with closing(reach(DataPlace(data_folder, PLENTY, chosen=False), machine)) as store:
        assert str(made) == store.stats().folder
    with pytest.raises(ControlError, match="no cache in"):
        reach(DataPlace(data_folder, PLENTY, chosen=True), machine)


def test_reach__container_that_has_the_folder_of_setup(
    engine: FakeEngine, machine: Mapping[str, str], data_folder: Path
) -> None:
    """A cache that runs comes before a folder of one that does not."""
    _make(data_folder)
    mounts = [{"Type": "bind", "Source": f"{machine['HOME']}/{SETUP_FOLDER}", "Destination": "/data"}]
    engine.answer("GET", "/containers/json", [{"Id": "1", "Names": ["/c"], "State": "running", "Mounts": mounts}])

    with closing(reach(DataPlace(data_folder, PLENTY, chosen=False), machine)) as store:
        assert isinstance(store, ContainedStore)


def test_reach__socket_that_a_kill_left(machine: Mapping[str, str], data_folder: Path) -> None:
    """Nobody listens: it is as if it was not there."""
    _make(data_folder)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(data_folder / "control.sock"))

    with closing(reach(DataPlace(data_folder, PLENTY, chosen=True), machine)) as store:
        assert isinstance(store, OpenedFolder)


def _make(folder: Path) -> None:
    async def make() -> None:
        async with opened(folder):
            pass

    asyncio.run(make())


def test_reach__folder_that_is_made(machine: Mapping[str, str], data_folder: Path) -> None:
    """An import needs no cache before it."""
    with closing(reach(DataPlace(data_folder, 1 << 30, chosen=True), machine, make=True)) as store:
        assert 0 == store.stats().files


def test_idle_folder(machine: Mapping[str, str], data_folder: Path, tmp_path: Path) -> None:
    """The folder that would be opened, if a cache has been on it."""
    _make(data_folder)

    assert data_folder == idle_folder(DataPlace(data_folder, PLENTY, chosen=True), machine)
    assert idle_folder(DataPlace(tmp_path / "none", PLENTY, chosen=True), machine) is None


async def test_idle_folder__cache_that_runs(proxy: Running, data_folder: Path, machine: Mapping[str, str]) -> None:
    """It is to be asked."""
    assert proxy.urls
    assert await asyncio.to_thread(idle_folder, DataPlace(data_folder, PLENTY, chosen=True), machine) is None
