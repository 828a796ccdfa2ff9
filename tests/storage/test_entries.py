"""Entries in memory and in rows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from proxy.model import Digest
from proxy.storage.entries import decode
from tests.storage.disk import entry, keep, opened

_ENTRY = entry("key", b"body")
_TEXT = msgspec.json.encode(_ENTRY)


def test_decode__as_it_was() -> None:
    """An entry comes back as it was written."""
    assert decode("key", _TEXT) == _ENTRY


def test_decode__of_another_key() -> None:
    """A row that is another address's is nobody's."""
    assert decode("other", _TEXT) is None


def test_decode__of_an_older_program() -> None:
    """A row that says nothing of promises is read: nothing was promised, and nothing is in doubt."""
    older = msgspec.json.decode(_TEXT)
    del older["promised"], older["proved"]
    assert _ENTRY == decode("key", msgspec.json.encode(older))


@pytest.mark.parametrize("promised", [Digest("sha512", "ab"), Digest("md5", "0" * 31 + "\n"), Digest("none", "00")])
def test_decode__promise_that_is_no_digest(promised: Digest) -> None:
    """What gets into answers is held to the form that it has."""
    assert decode("key", msgspec.json.encode(structs.replace(_ENTRY, promised=promised))) is None


@given(st.integers(0, len(_TEXT) - 1), st.integers(1, 255))
def test_decode__one_byte_changed(position: int, change: int) -> None:
    """A changed byte gives no entry, or one of the same key."""
    damaged = bytearray(_TEXT)
    damaged[position] ^= change

    found = decode("key", bytes(damaged))

    assert found is None or found.key == "key"


async def test_find__more_than_are_remembered(tmp_path: Path) -> None:
    """Memory is bounded; what is not in it is read from its row."""
    async with opened(tmp_path / "data") as store:
        store._entries._remembered = 5
        for number in range(20):
            await keep(store, str(number), b"same body")

        assert all(store.find(str(number)) == entry(str(number), b"same body") for number in range(20))
        assert len(store._entries._memory) == 5


async def test_stands__not_remembered(tmp_path: Path) -> None:
    """What left memory is read again, and what stood then stands."""
    async with opened(tmp_path / "data") as store:
        store._entries._remembered = 5
        first = await keep(store, "first", b"same body")
        for number in range(20):
            await keep(store, str(number), b"same body")
        await store.flush()

        assert "first" not in store._entries._memory
        assert store.stands(first)


async def test_find__what_was_not_here(tmp_path: Path) -> None:
    """What comes after somebody asked for it in vain is found, by its key and among others, whenever it is written."""
    prefixes = ("page:", "page:pypi:", "page:pypi:demo:")
    async with opened(tmp_path / "data") as store:
        for name in ("", "simple/demo/", "simple/demo/x:y"):
            key = f"page:pypi:demo:{name}"
            for _ in range(2):
                assert store.find(key) is None
                assert key not in {found for prefix in prefixes for found in store.keys(prefix)}
            await keep(store, key, key.encode())
            while store._entries._unwritten:
                assert all(key in store.keys(prefix) for prefix in prefixes)
                await asyncio.sleep(0)
            store._entries._memory.clear()
            assert entry(key, key.encode()) == store.find(key)
            assert all(key in store.keys(prefix) for prefix in prefixes)


async def test_keys__asked_for_until_they_are_written(tmp_path: Path) -> None:
    """Nobody remembers that there is nothing while the first of them is on its way to the index."""
    async with opened(tmp_path / "data") as store:
        assert [] == list(store.keys("file:pypi:"))
        await keep(store, "file:pypi:demo:a", b"body")
        await store.forget("file:pypi:demo:a")
        assert [] == list(store.keys("file:pypi:"))
        await keep(store, "file:pypi:demo:a", b"body")
        while store._entries._unwritten:
            assert ["file:pypi:demo:a"] == list(store.keys("file:pypi:"))
            await asyncio.sleep(0)
        assert ["file:pypi:demo:a"] == list(store.keys("file:pypi:"))


async def test_keys__as_rows_come_and_go(tmp_path: Path) -> None:
    """What is remembered of the index follows it: what is written, replaced, forgotten, or dropped with its blob."""
    prefix = "page:pypi:demo:"
    async with opened(tmp_path / "data") as store:
        entries = store._entries

        async def written() -> list[str]:
            """The keys, which are the same before all is written, and after."""
            before = list(store.keys(prefix))
            while entries._unwritten or store._backlog._waiting:
                assert before == list(store.keys(prefix))
                await asyncio.sleep(0)
            assert before == list(store.keys(prefix)) == list(store.keys("page:pypi:demo:"))
            assert prefix in entries._families
            return before

        for name in "ab":
            await keep(store, prefix + name, name.encode())
        assert [prefix + "a", prefix + "b"] == await written()
        await store.forget(prefix + "a")
        assert [prefix + "b"] == await written()
        await keep(store, prefix + "b", b"another")
        await keep(store, prefix + "c", b"c")
        assert [prefix + "b", prefix + "c"] == await written()
        record = store._blobs.get(entry(prefix + "c", b"c").digest.value)
        assert record is not None
        store._drop(record)
        assert [prefix + "b"] == list(store.keys(prefix))
        await keep(store, "page:pypi:other:c", b"c")
        assert [prefix + "b"] == await written()


async def test_keys__many_are_not_remembered(tmp_path: Path) -> None:
    """Memory is bounded; all are found."""
    async with opened(tmp_path / "data") as store:
        keys = [f"file:pypi:demo:{number}" for number in range(9)]
        for key in keys:
            await keep(store, key, b"same body")
        while store._entries._unwritten:
            await asyncio.sleep(0)
        assert keys == list(store.keys("file:pypi:demo:")) == list(store.keys("file:pypi:demo:"))
        assert "file:pypi:demo:" not in store._entries._families
