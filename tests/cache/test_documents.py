"""Documents: fresh, revalidated, stale, missing."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import threading

import pytest
from msgspec import structs

from proxy.cache import freshness
from proxy.cache.documents import Documents, WantedDocument
from proxy.errors import (
    BlobDamaged,
    Forwarded,
    NotFound,
    StoreFull,
    TooLarge,
    UpstreamBroken,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Entry, Outcome, UpstreamRequest
from tests.cache.conftest import SITE, HandClock, documents_of
from tests.memory_store import MemoryStore
from tests.memory_upstream import Gate, MemoryUpstream, Scripted

URL = "https://index.example/simple/demo/"
PAGE = b"<html>a page</html>"
TAGGED = {"ETag": '"one"', "Content-Type": "text/html"}


def file(*, revalidate: bool = False) -> WantedDocument:
    """The one page."""
    return WantedDocument("page:pypi:demo:simple/demo/", URL, SITE, "text/html", revalidate)


@pytest.fixture
def documents(store: MemoryStore, upstream: MemoryUpstream, clock: HandClock) -> Documents:
    """What is tested."""
    return documents_of(store, upstream, clock)


async def test_get__first_time_then_fresh(documents: Documents, upstream: MemoryUpstream) -> None:
    """One request brings it; while it is fresh there is no other."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    first, second = await documents.get(file()), await documents.get(file())
    assert (Outcome.MISS, Outcome.HIT, 1) == (first.outcome, second.outcome, upstream.count(URL))
    assert (PAGE, PAGE) == (await first.read(), await second.read())


@pytest.mark.parametrize("more", [0, 1])
async def test_get__a_long_one(
    store: MemoryStore, upstream: MemoryUpstream, clock: HandClock, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """A page of megabytes is hashed and read in a thread, and is the same."""
    documents = documents_of(store, upstream, clock, limit=2 << 20)
    threads: list[bool] = []
    sha256 = hashlib.sha256

    def watched(body: bytes = b"", **options: bool) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        return sha256(body, **options)

    body = bytes((1 << 20) + more)
    upstream.on(URL, Scripted(body, headers=TAGGED))
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", watched)
        first = await documents.get(file())
    again = await documents.get(file())

    assert (sha256(body).hexdigest(), more == 0) == (first.entry.digest.value, threads[0])
    assert body == await first.read() == await again.read()
    await documents.close()


async def test_get__stale_and_confirmed(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """A stale copy is asked for with its validator; a 304 makes it fresh again."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(status=304))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    document = await documents.get(file())
    assert (Outcome.REVALIDATED, PAGE) == (document.outcome, await document.read())
    assert '"one"' == upstream.asks[-1].headers["If-None-Match"]
    assert Outcome.HIT is (await documents.get(file())).outcome


async def test_get__many_at_once(documents: Documents, upstream: MemoryUpstream) -> None:
    """Fifty callers make one request; one of them learns that it was its own."""
    gate = Gate()
    upstream.on(URL, Scripted(PAGE, headers=TAGGED, gate=gate))
    asking = [asyncio.create_task(documents.get(file())) for _ in range(50)]
    await gate.reached.wait()
    gate.open()
    outcomes = [document.outcome for document in await asyncio.gather(*asking)]
    assert ([Outcome.MISS] + [Outcome.SHARED] * 49, 1) == (outcomes, upstream.count(URL))


async def test_get__upstream_fails(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """The stale copy is served; without one the failure is raised."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(error=UpstreamUnreachable("no")))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    document = await documents.get(file())
    assert (Outcome.STALE, PAGE) == (document.outcome, await document.read())
    other = WantedDocument("page:pypi:other:", f"{URL}other/", SITE, "text/html")
    upstream.on(other.url, Scripted(error=UpstreamUnreachable("no")))
    with pytest.raises(UpstreamUnreachable):
        await documents.get(other)


async def test_get__known_to_be_down(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """The stale copy comes while upstream has not answered at all."""
    gate = Gate()
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(PAGE, headers=TAGGED, gate=gate))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    upstream.down_urls.add(URL)
    assert Outcome.STALE is (await documents.get(file())).outcome
    gate.open()
    await documents.close()


async def test_get__left_alone(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """A host that is down, or wants to be left alone, is not asked for a stale page until its back-off is over."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(error=UpstreamThrottled("busy", 60)))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    for expected in (2, 3):
        assert Outcome.STALE is (await documents.get(file())).outcome
        upstream.down_urls.add(URL)
        for number in range(20):
            document = await documents.get(structs.replace(file(), contended=number % 2 == 0))
            assert (Outcome.STALE, PAGE) == (document.outcome, await document.read())
            await asyncio.sleep(0)
        assert expected == upstream.count(URL)
        upstream.down_urls.clear()


@pytest.mark.parametrize("insisting", [{"revalidate": True}, {"anew": True}, {}])
async def test_get__left_alone_but_for_who_insists(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, insisting: dict[str, bool]
) -> None:
    """A caller that needs upstream's word, and says so or how long it waits, is not kept from asking."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    upstream.down_urls.add(URL)
    await documents.get(structs.replace(file(), **insisting), None if insisting else 60)
    await asyncio.sleep(0)
    assert 2 == upstream.count(URL)
    await documents.close()


async def test_get__host_that_hangs(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """Who waited in vain for one page waited for all of its host: the others come at once, until it answers again."""
    gate = Gate()
    urls = [f"{URL}{number}/" for number in range(5)]
    wishes = [structs.replace(file(), key=url, url=url) for url in urls]
    for url, each in zip(urls, wishes, strict=True):
        upstream.on(url, Scripted(PAGE, headers=TAGGED), Scripted(PAGE, headers=TAGGED, body_gate=gate))
        await documents.get(each)
    clock.advance(SITE.ttl + 1)
    first = await documents.get(wishes[0])
    others = [asyncio.create_task(documents.get(each)) for each in wishes[1:]]
    for _ in range(20):
        await asyncio.sleep(0)

    assert Outcome.STALE is first.outcome
    assert [Outcome.STALE] * 4 == [task.result().outcome for task in others]
    gate.open()
    await documents.close()


async def test_get__in_a_hurry(documents: Documents, upstream: MemoryUpstream) -> None:
    """Who could do without it waits as long as he says, the next one less; it comes all the same."""
    gate = Gate()
    upstream.on(URL, Scripted(PAGE, gate=gate))
    assert not documents.lost(file())
    with pytest.raises(UpstreamTimeout):
        await documents.get(file(), 0.01)
    assert documents.lost(file())
    gate.open()
    assert PAGE == await (await documents.get(file())).read()
    assert 1 == upstream.count(URL)


async def test_get__in_no_hurry(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """A caller that needs upstream's word waits for it, though a copy is stored and the host is known to hang."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(b"new"))
    await documents.get(file())
    documents._patience.ran_out(URL)
    clock.advance(SITE.ttl + 1)
    assert b"new" == await (await documents.get(file(), 60)).read()


AHEAD, BESIDE = structs.replace(file(), ahead=True), structs.replace(file(), contended=True)


async def test_get__ahead(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for upstream for as long as that takes, behind others, where a client would have the stored copy."""
    monkeypatch.setattr(freshness, "_SECONDS", 0.001)
    gate, other = Gate(), structs.replace(file(), key="other", url=f"{URL}other/")
    upstream.on(other.url, Scripted(PAGE, headers=TAGGED), Scripted(PAGE, headers=TAGGED, gate=gate))
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(b"new", gate=gate))
    for each in (file(), other):
        await documents.get(each)
    clock.advance(SITE.ttl + 1)
    asking = asyncio.create_task(documents.get(AHEAD))
    await gate.reached.wait()
    assert Outcome.STALE is (await documents.get(other)).outcome
    assert not asking.done()
    gate.open()
    assert b"new" == await (await asking).read()
    assert [False, False, True, False] == [request.bulk for request in upstream.asks]
    await documents.close()


@pytest.mark.parametrize("down", [True, False])
async def test_get__ahead_where_clients_do_not_wait(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, down: bool
) -> None:
    """A host that clients waited for in vain is asked for nothing that is stored; one that is down, for nothing."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    if down:
        upstream.down_urls.add(URL)
    else:
        documents._patience.ran_out(URL)
    assert Outcome.STALE is (await documents.get(AHEAD)).outcome
    assert 1 == upstream.count(URL)
    other = structs.replace(AHEAD, key="other")
    with pytest.raises(UpstreamUnreachable) if down else contextlib.nullcontext():
        await documents.get(other)
    assert (1 if down else 2) == upstream.count(URL)


@pytest.mark.parametrize("wanted", [AHEAD, BESIDE])
async def test_get__failure_ahead_or_beside(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, wanted: WantedDocument
) -> None:
    """It is raised, since it may be for what else is asked there; what says that a page is gone is as ever."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(error=UpstreamThrottled("no", 60)), Scripted(status=403))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    with pytest.raises(UpstreamThrottled):
        await documents.get(wanted)
    assert Outcome.STALE is (await documents.get(wanted)).outcome
    assert wanted.contended == upstream.asks[-1].contended


@pytest.mark.parametrize("stored", [True, False])
async def test_get__joins_what_fails_ahead(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, stored: bool
) -> None:
    """A client that came to wait for it has a request of its own then."""
    gate = Gate()
    refused, fine = Scripted(error=UpstreamThrottled("no", 60), gate=gate), Scripted(b"new", headers=TAGGED)
    if stored:
        upstream.on(URL, Scripted(PAGE, headers=TAGGED))
        await documents.get(file())
        clock.advance(SITE.ttl + 1)
    upstream.on(URL, refused, fine)
    ahead = [asyncio.create_task(documents.get(AHEAD)) for _ in range(2)]
    await gate.reached.wait()
    clients = [asyncio.create_task(documents.get(file())) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open()
    assert [b"new"] * 3 == [await (await client).read() for client in clients]
    for task in ahead:
        with pytest.raises(UpstreamThrottled):
            await task
    assert [True, False] == [request.bulk for request in upstream.asks[-2:]]


@pytest.mark.parametrize(("wanted", "lost"), [(file(), True), (AHEAD, False), (BESIDE, False)])
@pytest.mark.parametrize("answer", [Scripted(PAGE, headers=TAGGED), Scripted(status=304), Scripted(status=404)])
async def test_get__slow_ahead_or_beside(
    documents: Documents,
    upstream: MemoryUpstream,
    clock: HandClock,
    wanted: WantedDocument,
    lost: bool,
    answer: Scripted,
) -> None:
    """How long upstream takes for many requests at once says nothing to those who ask later."""

    def slowly(_: UpstreamRequest) -> Scripted:
        clock.advance(2.0)
        return answer

    upstream.on(URL, Scripted(PAGE, headers=TAGGED), slowly)
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    with contextlib.suppress(NotFound):
        await documents.get(wanted)
    assert lost == documents.lost(file())


async def test_get__missing_under_a_long_address(documents: Documents, upstream: MemoryUpstream) -> None:
    """Names of kilobytes, which anybody may make up, do not stay in memory."""
    long = structs.replace(file(), key="page:pypi:demo:" + "x" * 600)
    upstream.on(URL, Scripted(error=NotFound("none")))
    for _ in range(2):
        with pytest.raises(NotFound):
            await documents.get(long)
    assert (2, 0) == (upstream.count(URL), len(documents._negative))


async def test_get__missing_is_remembered_briefly(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """A missing page is not asked for again at once, but soon: a new release must appear."""
    upstream.on(URL, Scripted(error=NotFound("none")), Scripted(PAGE, headers=TAGGED))
    for _ in range(3):
        with pytest.raises(NotFound):
            await documents.get(file())
    assert 1 == upstream.count(URL)
    clock.advance(11)
    assert Outcome.MISS is (await documents.get(file())).outcome


async def test_get__missing_is_not_remembered(documents: Documents, upstream: MemoryUpstream) -> None:
    """Where upstream's word counts for no time at all, neither does that there is nothing; a herd asks once."""
    upstream.on(URL, Scripted(error=NotFound("none")), Scripted(PAGE, headers=TAGGED))
    asked = structs.replace(file(), site=structs.replace(SITE, ttl=0.0))
    herd = await asyncio.gather(*(documents.get(asked) for _ in range(9)), return_exceptions=True)
    assert [NotFound] * 9 == [type(one) for one in herd]
    assert 1 == upstream.count(URL)
    assert Outcome.MISS is (await documents.get(asked)).outcome


async def test_get__refused_to_a_stranger(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """A 403, to a condition or without one, does not say that a document is gone: the copy stays, nobody asks again."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(status=403))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    for _ in range(3):
        document = await documents.get(file())
        assert (Outcome.STALE, PAGE) == (document.outcome, await document.read())
    assert 3 == upstream.count(URL)


async def test_get__of_strangers_and_not_kept(documents: Documents, upstream: MemoryUpstream) -> None:
    """Without a copy it is what upstream says."""
    upstream.on(URL, Scripted(status=403))
    with pytest.raises(Withheld):
        await documents.get(file())


async def test_get__brought_from_elsewhere(documents: Documents, upstream: MemoryUpstream) -> None:
    """Where only an index's own word counts, a copy that a redirect brought from another host is none."""
    away = Scripted(PAGE, headers=TAGGED, url="https://other.example/simple/demo/")
    upstream.on(URL, away)
    await documents.get(file())
    strict = structs.replace(SITE, own=frozenset({"index.example:443"}))
    with pytest.raises(Forwarded):
        await documents.get(structs.replace(file(), site=strict))
    assert documents.peek(file().key, strict) is None
    assert documents.peek(file().key, SITE) is not None
    assert [False, True] == [ask.own for ask in upstream.asks]


async def test_get__says_when_it_has_arrived(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """Once for each new body, when it is stored."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(status=304), Scripted(b"<html>new", headers=TAGGED))
    seen: list[bool] = []
    key = file().key
    told = structs.replace(file(), arrived=lambda: seen.append(documents.peek(key, SITE) is not None))
    for expected in ([True], [True], [True, True]):
        await documents.get(told)
        clock.advance(SITE.ttl + 1)
        assert expected == seen


async def test_get__what_is_stored_of_it(documents: Documents, upstream: MemoryUpstream) -> None:
    """A new body is stored as the caller makes it, who learns its media type."""
    upstream.on(URL, Scripted(PAGE, headers={**TAGGED, "content-type": "text/html"}))

    async def received(content_type: str, body: bytes) -> bytes:
        return content_type.encode() + body

    got = await documents.get(structs.replace(file(), received=received))
    assert b"text/html" + PAGE == await got.read()
    stored = documents.peek(file().key, SITE)
    assert stored is not None
    assert b"text/html" + PAGE == await stored.read()


async def test_get__client_wants_it_confirmed(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """no-cache asks upstream although the copy is fresh."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(status=304))
    await documents.get(file())
    clock.advance(5)
    assert Outcome.REVALIDATED is (await documents.get(file(revalidate=True))).outcome


async def test_get__gzip_and_its_bombs(documents: Documents, upstream: MemoryUpstream) -> None:
    """A coded page is stored decoded; one that decodes to more than the limit, or is cut, is refused."""
    coded = TAGGED | {"Content-Encoding": "gzip"}
    upstream.on(URL, Scripted(gzip.compress(bytes(5 << 20)), headers=coded))
    with pytest.raises(TooLarge):
        await documents.get(file())
    upstream.on(URL, Scripted(gzip.compress(PAGE)[:-4], headers=coded))
    with pytest.raises(UpstreamBroken):
        await documents.get(file())
    upstream.on(URL, Scripted(gzip.compress(PAGE), headers=coded))
    assert PAGE == await (await documents.get(file())).read()


@pytest.mark.parametrize("kept", [True, False])
async def test_get__body_is_not_held(
    documents: Documents, upstream: MemoryUpstream, store: MemoryStore, kept: bool
) -> None:
    """What the disk took is read from there: a document in hand holds its body only where there is no other."""
    store.failure = None if kept else lambda: StoreFull("full")
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    document = await documents.get(file())
    assert (kept, PAGE) == (document.body is None, await document.read())


@pytest.mark.parametrize(
    ("url", "raw", "sent", "expected"),
    [
        ("key.asc", True, gzip.compress(PAGE, mtime=0), PAGE),
        ("key.asc", True, PAGE, PAGE),
        ("linux.gz", True, gzip.compress(PAGE, mtime=0), gzip.compress(PAGE, mtime=0)),
        ("simple/", False, gzip.compress(PAGE[:7], mtime=0) + gzip.compress(PAGE[7:], mtime=0) + bytes(1000), PAGE),
        ("simple/", False, PAGE, PAGE),
    ],
)
async def test_get__coded(
    documents: Documents, upstream: MemoryUpstream, url: str, raw: bool, sent: bytes, expected: bytes
) -> None:
    """The document is stored, whatever coding upstream names, and applied."""
    asked = structs.replace(file(), url=URL + url, raw=raw)
    upstream.on(asked.url, Scripted(sent, headers=TAGGED | {"Content-Encoding": "x-gzip"}))
    assert expected == await (await documents.get(asked)).read()
    assert expected == await (await documents.get(asked)).read()
    assert ("identity" if raw else "gzip") == upstream.asks[0].headers["Accept-Encoding"]


async def test_get__disk_takes_nothing(documents: Documents, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """The page is served all the same."""
    store.failure = lambda: StoreFull("full")
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    assert PAGE == await (await documents.get(file())).read()
    assert [] == list(store.keys(""))


async def test_read__copy_was_damaged(documents: Documents, upstream: MemoryUpstream, store: MemoryStore) -> None:
    """The damage is reported, and the next caller gets the page from upstream."""
    upstream.on(URL, Scripted(PAGE, headers=TAGGED))
    first = await documents.get(file())
    store.damage(first.entry.digest, b"short")
    with pytest.raises(BlobDamaged):
        await (await documents.get(file())).read()
    assert Outcome.MISS is (await documents.get(file())).outcome


@pytest.mark.parametrize("honoured", [True, False])
async def test_get__marked_no_store(
    documents: Documents, upstream: MemoryUpstream, store: MemoryStore, honoured: bool
) -> None:
    """A page that upstream marks `no-store` is good for the answers that wait for it, where the settings say so."""
    gate = Gate()
    marked = TAGGED | {"Cache-Control": "No-Store, max-age=0"}
    upstream.on(URL, Scripted(PAGE, headers=marked, gate=gate), Scripted(PAGE, headers=marked))
    asked = structs.replace(file(), site=structs.replace(SITE, honour_no_store=honoured))
    asking = [asyncio.create_task(documents.get(asked)) for _ in range(3)]
    await gate.reached.wait()
    gate.open()
    assert [PAGE] * 3 == [await document.read() for document in await asyncio.gather(*asking)]
    assert ([] if honoured else [asked.key]) == list(store.keys(""))
    assert PAGE == await (await documents.get(asked)).read()
    assert (2 if honoured else 1) == upstream.count(URL)


async def test_get__marked_no_store_from_now_on(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock
) -> None:
    """The copy from before stays what is served when upstream fails; it is never taken for the new page."""
    later = TAGGED | {"ETag": '"two"', "Cache-Control": "no-store"}
    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(b"<html>new</html>", headers=later))
    asked = structs.replace(file(), site=structs.replace(SITE, honour_no_store=True))
    await documents.get(asked)
    clock.advance(SITE.ttl + 1)
    assert b"<html>new</html>" == await (await documents.get(asked)).read()
    upstream.on(URL, Scripted(error=UpstreamUnreachable("away")))
    stale = await documents.get(asked)
    assert (Outcome.STALE, PAGE) == (stale.outcome, await stale.read())


async def test_get__check_refuses(documents: Documents, upstream: MemoryUpstream, clock: HandClock) -> None:
    """A body that is no page of the index never replaces the stored copy."""
    seen: list[bytes] = []

    async def check(_: Entry, body: bytes) -> None:
        seen.append(body)
        if body != PAGE:
            raise UpstreamBroken("That is no index page.")

    upstream.on(URL, Scripted(PAGE, headers=TAGGED), Scripted(b"a login page"), Scripted(PAGE, headers=TAGGED))
    asked = structs.replace(file(), check=check)
    await documents.get(asked)
    clock.advance(SITE.ttl + 1)
    stale = await documents.get(asked)
    assert (Outcome.STALE, PAGE) == (stale.outcome, await stale.read())
    assert Outcome.REVALIDATED is (await documents.get(asked)).outcome
    assert [PAGE, b"a login page", PAGE] == seen


@pytest.mark.parametrize(("age", "asked"), [(59.0, None), (61.0, "Wed, 21 Oct 2026 07:28:00 GMT")])
async def test_get__last_modified_just_now(
    documents: Documents, upstream: MemoryUpstream, clock: HandClock, age: float, asked: str | None
) -> None:
    """A date that was younger than a minute when the page came is no validator: the page may have changed since."""
    clock.wall = 1_792_567_680.0 + age
    modified = "Wed, 21 Oct 2026 07:28:00 GMT"
    upstream.on(URL, Scripted(PAGE, headers={"Content-Type": "text/html", "Last-Modified": modified}))
    await documents.get(file())
    clock.advance(SITE.ttl + 1)
    await documents.get(file())
    assert asked == upstream.asks[1].headers.get("If-Modified-Since")
