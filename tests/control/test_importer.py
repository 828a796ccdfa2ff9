"""What verbs have taken into a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.bundles.importing import Imported, ImportWish
from proxy.bundles.manifest import BadBundle
from proxy.control.importer import Importer
from proxy.control.protocol import ControlError
from proxy.control.server import ControlServer
from proxy.metrics import Traffic
from proxy.storage.store import DiskStore
from tests.bundles.tars import bundle, member, pieces, tar
from tests.control.stores import StoppedClock, aside, asked
from tests.storage.disk import opened

_KEY = "file:pypi:demo::demo.whl"
_BODY = b"wheel" * 500_000
_DONE = Imported(1, len(_BODY), indexes=("pypi",))
_BUNDLE = bundle((member("files/pypi/_/demo.whl", _BODY, _KEY), _BODY))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    """An empty one."""
    async with opened(tmp_path) as started:
        yield started


@pytest.fixture
async def heard(store: DiskStore) -> AsyncIterator[list[str]]:
    """Who heard of imports into the store, whose cache runs."""
    heard: list[str] = []

    server = ControlServer(
        StoppedClock(), Traffic, forget=lambda: heard.append("forget"), imported=lambda: heard.append("imported")
    )
    await server.start(store)
    yield heard
    await server.close()


async def test_import__over_the_socket(store: DiskStore, heard: list[str]) -> None:
    """A running cache takes a tar in as it comes, and those who remember what was stored look again."""
    done = await aside(lambda: asked(store.folder).take_in(_cut(_BUNDLE), ImportWish()))

    assert _DONE == done
    assert ["forget", "imported"] == heard
    assert store.find(_KEY) is not None


async def test_import__wishes(store: DiskStore, heard: list[str]) -> None:
    """What is no bundle is taken in only if it is wished for."""
    data = tar({"demo.whl": _BODY})

    with pytest.raises(ControlError, match="This is no bundle"):
        await aside(lambda: asked(store.folder).take_in(_cut(data), ImportWish()))
    assert Imported(1, len(_BODY)) == await aside(
        lambda: asked(store.folder).take_in(_cut(data), ImportWish(loose=True))
    )
    assert heard


async def test_import__refused_early(store: DiskStore, heard: list[str]) -> None:
    """The reason arrives though there is much more to send, which is not sent."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 16
            yield b"no tar" * (1 << 14)

    with pytest.raises(ControlError, match="This is no tar"):
        await aside(lambda: asked(store.folder).take_in(endless(), ImportWish()))

    assert sent < 1 << 30
    assert heard


async def test_import__verb_is_killed(store: DiskStore, heard: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A verb that ends in the middle leaves nothing, and the next one can import."""

    def half() -> Iterator[bytes]:
        yield _BUNDLE[: len(_BUNDLE) // 2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await aside(lambda: asked(store.folder).take_in(half(), ImportWish()))
    while not heard:
        await asyncio.sleep(0.01)

    assert [] == caplog.records
    assert _DONE == await aside(lambda: asked(store.folder).take_in(_cut(_BUNDLE), ImportWish()))


async def test_import__one_at_a_time(store: DiskStore) -> None:
    """A second import has to wait, and is told so."""
    importer, gate, began = Importer(store, StoppedClock()), asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield _BUNDLE[:1000]
        began.set()
        await gate.wait()
        yield _BUNDLE[1000:]

    first = asyncio.create_task(importer.take_in(held(), ImportWish()))
    await began.wait()
    with pytest.raises(ControlError, match="under way"):
        await importer.take_in(pieces(_BUNDLE), ImportWish())
    gate.set()

    assert _DONE == await first


async def test_import__bad_bundle(store: DiskStore) -> None:
    """An error of the bundle is its own."""
    with pytest.raises(BadBundle):
        await Importer(store, StoppedClock()).take_in(pieces(b"x" * 600), ImportWish())


def _cut(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]
