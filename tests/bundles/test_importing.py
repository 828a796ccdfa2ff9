"""A bundle, taken into a store."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from msgspec import structs

from proxy.bundles.importing import Import, Imported
from proxy.bundles.intake import SHORT
from proxy.bundles.manifest import BadBundle, BundleMember, encode
from proxy.bundles.tar_file import TarFile
from proxy.errors import StoreError, StoreFull
from proxy.model import Digest, Entry
from proxy.ports import Store
from tests.bundles.tars import bundle, entry, member, pieces, sha256, tar
from tests.cache.conftest import HandClock
from tests.memory_store import MemoryStore
from tests.storage.disk import opened

_NOW = 1_790_000_000.0
_LIMIT = 1 << 30
_SUITE = "http://archive.example/debian/dists/stable/"
_WHEEL, _LARGE, _PAGE = b"wheel" * 100, os.urandom(3 * SHORT + 5), b"<html>"
_PACKAGES, _RELEASE, _SIGNATURE = b"Package: demo\n", b"Suite: stable\n", b"signed"
_FILE, _BIG, _LIST = "file:pypi:demo::demo.whl", "file:pypi:big:files.example:big.whl", "page:pypi:demo:simple/demo/"
_OTHER = "file:pypi:other::a.whl"
_PARTS: tuple[tuple[BundleMember, bytes], ...] = (
    (member("README.txt", b"read"), b"read"),
    (member("pages/pypi/simple/demo/+page", _PAGE, _LIST), _PAGE),
    (member("apt/archive.example/Release", _RELEASE, f"apt:release:{_SUITE}:Release"), _RELEASE),
    (
        member("apt/archive.example/Release.gpg", _SIGNATURE, f"apt:signature:{_SUITE}:{sha256(_RELEASE)}"),
        _SIGNATURE,
    ),
    (member("files/pypi/_/demo.whl", _WHEEL, _FILE), _WHEEL),
    (
        member(
            "files/pypi/_/big.whl", _LARGE, entry(_BIG, _LARGE, promised=Digest("md5", hashlib.md5(_LARGE).hexdigest()))
        ),
        _LARGE,
    ),
    (
        member("apt/archive.example/Packages", _PACKAGES, f"apt:index:{_SUITE}:{sha256(_PACKAGES)}:main/Packages"),
        _PACKAGES,
    ),
)
_BUNDLE = bundle(*_PARTS)
_KEYS = sorted(one.key for part, _ in _PARTS for one in part.entries)


def _import(store: Store, *, limit: int = _LIMIT, replace_newer: bool = False) -> Import:
    return Import(store, HandClock(_NOW), limit, replace_newer=replace_newer)


def _contents(store: Store) -> dict[str, bytes]:
    """The bodies of all entries."""
    found = {}
    for key in store.keys(""):
        entry = store.find(key)
        blob = store.blob(entry.digest) if entry is not None else None
        assert blob is not None, "an entry has a body"
        with store.lease(blob) as descriptor:
            found[key] = os.pread(descriptor, blob.size + 1, 0)
    return found


_ALL = {one.key: body for part, body in _PARTS for one in part.entries}


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
async def test_import__everything(size: int) -> None:
    """All bodies are there under their addresses, with what was known of them; what is for people alone is not kept."""
    store, data = MemoryStore(), bundle(*_PARTS[:5]) if size == 1 else _BUNDLE

    done = await _import(store).run(pieces(data, size))

    expected = _ALL if data is _BUNDLE else {one.key: body for part, body in _PARTS[:5] for one in part.entries}
    assert expected == _contents(store)
    assert Imported(files=len(expected), size=sum(map(len, expected.values())), indexes=("pypi",)) == done
    assert _PARTS[1][0].entries[0] == store.find(_LIST)
    assert store.blob(Digest("sha256", sha256(b"read"))) is None
    assert {} == store.spools


async def _from_file(taking: Import, path: Path, data: bytes) -> Imported:
    """Take in a tar that is a file."""
    path.write_bytes(data)
    with path.open("rb") as file:
        tar_file = TarFile("b.tar", file.fileno())
        return await taking.run(_each(tar_file), tar_file.range)


async def _each(given: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in given:
        await asyncio.sleep(0)
        yield piece


async def test_import__from_a_file(tmp_path: Path) -> None:
    """A tar that is a file comes to the same; the second time everything is here."""
    async with opened(tmp_path / "data") as store:
        done = await _from_file(_import(store), tmp_path / "b.tar", _BUNDLE)

        assert _ALL == _contents(store)
        assert Imported(files=len(_ALL), size=sum(map(len, _ALL.values())), indexes=("pypi",)) == done
        again = await _from_file(_import(store), tmp_path / "b.tar", _BUNDLE)
        assert Imported(here=len(_ALL), indexes=("pypi",)) == again
        assert [] == [path for path in (tmp_path / "data" / "spool").iterdir() if path.suffix != ".tmp"]


@pytest.mark.parametrize("here", [False, True])
async def test_import__from_a_file_that_is_wrong(tmp_path: Path, here: bool) -> None:
    """A long body with a flipped bit, a false digest, or without its end: the member is named, and nothing is left."""
    claims = entry(_BIG, _LARGE, promised=Digest("md5", "0" * 32))
    flipped, cut = bytearray(_BUNDLE), _BUNDLE[: _BUNDLE.index(_LARGE) + 2 * SHORT]
    flipped[_BUNDLE.index(_LARGE) + 2 * SHORT] ^= 1
    for data, reason in (
        (bytes(flipped), r"files/pypi/_/big\.whl is damaged"),
        (bundle((member("files/big.whl", _LARGE, claims), _LARGE)), r"files/big\.whl is wrong: .* md5"),
        (cut, r"cut off within files/pypi/_/big\.whl"),
    ):
        async with opened(tmp_path / "data") as store:
            if here:
                await store.put(_LARGE)
                await store.save(entry(_OTHER, _LARGE))
            with pytest.raises(BadBundle, match=reason):
                await _from_file(_import(store), tmp_path / "b.tar", data)
            assert _BIG not in _contents(store)
            assert here is (store.blob(Digest("sha256", sha256(_LARGE))) is not None)
            assert [] == [path for path in (tmp_path / "data" / "spool").iterdir() if path.suffix != ".tmp"]


async def test_import__again() -> None:
    """The second time everything is here, and nothing changes."""
    store = MemoryStore()
    await _import(store).run(pieces(_BUNDLE))
    found_out = structs.replace(entry(_FILE, _WHEEL), promised=Digest("sha256", sha256(_WHEEL)))
    await store.save(found_out)

    assert Imported(here=len(_ALL), indexes=("pypi",)) == await _import(store).run(pieces(_BUNDLE))
    assert found_out == store.find(_FILE)


@pytest.mark.parametrize(("checked", "replace_newer", "wins"), [(1.0, False, 0), (3.0, False, 1), (1.0, True, 1)])
async def test_import__newer_pages_stay(checked: float, replace_newer: bool, wins: int) -> None:
    """A page that was confirmed later stays, unless a person wishes otherwise; nothing else of the older is kept."""
    store, old, new = MemoryStore(), b"<html>here", b"<html>bundle"
    await store.put(old)
    await store.save(entry(_LIST, old, 2.0))

    done = await _import(store, replace_newer=replace_newer).run(
        pieces(bundle((member("pages/p", new, entry(_LIST, new, checked)), new)))
    )

    assert {_LIST: (old, new)[wins]} == _contents(store)
    assert (wins, 1 - wins) == (done.files, done.newer)
    assert (store.blob(Digest("sha256", sha256(new))) is not None) == bool(wins)


async def test_import__nothing_is_from_the_future() -> None:
    """A page cannot count as fresh longer than one that came now."""
    store = MemoryStore()

    await _import(store).run(pieces(bundle((member("pages/p", _PAGE, entry(_LIST, _PAGE, _NOW * 2)), _PAGE))))

    found = store.find(_LIST)
    assert found is not None
    assert (_NOW, _NOW) == (found.checked, found.stored)


async def test_import__two_members_with_one_body() -> None:
    """A body with two paths is stored once, with all its addresses."""
    store = MemoryStore()
    twice = [(member(f"files/{name}", _LARGE, f"file:pypi:big::{name}.whl"), _LARGE) for name in ("a", "b", "c")]

    done = await _import(store).run(pieces(bundle(*twice)))

    assert 3 == len(_contents(store))
    assert 3 == done.files + done.here


async def test_import__unknown_kinds_are_left_out() -> None:
    """Addresses of a kind that this version does not know mean nothing to it, and are counted."""
    store = MemoryStore()

    done = await _import(store).run(pieces(bundle((member("npm/a", b"a", "npm:a"), b"a"), *_PARTS[:2])))

    assert ({_LIST: _PAGE}, 1) == (_contents(store), done.unknown)
    assert store.blob(Digest("sha256", sha256(b"a"))) is None


async def test_delta__on_what_is_here() -> None:
    """What is elsewhere gets its addresses if the body is here, and is named if not."""
    store, md5 = MemoryStore(), hashlib.md5(_WHEEL).hexdigest()
    await store.put(_WHEEL)
    here = member("files/here.whl", _WHEEL, entry(_FILE, _WHEEL, promised=Digest("md5", md5)), elsewhere=True)
    gone = member("files/gone.whl", b"gone", "file:pypi:gone::gone.whl", elsewhere=True)

    done = await _import(store).run(pieces(bundle((here, b""), (gone, b""), *_PARTS[:2])))

    assert {_FILE: _WHEEL, _LIST: _PAGE} == _contents(store)
    assert Imported(files=1, size=len(_PAGE), here=1, missing=1, named=("files/gone.whl",), indexes=("pypi",)) == done


async def test_delta__false_claim() -> None:
    """A body that is here gets no digest that it does not have."""
    store = MemoryStore()
    await store.put(_WHEEL)
    wrong = entry(_FILE, _WHEEL, promised=Digest("md5", "0" * 32))

    with pytest.raises(BadBundle, match=r"files/here\.whl is wrong"):
        await _import(store).run(pieces(bundle((member("files/here.whl", _WHEEL, wrong, elsewhere=True), b""))))

    assert {} == _contents(store)


@pytest.mark.parametrize("body", [_WHEEL, _LARGE, b"x" * 100_000])
async def test_damage__of_a_body(body: bytes) -> None:
    """A body that is not the manifest's is not stored, the member is named, and nothing is left of it."""
    store = MemoryStore()
    wrong = bytearray(body)
    wrong[len(body) // 2] ^= 1

    with pytest.raises(BadBundle, match=r"files/a\.whl is damaged"):
        await _import(store).run(pieces(bundle((member("files/a.whl", body, _OTHER), bytes(wrong)), *_PARTS)))

    assert _OTHER not in _contents(store)
    assert store.blob(Digest("sha256", sha256(bytes(wrong)))) is None
    assert {} == store.spools


async def test_damage__keeps_suites_as_they_were() -> None:
    """A Release file comes into force after all that the bundle has, or not at all."""
    store = MemoryStore()

    with pytest.raises(BadBundle, match="lacks"):
        await _import(store).run(pieces(tar([("MANIFEST.json", b"".join(_manifest())), *_bodies(_PARTS[:-1])])))

    assert {
        one.key for part, _ in _PARTS[:-1] for one in part.entries if not one.key.startswith(("apt:r", "apt:s"))
    } == set(_contents(store))


def _manifest() -> list[bytes]:
    return [*encode(1.0, [part for part, _ in _PARTS])]


def _bodies(parts: tuple[tuple[BundleMember, bytes], ...]) -> list[tuple[str, bytes]]:
    return [(part.path, body) for part, body in parts]


async def test_import__long_manifest() -> None:
    """Others get their turn while a long manifest is looked at."""
    store, turns, over = MemoryStore(), 0, False

    async def others() -> None:
        nonlocal turns
        while not over:
            turns += 1
            await asyncio.sleep(0)

    parts = [(member(f"files/{number}", b"", f"file:pypi:a::{number}", elsewhere=True), b"") for number in range(3000)]
    other = asyncio.create_task(others())
    done = await _import(store).run(pieces(bundle(*parts), 1 << 24))
    over = True
    await other

    assert 3000 == done.missing
    assert 20 < turns


async def test_room__bundle_is_too_large() -> None:
    """What cannot fit is refused before anything is stored, and the message says what to do."""
    store = MemoryStore()

    with pytest.raises(StoreFull, match="--disk"):
        await _import(store, limit=SHORT).run(pieces(_BUNDLE))

    assert {} == _contents(store)


async def test_room__what_is_here_needs_none() -> None:
    """Only what is to come has to fit."""
    store = MemoryStore()
    await _import(store).run(pieces(_BUNDLE))

    assert Imported(here=len(_ALL), indexes=("pypi",)) == await _import(store, limit=10).run(pieces(_BUNDLE))


async def test_disk__fails() -> None:
    """A disk that fails ends the import."""
    store = MemoryStore()
    store.failure = lambda: StoreError("The disk is gone.")

    with pytest.raises(StoreError):
        await _import(store).run(pieces(_BUNDLE))

    assert {} == _contents(store)


def _right(contents: dict[str, bytes]) -> bool:
    return all(_ALL.get(key) == body for key, body in contents.items())


async def test_fuzz__bits_flipped() -> None:
    """Wherever bits are flipped, what is stored is right, or the import says what is wrong."""
    data = bundle(*_PARTS[:5], _PARTS[6])
    for seed in range(150):
        chance, damaged, store = random.Random(seed), bytearray(data), MemoryStore()
        for _ in range(chance.choice([1, 1, 1, 5])):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        with contextlib.suppress(BadBundle, StoreFull):
            await _import(store).run(pieces(bytes(damaged), chance.choice([100, 5000, 1 << 20])))
        # A flip in the manifest may give a true body another address, as its writer may; never other bytes.
        assert all(body in _ALL.values() for body in _contents(store).values())
        assert {} == store.spools


async def test_fuzz__truncated() -> None:
    """Wherever a bundle ends too early, what is stored is right, and the import says so."""
    end = len(_BUNDLE.rstrip(b"\0")) - 1
    for seed in range(60):
        store = MemoryStore()
        with pytest.raises(BadBundle):
            await _import(store).run(pieces(_BUNDLE[: random.Random(seed).randrange(end)]))
        assert _right(_contents(store))
        assert {} == store.spools


class _CableOut(Exception):
    """The sender is gone."""


async def _broken(data: bytes, end: int) -> AsyncIterator[bytes]:
    async for piece in pieces(data[:end], 50_000):
        yield piece
    raise _CableOut


async def test_interruptions__anywhere(tmp_path: Path) -> None:
    """However often an import breaks off, the store has whole bodies only, and the next one completes it.

    `IMPORT_INTERRUPTIONS=100` has it broken off as often.
    """
    chance = random.Random(7)
    async with opened(tmp_path) as store:
        for number in range(int(os.environ.get("IMPORT_INTERRUPTIONS", "12"))):
            end = chance.randrange(len(_BUNDLE))
            if number % 2:
                with pytest.raises(_CableOut):
                    await _import(store).run(_broken(_BUNDLE, end))
            else:
                reading = (
                    _import(store).run(pieces(_BUNDLE, 20_000))
                    if number % 4
                    else _from_file(_import(store), tmp_path / "b.tar", _BUNDLE)
                )
                task = asyncio.create_task(reading)
                for _ in range(chance.randrange(60)):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert _right(_contents(store))
            if chance.random() < 0.3:
                await store.inventory.remove([Digest("sha256", sha256(_LARGE)).value])

        await _import(store).run(pieces(_BUNDLE))
        assert _ALL == _contents(store)
        assert [] == [path for path in (tmp_path / "spool").iterdir() if path.suffix != ".tmp"]
    async with opened(tmp_path) as store:
        assert _ALL == _contents(store)


async def test_import__while_a_client_reads(tmp_path: Path) -> None:
    """Who reads what is replaced is not disturbed."""
    async with opened(tmp_path) as store:
        old: Entry = entry(_LIST, b"old", 1.0)
        await store.put(b"old")
        await store.save(old)
        blob = store.blob(old.digest)
        assert blob is not None
        with store.lease(blob) as descriptor:
            await _import(store).run(pieces(_BUNDLE))
            assert b"old" == os.pread(descriptor, 10, 0)
        assert _PAGE == _contents(store)[_LIST]
