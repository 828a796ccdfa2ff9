"""Lines of suites: what is known of a suite, and what of it outlives the process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.apt import release
from proxy.apt import suite_history as module
from proxy.apt.fetching import Sent
from proxy.apt.indexes import Indexes
from proxy.apt.suite_history import Line, Lines
from proxy.apt.suites import Form, Held, Snapshot
from proxy.model import Blob, Validator
from tests.apt.conftest import SITE, SUITE, World, beside, inline, listing, settle
from tests.memory_store import MemoryStore

PATH = "main/binary-amd64/Packages"
OLD_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"


def lines(world: World) -> Lines:
    """Lines of a process that begins."""
    return Lines(world.store, world.clock, Indexes(world.downloads, world.store), world.workers)


async def adopt(known: Lines, line: Line, body: bytes, signature: bytes | None = None) -> Snapshot:
    """Adopt a Release file that upstream sent."""
    sent = Sent("http://x/", body, Validator('"1"', OLD_DATE), None)
    held = await known.hold(line, line.form.value, sent)
    gpg = await known.hold(line, "Release.gpg", replace(sent, body=signature)) if signature else None
    parsed = release.parse(body, clearsigned=line.form is Form.INLINE)
    snapshot = Snapshot(line.form, held, parsed, signature=gpg)
    await known.adopt(line, snapshot)
    return snapshot


def read(world: World, known: Lines, held: Held | None) -> bytes | None:
    """The body of a Release file."""
    body = known.blob(held) if held else None
    return world.store._blobs[body.digest.value].body if isinstance(body, Blob) else body


async def test_line__outlives_the_process(world: World) -> None:
    """The next process finds the present snapshot, and knows which of its indexes clients used."""
    body = inline({PATH: b"one"})
    known = lines(world)
    snapshot = await adopt(known, await known.get(SUITE, Form.INLINE), body)
    world.put(PATH, b"one")
    await Indexes(world.downloads, world.store).open(SUITE, snapshot, PATH, SITE)
    await settle(world)

    line = await lines(world).get(SUITE, Form.INLINE)

    assert line.present is not None
    assert (snapshot.name, snapshot.release) == (line.present.name, line.present.release)
    assert line.present.listing.settled
    assert {PATH: world.clock.now()} == line.used
    assert body == read(world, known, line.present.listing)
    assert (await lines(world).get(SUITE, Form.DETACHED)).present is None


async def test_line__pair(world: World) -> None:
    """A list is found with the signature that belongs to it; that of a former list goes when nobody has that list."""
    known = lines(world)
    line = await known.get(SUITE, Form.DETACHED)
    bodies = [listing({PATH: str(number).encode()}) for number in range(4)]
    for body in bodies:
        await adopt(known, line, body, beside(body))

    found = await lines(world).get(SUITE, Form.DETACHED)

    assert found.present is not None
    assert beside(bodies[-1]) == read(world, known, found.present.signature)
    assert 4 == len(world.store.keys("apt:signature:"))
    world.clock.advance(1000)
    await adopt(known, line, bodies[0], beside(bodies[0]))
    assert 3 == len(line.recent) == len(world.store.keys("apt:signature:"))


async def test_line__disk_takes_nothing(world: World) -> None:
    """A snapshot that the disk does not take is served from memory."""
    world.store = MemoryStore(limit=1)
    known = lines(world)
    body = inline({PATH: b"one"})
    await adopt(known, await known.get(SUITE, Form.INLINE), body)

    line = await known.get(SUITE, Form.INLINE)

    assert line.present is not None
    assert body == known.blob(line.present.listing)
    assert (await lines(world).get(SUITE, Form.INLINE)).present is None


async def test_line__evicted(world: World) -> None:
    """A Release file that was evicted is to be fetched anew."""
    known = lines(world)
    await adopt(known, await known.get(SUITE, Form.INLINE), inline({PATH: b"one"}))
    for key in world.store.keys("apt:"):
        await world.store.forget(key)

    assert (await known.get(SUITE, Form.INLINE)).present is None


async def test_line__damaged(world: World) -> None:
    """A stored Release file that cannot be read counts as none."""
    known = lines(world)
    line = await known.get(SUITE, Form.INLINE)
    held = await known.hold(line, "InRelease", Sent("http://x/", b"no Release file", Validator(), None))
    await world.store.save(held.entry)

    assert (await lines(world).get(SUITE, Form.INLINE)).present is None


async def test_confirm__new_date(world: World) -> None:
    """The same list with another date is served with that date, after a restart too."""
    known = lines(world)
    line = await known.get(SUITE, Form.INLINE)
    snapshot = await adopt(known, line, inline({PATH: b"one"}))
    entry = replace(snapshot.listing.entry, validator=Validator(None, "Thu, 02 Jan 2020 00:00:00 GMT"))

    await known.confirm(line, replace(snapshot, listing=Held(entry)))

    again = (await lines(world).get(SUITE, Form.INLINE)).present
    assert line.present is not None
    assert again is not None
    assert ["Thu, 02 Jan 2020 00:00:00 GMT"] * 2 == [line.present.date_of(), again.date_of()]
    assert not line.present.listing.settled


async def test_lines__are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of suites that nobody asks for leave the memory, and are read again."""
    monkeypatch.setattr(module, "_FILES_MOST", 500)
    known = lines(world)
    await adopt(known, await known.get(SUITE, Form.INLINE), inline({PATH: b"one"}))
    for number in range(20):
        await known.get(replace(SUITE, path=f"debian/dists/{number}/"), Form.INLINE)

    assert len(known._lines) <= 5
    assert (await known.get(SUITE, Form.INLINE)).present is not None
