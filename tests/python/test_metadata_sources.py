"""MetadataSources metadata from upstream: what is taken for a whole file, and where a wheel's end is found."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.cache.bodies import Claim
from proxy.cache.flight import WantedFile
from proxy.errors import StoreError, WrongBytes
from proxy.model import Digest, UpstreamRequest
from proxy.python.metadata_sources import MetadataSources, WheelRead, is_metadata
from proxy.python.wheel import Unreadable
from tests.memory_upstream import Gate, Scripted
from tests.python.conftest import Make
from tests.python.world import SITE, World, content
from tests.wheels import wheel

SOUND = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: a\n"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (SOUND, True),
        (SOUND + b"\nWhat it does.\n", True),
        (SOUND + b"\nWhat it does, and no end of the line", True),
        (SOUND.replace(b"\n", b"\r\n"), True),
        (SOUND.replace(b"\n", b"\r\n") + b"\r\nText", True),
        (SOUND.replace(b"Metadata-Version", b"metadata-version").replace(b"Name:", b"NAME:"), True),
        (SOUND + b"License: one\n        two: three\n\tfour\n", True),
        (SOUND[:-1], False),
        (SOUND[:-3], False),
        (SOUND + b"Descr", False),
        (SOUND + b"License: one\n        tw", False),
        (b"Metadata-Version: 2.1\nName: demo\n", False),
        (b"Metadata-Version: 2.1\nName: demo\n\nVersion: 1.0\n", False),
        (b"Name: demo\nVersion: 1.0\n", False),
        (b"", False),
        (b"<!DOCTYPE html><title>Metadata-Version: 2.1</title>", False),
        (b"no metadata at all", False),
    ],
)
def test_is_metadata(body: bytes, expected: bool) -> None:
    """Headers that end as such, the three that must be there among them."""
    assert expected is is_metadata(body)


@settings(deadline=None)
@given(st.integers(0, len(SOUND) - 1))
def test_is_metadata__cut_in_its_headers(end: int) -> None:
    """What is cut inside of a line is not taken for the whole."""
    assert is_metadata(SOUND[:end]) is (SOUND[:end].endswith(b"\n") and b"Version: 1.0\n" in SOUND[:end])


WHEEL = wheel(padding=300_000)
BODY = content(WHEEL)
URL = f"https://index.example/p/{WHEEL.filename}"
AT = f"{URL}.metadata"
Part = Callable[[UpstreamRequest], Scripted]


def subject(size: int | None = None, digest: Digest | None = None) -> WheelRead:
    """The wheel, as a page tells of it."""
    return WheelRead(WantedFile("file:demo", URL, SITE, None, size), WHEEL.filename, digest, Claim())


@pytest.fixture
async def reading(world: World) -> AsyncIterator[MetadataSources]:
    """What is tested."""
    made = MetadataSources(world.store, world.downloads)
    yield made
    await made.close()


@pytest.mark.parametrize("size", [None, len(BODY), len(BODY) - 5, 5, len(BODY) + 5, 10 * len(BODY)])
async def test_by_parts__whatever_size_a_page_gives(world: World, reading: MetadataSources, size: int | None) -> None:
    """The end of a wheel is where its host says that it is."""
    world.upstream.on(URL, Scripted(BODY, ranges=True))
    assert WHEEL.metadata == await reading.by_parts(subject(size))
    assert world.upstream.sent < len(BODY)


def absolute_only(ask: UpstreamRequest) -> Scripted:
    """A host that knows ranges, but not those of the last bytes."""
    return Scripted(BODY, ranges=not ask.headers.get("Range", "").startswith("bytes=-"))


async def test_by_parts__where_only_absolute_ranges_are_known(world: World, reading: MetadataSources) -> None:
    """The size is learnt by a byte."""
    world.upstream.on(URL, absolute_only)
    assert WHEEL.metadata == await reading.by_parts(subject())


async def test_own_file__without_a_hash(world: World, reading: MetadataSources) -> None:
    """It is taken if its head says where it ends, and it looks like one."""
    world.upstream.on(AT, Scripted(SOUND))
    assert SOUND == await reading.own_file(subject(), "key")
    world.upstream.on(AT, Scripted(SOUND[:-3]))
    with pytest.raises(WrongBytes):
        await reading.own_file(subject(), "key")


async def test_own_file__with_a_hash(world: World, reading: MetadataSources) -> None:
    """The hash decides, whatever it looks like."""
    body = b"a file of another kind"
    world.upstream.on(AT, Scripted(body))
    right = Digest("sha512", hashlib.sha512(body).hexdigest())
    assert body == await reading.own_file(subject(digest=right), "key")
    with pytest.raises(WrongBytes):
        await reading.own_file(subject(digest=structs.replace(right, value="0" * 128)), "key")


async def test_by_whole__of_what_is_no_wheel(world: World, reading: MetadataSources) -> None:
    """All of it is here: another try would change nothing."""
    world.upstream.on(URL, Scripted(bytes(100_000)))
    with pytest.raises(Unreadable):
        await reading.by_whole(subject())


async def test_by_whole__on_a_full_disk(make: Make) -> None:
    """A wheel that the disk cannot take is not read."""
    world = make(limit=1000)
    made = MetadataSources(world.store, world.downloads)
    world.upstream.on(URL, Scripted(BODY))
    with pytest.raises(StoreError):
        await made.by_whole(subject())
    await made.close()


LARGE = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n" + b"Classifier: many\n" * 500_000
TOGETHER = 64 << 20  # bytes


async def test_own_file__many_large_ones_at_once(world: World, reading: MetadataSources) -> None:
    """However many are read, they hold a bounded memory together, and all of them come."""
    many, gate = 15, Gate()
    addresses = [f"https://index.example/p/{number}.whl" for number in range(many)]
    for url in addresses:
        world.upstream.on(f"{url}.metadata", Scripted(LARGE, body_gate=gate, gate_at=len(LARGE) - 1))

    async def read(url: str) -> int:
        with reading.subject(WantedFile(url, url, SITE), WHEEL.filename, None) as asked:
            return len(await reading.own_file(asked, url))

    tasks = [asyncio.create_task(read(url)) for url in addresses]
    await gate.reached.wait()
    sent = -1
    while sent != world.upstream.sent:  # until nobody gets any further
        sent = world.upstream.sent
        for _ in range(1000):
            await asyncio.sleep(0)
    assert len(LARGE) < sent < TOGETHER < many * len(LARGE)
    gate.open()
    assert [len(LARGE)] * many == await asyncio.gather(*tasks)


@pytest.mark.parametrize("way", ["by_parts", "by_whole"])
async def test_unpacked__waits_for_memory(world: World, reading: MetadataSources, way: str) -> None:
    """What is large when it is unpacked counts, too, however small the wheel is."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", LARGE)
    world.upstream.on(URL, Scripted(packed.getvalue(), ranges=True))
    with reading.subject(WantedFile("file:demo", URL, SITE), WHEEL.filename, None) as asked:
        assert LARGE == await getattr(reading, way)(asked)
        assert len(LARGE) <= asked.claim.held
