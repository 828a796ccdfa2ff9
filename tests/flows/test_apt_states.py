"""States of a suite that archives are in: signatures that come late, lists that are signed again, states taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.model import Digest
from tests.archive import LONG_AGO, Archive, State, deb, signature
from tests.flows.apting import Client, client, start, update
from tests.flows.asking import SteppedClock
from tests.flows.conftest import MakeClocked
from tests.origin import Origin

if TYPE_CHECKING:
    from proxy.app import Running

ONE, TWO = deb("one"), deb("two")
LATER = LONG_AGO + 3600
KINDS = ("MD5Sum", "SHA1", "SHA256", "SHA512")


@pytest.fixture
def pairs(origin: Origin) -> Archive:
    """An archive without InRelease."""
    return Archive(origin, inline=False, by_hash=False)


def sign(archive: Archive, state: State, key: str = "", modified: float | None = None) -> bytes:
    """Put a signature of a list beside it, dated `modified`."""
    made = signature(state.release["Release"], key)
    date = formatdate(state.modified if modified is None else modified, usegmt=True)
    archive.origin.file(f"{archive.folder}Release.gpg", made, etag=None, last_modified=date)
    return made


async def pair(apt: Client, archive: Archive) -> tuple[bytes, bytes | int]:
    """The list and its signature, or the status in place of that."""
    listing = await apt.get(archive.url(f"{archive.folder}Release"))
    signed = await apt.get(archive.url(f"{archive.folder}Release.gpg"))
    return listing.body, signed.body if signed.status == 200 else signed.status


@pytest.mark.parametrize("before", ["of the list before", "none"])
@pytest.mark.parametrize("restart", [False, True])
async def test_signature__later_than_its_list(
    pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock, before: str, restart: bool
) -> None:
    """A cache that met the list alone has the pair as soon as the archive has, and looks soon."""
    old, new = pairs.state(ONE), pairs.state(TWO, modified=LATER)
    pairs.show(new)
    if before == "none":
        pairs.origin.remove(f"{pairs.folder}Release.gpg")
        now = formatdate(None, usegmt=True)  # young: it may be in the middle of a change
        pairs.origin.file(f"{pairs.folder}Release", new.release["Release"], etag=None, last_modified=now)
    else:
        sign(pairs, old)
    running = await start(make_clocked, pairs.origin, window=20)

    async with client(running) as apt:
        half = await pair(apt, pairs)
    signed = sign(pairs, new)
    if restart:
        await running.close()
        running = await start(make_clocked, pairs.origin, window=20)
    clock.advance(3)
    async with client(running) as apt:
        whole = await pair(apt, pairs)

    assert new.release["Release"] == half[0] == whole[0]
    assert signed == whole[1] != half[1]


def lose(running: Running, state: State) -> None:
    """Let the disk lose the signature of a state."""
    blob = running.store.blob(Digest("sha256", hashlib.sha256(state.release["Release.gpg"]).hexdigest()))
    assert blob is not None
    Path(blob.path).unlink()


async def test_signature__lost_by_the_disk(pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """A signature that the disk lost within the window is fetched anew, also for the client that has the list."""
    running = await start(make_clocked, pairs.origin, window=600)
    state = pairs.publish(ONE)

    async with client(running) as apt:
        await apt.get(pairs.url(f"{pairs.folder}Release"))
        lose(running, state)
        signed = await apt.get(pairs.url(f"{pairs.folder}Release.gpg"))

    assert (200, state.release["Release.gpg"]) == (signed.status, signed.body)


async def test_signature__lost_before_a_start(pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """A cache that has the list alone, and cannot ask, gives an error: without a signature apt would distrust it."""
    running = await start(make_clocked, pairs.origin, window=600)
    state = pairs.publish(ONE)
    async with client(running) as apt:
        await pair(apt, pairs)
    await running.close()
    lose(running, state)
    await pairs.origin.stop()
    running = await start(make_clocked, pairs.origin, window=600)

    async with client(running) as apt:
        answers = [await apt.get(pairs.url(pairs.folder + name)) for name in ("Release.gpg", "Release")]

    assert [502, 502] == [answer.status for answer in answers]


async def test_signature__of_another_key(pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """The same list signed again is seen at the next look: the length says that it is another key."""
    running = await start(make_clocked, pairs.origin, window=20)
    state = pairs.publish(ONE)

    async with client(running) as apt:
        await pair(apt, pairs)
        signed = sign(pairs, state, "another key", LATER)
        clock.advance(21)
        again = await pair(apt, pairs)
    async with client(running) as other:
        theirs = await pair(other, pairs)

    assert (state.release["Release"], signed) == again == theirs


async def test_signature__of_the_next_list(pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """A signature that is there before its list is held back; when it stays, the list was signed again."""
    running = await start(make_clocked, pairs.origin, window=1)
    before, after = pairs.publish(ONE), pairs.state(TWO, modified=LATER)

    async with client(running) as apt:
        await pair(apt, pairs)
        signed = sign(pairs, after)
        clock.advance(2)
        between = await pair(apt, pairs)
        pairs.show(after)
        clock.advance(2)
        then = await pair(apt, pairs)
        again = sign(pairs, after, modified=LATER + 60)
        assert again == signed
        same = signature(after.release["Release"] + b" ")  # by the same key, once more
        date = formatdate(LATER + 60, usegmt=True)
        pairs.origin.file(f"{pairs.folder}Release.gpg", same, etag=None, last_modified=date)
        clock.advance(2)
        held = await pair(apt, pairs)
        clock.advance(11)
        stays = await pair(apt, pairs)

    assert before.release["Release.gpg"] == between[1]
    assert (after.release["Release"], signed) == then == held
    assert (after.release["Release"], same) == stays


async def test_signature__gone(pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """An unsigned list after a signed one is half a change: the pair is served on."""
    running = await start(make_clocked, pairs.origin, window=1)
    before, after = pairs.publish(ONE), pairs.state(TWO, modified=LATER)

    async with client(running) as apt:
        await pair(apt, pairs)
        pairs.origin.remove(f"{pairs.folder}Release.gpg")
        clock.advance(70)
        alone = await pair(apt, pairs)
        pairs.origin.file(f"{pairs.folder}Release", after.release["Release"], etag=None, last_modified=None)
        clock.advance(70)
        half = await pair(apt, pairs)
        pairs.show(after)
        clock.advance(70)
        whole = await pair(apt, pairs)

    expected = (before.release["Release"], before.release["Release.gpg"])
    assert expected == alone == half
    assert (after.release["Release"], after.release["Release.gpg"]) == whole


@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>"], ids=["empty", "page"])
async def test_signature__something_else(
    pairs: Archive, make_clocked: MakeClocked, clock: SteppedClock, body: bytes
) -> None:
    """What is no signature is an error when nothing is kept, and takes no signature's place when something is."""
    running = await start(make_clocked, pairs.origin, window=1)
    path, date = f"{pairs.folder}Release.gpg", formatdate(LATER, usegmt=True)
    state = pairs.state(ONE)
    pairs.show(state)
    pairs.origin.file(path, body, etag=None, last_modified=date)

    async with client(running) as apt:
        cold = await apt.get(pairs.url(f"{pairs.folder}Release"))
        pairs.show(state)
        clock.advance(40)
        before = await pair(apt, pairs)
        pairs.origin.file(path, body, etag=None, last_modified=date)
        clock.advance(40)
        after = await pair(apt, pairs)

    assert 502 == cold.status
    assert (state.release["Release"], state.release["Release.gpg"]) == before == after


async def test_form__withdrawn(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """An archive that takes InRelease away and goes on with the pair is followed, also after a restart."""
    archive = Archive(origin, by_hash=False)
    other = replace(archive, inline=False)
    running = await start(make_clocked, origin, window=1)
    archive.publish(ONE)

    async with client(running) as apt:
        first = await update(apt, archive)
        after = other.publish(TWO, modified=LATER)
        origin.remove(f"{archive.folder}InRelease")
        clock.advance(2)
        gone = await apt.get(archive.url(f"{archive.folder}InRelease"))
        found = await pair(apt, other)
        index = await apt.get(archive.url(f"{archive.folder}{archive.binary}Packages.gz"))
    await running.close()
    running = await start(make_clocked, origin, window=1)
    async with client(running) as apt:
        again = await apt.get(archive.url(f"{archive.folder}InRelease"))

    assert (True, 404, 404) == (first[2], gone.status, again.status)
    assert (after.release["Release"], after.release["Release.gpg"]) == found
    assert after.indexes[f"{archive.binary}Packages.gz"] == index.body


@pytest.mark.parametrize("same", [False, True], ids=["nothing beside it", "the same state beside it"])
async def test_form__missing(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock, same: bool) -> None:
    """Without anything newer beside it, a Release file that is missing for a while is served on."""
    archive = Archive(origin)
    running = await start(make_clocked, origin, window=1)
    state = archive.publish(ONE)

    async with client(running) as apt:
        await update(apt, archive)
        if same:
            replace(archive, inline=False).publish(ONE)
        origin.remove(f"{archive.folder}InRelease")
        clock.advance(2)
        got = await apt.get(archive.url(f"{archive.folder}InRelease"))

    assert (200, "stale", state.inrelease) == (got.status, got.headers["x-cache"], got.body)


async def test_date__goes_back(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """An older state that stays is what the archive has; one that is there for a moment is a mirror that lags."""
    archive = Archive(origin)
    running = await start(make_clocked, origin, window=1)
    old, new = archive.state(ONE), archive.publish(TWO, modified=LATER)

    async with client(running) as apt:
        await update(apt, archive)
        archive.show(old)
        seen = []
        for seconds in (2, 60, 61):
            clock.advance(seconds)
            seen.append((await update(apt, archive))[0].body)

    assert [new.inrelease, new.inrelease, old.inrelease] == seen


async def test_no_cache__where_all_files_have_one_date(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock
) -> None:
    """An archive that dates all it has alike hides a change from conditions, and from nobody who says no-cache."""
    archive = Archive(origin, by_hash=False)
    running = await start(make_clocked, origin, window=1)
    archive.publish(ONE)

    async with client(running) as apt:
        await update(apt, archive)
        after = archive.state(TWO, date=LATER)
        archive.show(after)
        clock.advance(5)
        hidden = await apt.get(archive.url(f"{archive.folder}InRelease"))
        clock.advance(5)
        seen = await apt.get(archive.url(f"{archive.folder}InRelease"), "Cache-Control: no-cache")

    assert (200, "revalidated") == (hidden.status, hidden.headers["x-cache"])
    assert (200, after.inrelease) == (seen.status, seen.body)


@pytest.mark.parametrize("kind", KINDS)
async def test_by_hash__of_each_kind(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock, kind: str) -> None:
    """Whatever kind of sum clients ask by, the new Release waits for the indexes, and the old ones are to be had."""
    archive = Archive(origin, kinds=KINDS)
    running = await start(make_clocked, origin, window=1)
    before, after = archive.publish(ONE), archive.state(TWO, modified=LATER)
    ending = f"{archive.binary}Packages.gz"

    def path(state: State) -> str:
        body = state.indexes[ending]
        return next(path for path, known in state.hashed.items() if known == body and f"/{kind}/" in path)

    async with client(running) as apt:
        await apt.get(archive.url(f"{archive.folder}InRelease"))
        await apt.get(archive.url(archive.folder + path(before)))
        archive.show(after, indexes=False)
        for index in before.hashed:
            origin.remove(archive.folder + index)
        clock.advance(2)
        held = await apt.get(archive.url(f"{archive.folder}InRelease"))
        kept = await apt.get(archive.url(archive.folder + path(before)))
        archive.show(after)
        clock.advance(70)
        then = await apt.get(archive.url(f"{archive.folder}InRelease"))
        new = await apt.get(archive.url(archive.folder + path(after)))

    assert (before.inrelease, before.indexes[ending]) == (held.body, kept.body)
    assert (after.inrelease, after.indexes[ending]) == (then.body, new.body)


async def test_by_hash__in_use_for_long(origin: Origin, make_clocked: MakeClocked, clock: SteppedClock) -> None:
    """An index that clients asked for by hash all the time is waited for, though its answer left by the short way."""
    archive = Archive(origin)
    running = await start(make_clocked, origin, window=1)
    before, after = archive.publish(ONE), archive.state(TWO, modified=LATER)
    ending = f"{archive.binary}Packages.gz"
    hashed = archive.url(
        archive.folder + next(path for path, body in before.hashed.items() if body == before.indexes[ending])
    )

    async with client(running) as apt:
        await apt.get(archive.url(f"{archive.folder}InRelease"))
        kept = []
        for _ in range(16):
            kept.append((await apt.get(hashed)).body)
            clock.advance(43_200)
        archive.show(after, indexes=False)
        held = await apt.get(archive.url(f"{archive.folder}InRelease"))
        archive.show(after)
        clock.advance(70)
        then = await apt.get(archive.url(f"{archive.folder}InRelease"))

    assert [before.indexes[ending]] * 16 == kept
    assert (before.inrelease, after.inrelease) == (held.body, then.body)


async def test_stale__how_old(
    origin: Origin, make_clocked: MakeClocked, clock: SteppedClock, metric: Callable[..., float]
) -> None:
    """Whoever is given an older state finds in the answer and in the metrics how old it is, after a restart too."""
    archive = Archive(origin)
    running = await start(make_clocked, origin, window=1)
    archive.publish(ONE)
    async with client(running) as apt:
        await update(apt, archive)
    await running.close()
    await origin.stop()
    clock.advance(7200)
    running = await start(make_clocked, origin, window=1)

    async with client(running) as apt:
        got = await apt.get(archive.url(f"{archive.folder}InRelease"))

    assert ("stale", "7200") == (got.headers["x-cache"], got.headers["age"])
    name, labels = "pullthrough_stale_age_seconds_bucket", {"upstream": "apt"}
    assert [0, 1] == [metric(running, name, le=le, **labels) for le in ("3600.0", "21600.0")]
    assert 1 == metric(running, "pullthrough_stale_age_seconds_count")
