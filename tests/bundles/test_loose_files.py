"""Files without a manifest."""

from __future__ import annotations

import os

import pytest

from proxy.bundles.importing import Imported
from proxy.bundles.loose_files import LooseImport
from proxy.bundles.manifest import BadBundle
from proxy.cache.stored_files import StoredFiles
from proxy.errors import StoreFull
from proxy.model import Digest
from tests.bundles.tars import header, pieces, sha256, tar
from tests.cache.conftest import HandClock, wanted
from tests.memory_store import MemoryStore

_FILES = {"0/demo.whl": b"wheel", "1/large.deb": os.urandom(3 << 20), "2/again.whl": b"wheel"}


async def test_loose__adopted_by_digest() -> None:
    """A file has no address, until somebody wants the file that has its digest."""
    store = MemoryStore()

    done = await LooseImport(store, 1 << 30).run(pieces(tar(_FILES)))

    assert Imported(files=2, size=5 + (3 << 20), here=1) == done
    assert [] == store.keys("")
    files = StoredFiles(store, HandClock())
    found = await files.find(wanted(b"wheel"))
    await files.close()
    assert found is not None
    assert 1 == len(store.keys(""))


async def test_loose__damaged_tar() -> None:
    """What came before stays, and nothing is left of the rest."""
    store = MemoryStore()

    with pytest.raises(BadBundle, match=r"1/large\.deb"):
        await LooseImport(store, 1 << 30).run(pieces(tar(_FILES)[:2_000_000]))

    assert store.blob(Digest("sha256", sha256(b"wheel"))) is not None
    assert {} == store.spools


async def test_loose__too_much() -> None:
    """Files do not push each other out of the cache."""
    with pytest.raises(StoreFull, match="--disk"):
        await LooseImport(MemoryStore(), 1000).run(pieces(header("a", size=1001)))
