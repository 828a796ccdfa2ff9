"""Histories of suites: what is known of a suite, and what of it outlives the process."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from proxy.apt import release
from proxy.apt import suite_history as module
from proxy.apt.indexes import Indexes
from proxy.apt.suite_history import SuiteHistories, SuiteHistory
from proxy.apt.suites import Received, ReleaseForm, Snapshot
from proxy.model import Blob, Entry, Validator
from tests.apt.conftest import SITE, SUITE, WALL, World, beside, inline, listing, settle
from tests.memory_store import MemoryStore

PATH = "main/binary-amd64/Packages"
OLD_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"


def histories_of(world: World) -> SuiteHistories:
    """Histories of a process that begins."""
    return SuiteHistories(world.store, world.clock, Indexes(world.downloads, world.store), world.workers)


async def received(world: World, key: str, body: bytes) -> Received:
    """A file that upstream sent, in the store if that takes it."""
    stored = await world.store.put(body) is not None
    validator = Validator('"1"', OLD_DATE)
    entry = Entry(key, "http://x/", release.digest(body), len(body), "text/plain", validator, WALL, WALL)
    return Received(entry, None if stored else body, settled=True)


async def adopt(
    world: World, known: SuiteHistories, history: SuiteHistory, body: bytes, *, signed: bool = False
) -> Snapshot:
    """Adopt a Release file that upstream sent, with its signature beside it if it is `signed`."""
    listed = await received(world, history.key, body)
    gpg = await received(world, history.signature_key("new"), beside(body)) if signed else None
    parsed = release.parse(body, clearsigned=history.form is ReleaseForm.INLINE)
    snapshot = Snapshot(history.form, listed, parsed, signature=gpg)
    await known.adopt(history, snapshot)
    return snapshot


def read(world: World, known: SuiteHistories, one: Received | None) -> bytes | None:
    """The body of a Release file."""
    body = known.body(one) if one else None
    return world.store._blobs[body.digest.value].body if isinstance(body, Blob) else body


async def test_history__outlives_the_process(world: World) -> None:
    """The next process finds the present snapshot, and knows which of its indexes clients used."""
    body = inline({PATH: b"one"})
    known = histories_of(world)
    snapshot = await adopt(world, known, await known.get(SUITE, ReleaseForm.INLINE), body)
    world.put(PATH, b"one")
    await Indexes(world.downloads, world.store).open(SUITE, snapshot, PATH, SITE)
    await settle(world)

    history = await histories_of(world).get(SUITE, ReleaseForm.INLINE)

    assert history.present is not None
    assert (snapshot.name, snapshot.release) == (history.present.name, history.present.release)
    assert history.present.listing.settled
    assert {PATH: world.clock.now()} == history.used
    assert body == read(world, known, history.present.listing)
    assert (await histories_of(world).get(SUITE, ReleaseForm.DETACHED)).present is None


async def test_history__taken_in(world: World) -> None:
    """A list that somebody else put into the store takes the place of none, and of an older one."""
    known = histories_of(world)
    for number in range(2):
        history = await known.get(SUITE, ReleaseForm.INLINE)
        taken = await received(world, history.key, inline({PATH: str(number).encode()}))
        await world.store.save(structs.replace(taken.entry, checked=WALL + number))
        again = await known.get(SUITE, ReleaseForm.INLINE)
        assert history is again
        assert again.present is not None
        assert taken.entry.digest.value == again.present.name


async def test_history__taken_in_over_one_that_clients_have(world: World) -> None:
    """As after a look upstream the former one stays known, for who is in the middle of an update, and what is used."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.INLINE)
    former = await adopt(world, known, history, inline({PATH: b"one"}))
    history.used[PATH], history.gone = WALL, True
    taken = await received(world, history.key, inline({PATH: b"two"}))
    await world.store.save(structs.replace(taken.entry, checked=WALL + 1))

    again = await known.get(SUITE, ReleaseForm.INLINE)

    assert [taken.entry.digest.value, former.name] == [one.name for one in again.recent]
    assert ({former.name}, [PATH], False) == (set(again.replaced), list(again.used), again.gone)


async def test_history__not_saved(world: World) -> None:
    """A list that the store did not take is not replaced by the one that it has from before."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.INLINE)
    await adopt(world, known, history, inline({PATH: b"one"}))
    body = inline({PATH: b"two"})
    found = Entry(history.key, "http://x/", release.digest(body), len(body), "", Validator(), WALL + 9, WALL + 9)
    listed = Received(found, body, settled=True)
    await known.adopt(history, Snapshot(history.form, listed, release.parse(body, clearsigned=True)))
    again = await known.get(SUITE, ReleaseForm.INLINE)
    assert again.present is not None
    assert found.digest.value == again.present.name


async def test_history__pair(world: World) -> None:
    """A list is found with the signature that belongs to it; that of a former list goes when nobody has that list."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.DETACHED)
    bodies = [listing({PATH: str(number).encode()}) for number in range(4)]
    for body in bodies:
        await adopt(world, known, history, body, signed=True)

    found = await histories_of(world).get(SUITE, ReleaseForm.DETACHED)

    assert found.present is not None
    assert beside(bodies[-1]) == read(world, known, found.present.signature)
    assert 4 == len(world.store.keys("apt:signature:"))
    world.clock.advance(1000)
    await adopt(world, known, history, bodies[0], signed=True)
    assert 3 == len(history.recent) == len(world.store.keys("apt:signature:"))


async def test_history__signature_lost(world: World) -> None:
    """A list that was stored with its signature counts as none without it, for the next process too."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.DETACHED)
    snapshot = await adopt(world, known, history, listing({PATH: b"one"}), signed=True)
    await world.store.forget(history.signature_key(snapshot.name))

    for one in (known, histories_of(world)):
        assert (await one.get(SUITE, ReleaseForm.DETACHED)).present is None


@pytest.mark.parametrize("former", ["unsigned", "unmarked"])
async def test_history__list_without_mark(world: World, former: str) -> None:
    """A list that had no signature is whole, and so is one with it of which the store does not say that it had it."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.DETACHED)
    snapshot = await adopt(world, known, history, listing({PATH: b"one"}), signed=former == "unmarked")
    if former == "unmarked":
        await world.store.save(snapshot.listing.entry)  # as earlier versions wrote it

    again = (await histories_of(world).get(SUITE, ReleaseForm.DETACHED)).present

    assert again is not None
    assert (snapshot.name, snapshot.signature_name) == (again.name, again.signature_name)


async def test_history__disk_takes_nothing(world: World) -> None:
    """A snapshot that the disk does not take is served from memory."""
    world.store = MemoryStore(limit=1)
    known = histories_of(world)
    body = inline({PATH: b"one"})
    await adopt(world, known, await known.get(SUITE, ReleaseForm.INLINE), body)

    history = await known.get(SUITE, ReleaseForm.INLINE)

    assert history.present is not None
    assert body == known.body(history.present.listing)
    assert (await histories_of(world).get(SUITE, ReleaseForm.INLINE)).present is None


async def test_history__evicted(world: World) -> None:
    """A Release file that was evicted is to be fetched anew."""
    known = histories_of(world)
    await adopt(world, known, await known.get(SUITE, ReleaseForm.INLINE), inline({PATH: b"one"}))
    for key in world.store.keys("apt:"):
        await world.store.forget(key)

    assert (await known.get(SUITE, ReleaseForm.INLINE)).present is None


async def test_history__damaged(world: World) -> None:
    """A stored Release file that cannot be read counts as none."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.INLINE)
    damaged = await received(world, history.key, b"no Release file")
    await world.store.save(damaged.entry)

    assert (await histories_of(world).get(SUITE, ReleaseForm.INLINE)).present is None


async def test_confirm__new_date(world: World) -> None:
    """The same list with another date is served with that date, after a restart too."""
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.INLINE)
    snapshot = await adopt(world, known, history, inline({PATH: b"one"}))
    entry = structs.replace(snapshot.listing.entry, validator=Validator(None, "Thu, 02 Jan 2020 00:00:00 GMT"))

    await known.confirm(history, replace(snapshot, listing=Received(entry)))

    again = (await histories_of(world).get(SUITE, ReleaseForm.INLINE)).present
    assert history.present is not None
    assert again is not None
    assert ["Thu, 02 Jan 2020 00:00:00 GMT"] * 2 == [history.present.date_of(), again.date_of()]
    assert not history.present.listing.settled


async def test_histories__are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of suites that nobody asks for leave the memory, and are read again."""
    monkeypatch.setattr(module, "_FILES_MOST", 500)
    known = histories_of(world)
    await adopt(world, known, await known.get(SUITE, ReleaseForm.INLINE), inline({PATH: b"one"}))
    for number in range(20):
        await known.get(replace(SUITE, path=f"debian/dists/{number}/"), ReleaseForm.INLINE)

    assert 5 == len(known._histories)
    assert (await known.get(SUITE, ReleaseForm.INLINE)).present is not None


async def test_histories__one_that_is_heavy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one suite with long lists the oldest leave the memory, and never the present one."""
    monkeypatch.setattr(module, "_FILES_MOST", 500)
    known = histories_of(world)
    history = await known.get(SUITE, ReleaseForm.INLINE)
    kept = []
    for number in range(4):
        await adopt(world, known, history, inline({f"{number}/{file}": b"" for file in range(100)}))
        kept.append([next(iter(one.release.files))[0] for one in history.recent])
    taken = await received(world, history.key, inline({f"4/{file}": b"" for file in range(1000)}))
    await world.store.save(structs.replace(taken.entry, checked=WALL + 1))
    await known.get(SUITE, ReleaseForm.INLINE)

    assert [["0"], ["1", "0"], ["2", "1"], ["3", "2"]] == kept
    assert ([taken.entry.digest.value], {}) == ([one.name for one in history.recent], history.replaced)
