"""Revalidation: what a condition comes to, when it is left out, and what its answer means for a stored file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate

import pytest
from msgspec import structs

from proxy.cache.freshness import Patience
from proxy.cache.revalidation import Revalidator, conditional
from proxy.errors import (
    Forwarded,
    NotFound,
    PullthroughError,
    StoreBroken,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Entry, Outcome, UpstreamRequest, Validator
from tests.cache.conftest import BODY, SITE, URL, HandClock, wanted
from tests.memory_store import MemoryStore, stored
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

WANTED = wanted(None)
LATER = SITE.ttl + 1
TAGGED, DATED = Validator('"one"'), Validator(None, "Wed, 01 Jan 2025 00:00:00 GMT")
ETAG, DATE = {"etag": '"one"'}, {"last-modified": "Wed, 01 Jan 2025 00:00:00 GMT"}
CONDITIONS = {"If-None-Match": '"one"'}
ASK = UpstreamRequest(URL, SITE, {"Accept": "text/html"})


async def test_conditional__confirmed(upstream: MemoryUpstream) -> None:
    """A 304 is the answer, to one request with both kinds of fields."""
    upstream.on(URL, Scripted(status=304))
    async with conditional(upstream, ASK, CONDITIONS) as reply:
        assert 304 == reply.status
    assert [ASK.headers | CONDITIONS] == [ask.headers for ask in upstream.asks]


@pytest.mark.parametrize(
    "error", [NotFound(""), Withheld(""), UpstreamDenied(""), UpstreamBroken(""), UpstreamTimeout("")]
)
async def test_conditional__error(upstream: MemoryUpstream, error: PullthroughError) -> None:
    """An error may be about the condition: the same request without one is the last word."""
    upstream.on(URL, Scripted(error=error), Scripted(b"new"))
    async with conditional(upstream, ASK, CONDITIONS) as reply:
        assert b"new" == b"".join([chunk async for chunk in reply.chunks()])
    assert [ASK.headers | CONDITIONS, ASK.headers] == [ask.headers for ask in upstream.asks]


@pytest.mark.parametrize("error", [Forwarded(""), UpstreamThrottled(""), UpstreamUnreachable("")])
async def test_conditional__clear_error(upstream: MemoryUpstream, error: PullthroughError) -> None:
    """A failure that is about the host, or about credentials, is raised at once."""
    upstream.on(URL, Scripted(error=error), Scripted(b"new"))
    with pytest.raises(type(error)):
        async with conditional(upstream, ASK, CONDITIONS):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__host_is_down(upstream: MemoryUpstream) -> None:
    """A host that failed a moment ago is not asked twice as often."""
    upstream.down_urls.add(URL)
    upstream.on(URL, Scripted(error=UpstreamBroken("")))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, CONDITIONS):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__without_conditions(upstream: MemoryUpstream) -> None:
    """Where there is no condition an error is about something else."""
    upstream.on(URL, Scripted(error=UpstreamBroken("")), Scripted(b"new"))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, {}):
            pass
    assert 1 == upstream.count(URL)


async def test_conditional__broken_later(upstream: MemoryUpstream) -> None:
    """An answer that breaks behind its head is no word on the condition."""
    upstream.on(URL, Scripted(b"new", cut=1), Scripted(b"new"))
    with pytest.raises(UpstreamBroken):
        async with conditional(upstream, ASK, CONDITIONS) as reply:
            async for _ in reply.chunks():
                pass
    assert 1 == upstream.count(URL)


@pytest.fixture
async def revalidator(store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> AsyncIterator[Revalidator]:
    """What is tested."""
    made = Revalidator(store, upstream, clock, Patience(upstream, clock))
    yield made
    await made.close()


async def keep(store: MemoryStore, clock: HandClock, validator: Validator = TAGGED, body: bytes = BODY) -> Entry:
    """A file that is stored since now."""
    blob = await stored(store, body)
    now = clock.now()
    entry = Entry(WANTED.key, URL, blob.digest, blob.size, "application/octet-stream", validator, now, now)
    await store.save(entry)
    return entry


async def test_outcome__confirmed_lately(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """Within the time to live upstream is not asked."""
    entry = await keep(store, clock)
    clock.advance(SITE.ttl - 1)
    assert (Outcome.HIT, 0) == (await revalidator.outcome(WANTED, entry), len(upstream.asks))


@pytest.mark.parametrize(
    ("validator", "conditions"),
    [
        (TAGGED, {"If-None-Match": '"one"'}),
        (DATED, {"If-Modified-Since": DATE["last-modified"]}),
        (
            Validator('"one"', DATE["last-modified"]),
            {"If-None-Match": '"one"', "If-Modified-Since": DATE["last-modified"]},
        ),
    ],
)
async def test_outcome__not_modified(
    revalidator: Revalidator,
    store: MemoryStore,
    upstream: MemoryUpstream,
    clock: HandClock,
    validator: Validator,
    conditions: dict[str, str],
) -> None:
    """A 304 to the stored validators confirms the file, for another time to live."""
    entry = await keep(store, clock, validator)
    upstream.on(URL, Scripted(status=304))
    clock.advance(LATER)
    assert Outcome.REVALIDATED is await revalidator.outcome(WANTED, entry)
    assert {"Range": "bytes=0-0", **conditions} == upstream.asks[0].headers
    renewed = store.find(WANTED.key)
    assert structs.replace(entry, checked=clock.now()) == renewed
    assert Outcome.HIT is await revalidator.outcome(WANTED, renewed)


@pytest.mark.parametrize(
    ("validator", "headers", "expected"),
    [
        (TAGGED, ETAG, Outcome.REVALIDATED),
        (TAGGED, {"etag": '"two"'}, Outcome.MISS),
        (TAGGED, {}, Outcome.MISS),
        (DATED, DATE, Outcome.REVALIDATED),
        (DATED, {"last-modified": "Thu, 02 Jan 2025 00:00:00 GMT"}, Outcome.MISS),
        (Validator('"one"', DATE["last-modified"]), {**DATE, "etag": '"two"'}, Outcome.MISS),
        (Validator('"one"', DATE["last-modified"]), DATE, Outcome.REVALIDATED),
        (Validator(), {}, Outcome.MISS),
        (Validator(), ETAG, Outcome.MISS),
    ],
)
@pytest.mark.parametrize("ranges", [True, False])
async def test_outcome__upstream_knows_no_conditions(
    revalidator: Revalidator,
    store: MemoryStore,
    upstream: MemoryUpstream,
    clock: HandClock,
    validator: Validator,
    headers: dict[str, str],
    expected: Outcome,
    ranges: bool,
) -> None:
    """Where the file itself is answered, its validators tell; the body is not read."""
    entry = await keep(store, clock, validator)
    upstream.on(URL, Scripted(BODY, ranges=ranges, headers=headers))
    clock.advance(LATER)
    assert expected is await revalidator.outcome(WANTED, entry)
    assert (0, 0) == (upstream.sent, upstream.open)
    kept = store.find(WANTED.key)
    assert kept is not None
    assert (clock.now() if expected is Outcome.REVALIDATED else entry.checked) == kept.checked


@pytest.mark.parametrize("error", [NotFound("gone"), UpstreamUnreachable("away")])
async def test_outcome__upstream_does_not_say(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock, error: PullthroughError
) -> None:
    """A file that is gone upstream, or whose upstream is, stays as it is, and is revalidated the next time."""
    entry = await keep(store, clock)
    upstream.on(URL, Scripted(error=error))
    clock.advance(LATER)
    assert Outcome.STALE is await revalidator.outcome(WANTED, entry)
    assert entry == store.find(WANTED.key)
    upstream.on(URL, Scripted(status=304))
    assert Outcome.REVALIDATED is await revalidator.outcome(WANTED, entry)


@pytest.mark.parametrize("error", [NotFound("gone"), UpstreamBroken("no ranges"), UpstreamThrottled("busy")])
@pytest.mark.parametrize(("tag", "expected"), [('"one"', Outcome.REVALIDATED), ('"two"', Outcome.MISS)])
async def test_outcome__ranges_get_an_error(
    revalidator: Revalidator,
    store: MemoryStore,
    upstream: MemoryUpstream,
    clock: HandClock,
    error: PullthroughError,
    tag: str,
    expected: Outcome,
) -> None:
    """Where a range gets an error a plain request tells whether the file is still the one."""
    entry = await keep(store, clock)
    upstream.on(URL, Scripted(error=error), Scripted(b"body", headers={"etag": tag}))
    clock.advance(LATER)
    assert expected is await revalidator.outcome(WANTED, entry)


async def test_outcome__upstream_is_silent(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """A silent upstream holds no client up for long: the stored file is here."""
    entry = await keep(store, clock)
    gate = Gate()
    upstream.on(URL, Scripted(status=304, gate=gate))
    clock.advance(LATER)
    assert Outcome.STALE is await revalidator.outcome(WANTED, entry)
    gate.open()
    assert Outcome.REVALIDATED is await revalidator.outcome(WANTED, entry)


async def test_patience(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """Where its word matters a host that takes a second and more is waited for; one that was silent is not."""
    entry = await keep(store, clock)
    assert [1.0, 3.0] == [revalidator.patience(URL, entry, exact=exact) for exact in (False, True)]
    clock.advance(7 * 86_400)
    assert [1.0, 10.0] == [round(revalidator.patience(URL, entry, exact=exact), 3) for exact in (False, True)]
    revalidator._patience.ran_out(URL)
    assert [0.0, 0.0] == [revalidator.patience(URL, entry, exact=exact) for exact in (False, True)]


async def test_outcome__known_to_be_down(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """Nobody waits for an upstream that is known to be down."""
    entry = await keep(store, clock)
    upstream.down_urls.add(URL)
    clock.advance(LATER)
    assert (Outcome.STALE, 0) == (await revalidator.outcome(WANTED, entry), len(upstream.asks))


async def test_outcome__many_at_once(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """One request for all callers, whichever of them leaves."""
    entry = await keep(store, clock)
    gate = Gate()
    upstream.on(URL, Scripted(status=304, gate=gate))
    clock.advance(LATER)
    first, *others = [asyncio.create_task(revalidator.outcome(WANTED, entry)) for _ in range(10)]
    await gate.reached.wait()
    first.cancel()
    gate.open()
    assert [Outcome.REVALIDATED] * 9 == await asyncio.gather(*others)
    assert 1 == len(upstream.asks)


async def test_outcome__disk_takes_nothing(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """It is confirmed all the same, and will be asked for again."""
    entry = await keep(store, clock)
    store.failure = lambda: StoreBroken("read-only")
    upstream.on(URL, Scripted(status=304))
    clock.advance(LATER)
    assert Outcome.REVALIDATED is await revalidator.outcome(WANTED, entry)
    assert entry == store.find(WANTED.key)


async def test_outcome__file_replaced_meanwhile(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """A late response about the old file does not replace the one that came since."""
    old = await keep(store, clock)
    await store.save(structs.replace(old, key="file:the-same-elsewhere"))  # so that its blob stays
    gate = Gate()
    upstream.on(URL, Scripted(status=304, gate=gate))
    clock.advance(LATER)
    asking = asyncio.create_task(revalidator.outcome(WANTED, old))
    await gate.reached.wait()
    new = await keep(store, clock, Validator('"two"'), BODY[::-1])
    gate.open()
    await asking
    assert new == store.find(WANTED.key)


@pytest.mark.parametrize(
    ("validator", "answer", "expected"),
    [
        (TAGGED, Scripted(status=304), Outcome.REVALIDATED),
        (DATED, Scripted(BODY, ranges=True, headers=DATE), Outcome.REVALIDATED),
        (DATED, Scripted(BODY, headers=DATE), Outcome.REVALIDATED),
        (DATED, Scripted(BODY + b"!", ranges=True, headers=DATE), Outcome.MISS),
        (DATED, Scripted(BODY + b"!", headers=DATE), Outcome.MISS),
        (DATED, Scripted(b"packed", headers={**DATE, "content-encoding": "gzip"}), Outcome.REVALIDATED),
        (DATED, Scripted(BODY, headers={"last-modified": "Tue, 31 Dec 2024 00:00:00 GMT"}), Outcome.MISS),
        (TAGGED, Scripted(BODY + b"!", ranges=True, headers=ETAG), Outcome.MISS),
    ],
)
async def test_outcome__exact(
    revalidator: Revalidator,
    store: MemoryStore,
    upstream: MemoryUpstream,
    clock: HandClock,
    validator: Validator,
    answer: Scripted,
    expected: Outcome,
) -> None:
    """Where dates may be set back they are compared, with the length, and upstream is not asked about them."""
    clock.advance(1_800_000_000.0 - clock.now())
    entry = await keep(store, clock, validator)
    upstream.on(URL, answer)
    clock.advance(LATER)
    assert expected is await revalidator.outcome(WANTED, entry, exact=True)
    assert "If-Modified-Since" not in upstream.asks[0].headers
    assert ("If-None-Match" in upstream.asks[0].headers) is (validator is TAGGED)


async def test_outcome__exact_and_just_changed(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """A date less than a minute older than the copy may be that of two versions (RFC 9110 §8.8.2.2)."""
    just = {"last-modified": formatdate(clock.now() - 30, usegmt=True)}
    entry = await keep(store, clock, Validator(None, just["last-modified"]))
    upstream.on(URL, Scripted(BODY, headers=just))
    clock.advance(LATER)
    assert Outcome.MISS is await revalidator.outcome(WANTED, entry, exact=True)


async def test_outcome__other_file_found_too_late(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """Who did not wait for upstream's word has the other file fetched the next time, without asking again."""
    entry = await keep(store, clock)
    gate = Gate()
    upstream.on(URL, Scripted(BODY, headers={"etag": '"two"'}, gate=gate))
    clock.advance(LATER)
    asking = asyncio.create_task(revalidator.outcome(WANTED, entry))
    await gate.reached.wait()
    asking.cancel()
    gate.open()
    while WANTED.key not in revalidator._changed:
        await asyncio.sleep(0)

    assert (Outcome.MISS, 1) == (await revalidator.outcome(WANTED, entry), len(upstream.asks))
    assert Outcome.HIT is await revalidator.outcome(WANTED, structs.replace(entry, checked=clock.now()))


async def test_changed__is_bounded(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """Files that change do not fill the memory."""
    revalidator._changed.most = 3
    entry = await keep(store, clock)
    upstream.on(URL, Scripted(BODY, headers={"etag": '"two"'}))
    clock.advance(LATER)
    for number in range(10):
        assert Outcome.MISS is await revalidator.outcome(replace(WANTED, key=str(number)), entry)

    assert ["7", "8", "9"] == list(revalidator._changed)


async def test_outcome__gone(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """With `gone`, NotFound is raised where upstream has no such file any more; a refusal is not NotFound."""
    entry = await keep(store, clock)
    upstream.on(URL, Scripted(error=NotFound("gone")))
    clock.advance(LATER)
    with pytest.raises(NotFound):
        await revalidator.outcome(WANTED, entry, gone=True)
    upstream.on(URL, Scripted(error=Withheld("no")))
    assert Outcome.STALE is await revalidator.outcome(WANTED, entry, gone=True)


async def test_outcome__anew(
    revalidator: Revalidator, store: MemoryStore, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """What is to be fetched anew is, unless that was done a moment ago, or upstream is down."""
    entry = await keep(store, clock)
    assert Outcome.HIT is await revalidator.outcome(WANTED, entry, anew=True)
    clock.advance(3)
    assert Outcome.MISS is await revalidator.outcome(WANTED, entry, anew=True)
    upstream.down_urls.add(URL)
    assert Outcome.STALE is await revalidator.outcome(WANTED, entry, anew=True)
    assert [] == upstream.asks


async def test_close__breaks_off(store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> None:
    """At the end nothing is under way."""
    revalidator = Revalidator(store, upstream, clock, Patience(upstream, clock))
    entry = await keep(store, clock)
    gate = Gate()
    upstream.on(URL, Scripted(status=304, gate=gate))
    clock.advance(LATER)
    asking = asyncio.create_task(revalidator.outcome(WANTED, entry))
    await gate.reached.wait()
    await revalidator.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert entry == store.find(WANTED.key)
