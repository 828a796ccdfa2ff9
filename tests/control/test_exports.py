"""Bundles of a store: what pages say is in them, what is read is held, and what cannot be read is no bundle."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from proxy.bundles import verifying
from proxy.bundles.manifest_file import read
from proxy.bundles.tar_writer import TarOutlet
from proxy.control.export_wish import ExportWish, LockedFile
from proxy.control.exports import Exports
from proxy.control.protocol import ControlError
from proxy.python.store_keys import form_key, outline_key
from proxy.storage.store import DiskStore
from tests.archive import signed
from tests.bundles.packed import entry, sha256
from tests.control.stores import CURL, TORCH, StoppedClock, aside, fill
from tests.storage.disk import LARGE, file_of, keep, opened

WHEEL = "file:pypi:demo:files.example:a/demo-1-py3-none-any.whl"
PAGE = "page:pypi:demo:simple/demo/"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    """With a wheel, its page, and a package."""
    async with opened(tmp_path / "data") as started:
        await fill(started)
        yield started


@pytest.fixture
async def exports(store: DiskStore) -> AsyncIterator[Exports]:
    """Of the store."""
    made = Exports(store.inventory, StoppedClock())
    yield made
    await made.close()


async def _write(exports: Exports, path: Path, wish: ExportWish = ExportWish()) -> Path:  # noqa: B008 - frozen
    async with exports.export(wish) as made:
        with path.open("wb") as file:
            await made.write(TarOutlet(file.fileno()))
    return path


async def test_export__everything(exports: Exports, tmp_path: Path) -> None:
    """The time is the clock's; it is what it says."""
    bundle = await _write(exports, tmp_path / "bundle")

    assert StoppedClock().now() == verifying.verify(bundle).created
    assert 3 == len([member for member in read(bundle).members if member.entries])


async def test_export__pages_say_what_the_index_said(store: DiskStore, exports: Exports, tmp_path: Path) -> None:
    """Which Pythons, and whether it was yanked; by digest where two files have one name."""
    await store.put(b"wheel")
    await store.save(entry(WHEEL, b"wheel"))
    files = [
        {"filename": "demo-1-py3-none-any.whl", "url": "x", "hashes": {"sha256": digest}, "requires-python": python,
         "yanked": "broken"}
        for digest, python in ((sha256(b"other"), ">=2"), (sha256(b"wheel"), ">=3.9"))
    ]  # fmt: skip
    page = json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": files}).encode()
    await store.put(page)
    await store.save(structs.replace(entry(PAGE, page), content_type="application/vnd.pypi.simple.v1+json"))

    async with exports.export(ExportWish(projects=("demo",))) as made:
        packed = made.tar._contents
        member = next(one for one in packed.members() if one.path == "simple/demo/index.html")
        shown = b"".join(packed.list.made(member)).decode()

    assert 1 == shown.count("<a ")
    assert 'data-requires-python="&gt;=3.9" data-yanked="broken"' in shown


async def test_export__nothing_that_was_made_of_pages(store: DiskStore, exports: Exports, tmp_path: Path) -> None:
    """The other cache makes it itself."""
    await keep(store, PAGE, b"page")
    before = await _write(exports, tmp_path / "before")
    await keep(store, outline_key(PAGE), b"outline")
    await keep(store, form_key(PAGE, "json-0"), b"form")
    after = await _write(exports, tmp_path / "after")

    assert [one.sha256 for one in read(before).members] == [one.sha256 for one in read(after).members]


@pytest.mark.parametrize("older", ["Release", "InRelease"])
async def test_export__suite_in_both_forms(store: DiskStore, exports: Exports, tmp_path: Path, older: str) -> None:
    """apt takes `InRelease`: the index that this lists is at its path, and the other one is there, too."""
    suite = "http://deb.example/debian/dists/sid/"
    for form in (older, *({"Release", "InRelease"} - {older})):
        index, hour = f"index of {form}".encode(), 8 if form == older else 9
        dated = f"Suite: sid\nDate: Sat, 01 Aug 2026 0{hour}:00:00 UTC\n"
        listed = f"{dated}SHA256:\n {sha256(index)} {len(index)} main/Packages\n".encode()
        await keep(store, f"apt:release:{suite}:{form}", signed(listed) if form == "InRelease" else listed)
        await keep(store, f"apt:index:{suite}:{sha256(index)}:main/Packages", index)

    members = {one.path: one.sha256 for one in read(await _write(exports, tmp_path / "bundle")).members}

    assert sha256(b"index of InRelease") == members["apt/deb.example/debian/dists/sid/main/Packages"]
    assert sha256(b"index of Release") in members.values()
    assert {"apt/deb.example/debian/dists/sid/InRelease", "apt/deb.example/debian/dists/sid/Release"} < members.keys()


async def test_export__lock_file_names_what_is_not_here(exports: Exports) -> None:
    """No bundle would be whole; the names are given."""
    wish = ExportWish(files=(LockedFile(TORCH.rpartition("/")[2]), LockedFile("other-1.zip")))

    with pytest.raises(ControlError, match=r"^other-1\.zip is not stored"):
        async with exports.export(wish):
            pass
    many = ExportWish(files=tuple(LockedFile(f"a-{number:02}.zip") for number in range(12)))
    with pytest.raises(ControlError, match=r"a-09\.zip and 2 more are not stored"):
        async with exports.export(many):
            pass


async def test_export__what_is_exported_is_not_evicted(store: DiskStore, exports: Exports, tmp_path: Path) -> None:
    """It stays until the tar is written, however little room there is."""
    async with exports.export(ExportWish()) as made:
        assert [] == list(store._blobs.evictable())
        with (tmp_path / "bundle").open("wb") as file:
            await made.write(TarOutlet(file.fileno()))
    assert 3 == len(list(store._blobs.evictable()))
    verifying.verify(tmp_path / "bundle")


async def test_export__address_that_gets_another_body(store: DiskStore, exports: Exports, tmp_path: Path) -> None:
    """The one that is exported stays until the tar is written, and is the next to be evicted then."""
    await keep(store, PAGE, b"page")
    async with exports.export(ExportWish()) as made:
        await keep(store, PAGE, b"newer page")
        await store.flush()
        with (tmp_path / "bundle").open("wb") as file:
            await made.write(TarOutlet(file.fileno()))

    verifying.verify(tmp_path / "bundle")
    assert sha256(b"page") == next(store._blobs.evictable())[0]


@pytest.mark.parametrize("proved", [True, False])
async def test_export__file_that_was_touched(store: DiskStore, exports: Exports, tmp_path: Path, proved: bool) -> None:
    """A large one is checked first, whether or not that was noticed before; it is said to try again."""
    await keep(store, f"{CURL}x", LARGE)
    file_of(tmp_path / "data", LARGE).chmod(0o640)
    record = store._blobs.get(sha256(LARGE))
    assert record is not None
    record.stamp = record.stamp if proved else None

    with pytest.raises(ControlError, match=r"curl_7_amd64\.debx is .*Try again"):
        async with exports.export(ExportWish()):
            pass
    while record.hidden:
        await asyncio.sleep(0.01)
    async with exports.export(ExportWish()):
        pass


async def test_export__that_nobody_waits_for(exports: Exports) -> None:
    """The thread ends, and nothing is held any more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    async def exporting() -> None:
        async with exports.export(ExportWish()) as made:
            began.set()
            for _ in range(1000):  # more than a pipe takes
                await made.write(TarOutlet(writing))

    began = asyncio.Event()
    task = asyncio.create_task(exporting())
    await began.wait()
    await aside(lambda: os.read(reading, 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(reading)
    os.close(writing)
