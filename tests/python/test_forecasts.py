"""What would happen at addresses of indexes, by what is stored."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec import structs

from proxy.cache.flight import WantedFile
from proxy.cache.forecast import DecidingSetting, Verdict
from proxy.errors import NotAllowed, NotFound
from proxy.model import Digest, Group, Member, Outcome, Site, Target, Validator
from proxy.python.addresses import name_of
from proxy.python.forecasts import IndexForecasts, Likelihood
from tests.memory_store import stored
from tests.memory_upstream import Scripted
from tests.pages import JSON, Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, content, digest, volatile
from tests.wheels import sdist, wheel

_WHEEL = wheel()
_AT = Target("pypi", None, f"packages/{_WHEEL.filename}")
_LINK = Link(_WHEEL.filename, f"{SITE.base}packages/{_WHEEL.filename}?token=secret", _WHEEL.sha256)
_TTL = DecidingSetting("[[upstream]] pypi, ttl", "10m")


@pytest.fixture
async def forecasts(world: World) -> AsyncIterator[IndexForecasts]:
    """Those of the world's indexes."""
    made = IndexForecasts(world.sites, (), world.store, world.clock)
    yield made
    await made.close()


async def test_of__page(world: World, forecasts: IndexForecasts) -> None:
    """Nothing is stored; it is fresh; it is older than its life time."""
    world.publish(_LINK)
    missing = await forecasts.of(PAGE)
    await world.page()
    fresh = await forecasts.of(PAGE)
    world.clock.advance(SITE.ttl)
    old = await forecasts.of(PAGE)

    assert [Verdict.FETCH, Verdict.HIT, Verdict.REVALIDATE] == [one.verdict for one in (missing, fresh, old)]
    assert missing.stored is None
    assert ("/pypi/simple/demo/", "pypi", f"{SITE.base}simple/demo/") == (old.address, old.mount, old.upstream)
    assert (_TTL,) == old.settings
    assert [("/pypi/simple/demo/", SITE.ttl, False)] == [(page.path, page.age, page.fresh) for page in old.pages]


async def test_of__page_of_a_stranger(make: Make) -> None:
    """A page that a redirect brought from a host that does not count is none."""
    world = make(structs.replace(SITE, own=frozenset({"other.example"}), base="https://index.example/"))
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    entry = await world.hold(Target("pypi", None, "x-1.0.zip"), b"page")
    await world.store.save(
        structs.replace(entry, key="page:pypi:demo:simple/demo/", url="https://stranger.example/demo/")
    )

    assert Verdict.FETCH is (await forecasts.of(PAGE)).verdict
    await forecasts.close()


async def test_of__file(world: World, forecasts: IndexForecasts) -> None:
    """Not known; listed by a stored page; stored."""
    world.publish(_LINK)
    unknown = await forecasts.of(_AT)
    await world.page()
    listed = await forecasts.of(_AT)
    await world.hold(_AT, content(_WHEEL))
    stored = await forecasts.of(_AT)

    assert [Verdict.FETCH, Verdict.FETCH, Verdict.HIT] == [one.verdict for one in (unknown, listed, stored)]
    assert "no stored page lists it" in unknown.why[0]
    assert [None, str(digest(_WHEEL)), str(digest(_WHEEL))] == [one.promised for one in (unknown, listed, stored)]
    assert [True] == [page.lists for page in listed.pages]
    assert stored.stored is not None
    assert _WHEEL.sha256 == stored.stored.sha256
    assert f"{SITE.base}packages/{_WHEEL.filename}" == listed.upstream


async def test_of__file_that_is_another(world: World, forecasts: IndexForecasts) -> None:
    """What a page promises is fetched, whatever is stored; a digest of another kind has to be measured."""
    world.publish(_LINK)
    await world.page()
    entry = await world.hold(_AT, b"another file")
    other = await forecasts.of(_AT)
    assert (Verdict.FETCH, "A page promises another file than the stored one.") == (other.verdict, other.why[0])

    world.clock.advance(SITE.ttl)
    world.publish(Link(_WHEEL.filename, f"{SITE.base}packages/{_WHEEL.filename}", hashes=(("md5", "ab" * 16),)))
    await world.page()
    assert "hashed first" in (await forecasts.of(_AT)).why[0]
    await world.store.save(structs.replace(entry, promised=Digest("md5", "ab" * 16)))
    assert "is what a page promises" in (await forecasts.of(_AT)).why[0]


async def _answers(world: World, forecasts: IndexForecasts, at: Target) -> tuple[Verdict, Verdict | str]:
    """What the forecast is, and what the services really do then."""
    forecast = (await forecasts.of(at)).verdict
    site = world.sites[at.mount]
    try:
        if at.path.endswith(".whl.metadata"):
            shown = await world.files.metadata(at, site, name_of(at))
        else:
            shown = await world.file(at)
    except (NotFound, NotAllowed):
        return forecast, Verdict.REFUSE
    await world.read(shown)
    return forecast, {Outcome.HIT: Verdict.HIT, Outcome.MISS: Verdict.FETCH}.get(shown.outcome, shown.outcome.value)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
@pytest.mark.parametrize("other", [None, b"another file"])
async def test_of__file_stored_under_another_address(
    world: World, forecasts: IndexForecasts, algorithm: str, other: bytes | None
) -> None:
    """An import, or another mount, may have brought the bytes that a page promises."""
    body = content(_WHEEL)
    promised = Digest(algorithm, hashlib.new(algorithm, body, usedforsecurity=False).hexdigest())
    elsewhere = WantedFile("file:other", "https://other.example/x", SITE, promised)
    await world.downloads.stored_files.record(elsewhere, await stored(world.store, body), Validator())
    world.publish(replace(_LINK, sha256=None, hashes=((algorithm, promised.value),)))
    world.upstream.on(_LINK.url, Scripted(body))
    await world.page()
    if other is not None:
        await world.store.save(structs.replace(await world.hold(_AT, other), promised=Digest("md5", "0" * 32)))
    expected = Verdict.HIT if promised.strong else Verdict.FETCH
    assert (expected, expected) == await _answers(world, forecasts, _AT)


@pytest.mark.parametrize("listed", [True, False])
async def test_of__metadata_of_a_wheel_stored_under_another_address(
    world: World, forecasts: IndexForecasts, listed: bool
) -> None:
    """It is read out of those bytes, if it is a page that promises them."""
    await stored(world.store, content(_WHEEL))
    if listed:
        world.publish(replace(_LINK, metadata=None))
        await world.page()
    world.upstream.on(f"{SITE.base}{_AT.path}.metadata", Scripted(_WHEEL.metadata or b""))
    expected = Verdict.HIT if listed else Verdict.FETCH
    assert (expected, expected) == await _answers(world, forecasts, structs.replace(_AT, path=f"{_AT.path}.metadata"))


@pytest.mark.parametrize("by_its_own", [True, False])
async def test_of__metadata_that_a_page_contradicts(world: World, forecasts: IndexForecasts, by_its_own: bool) -> None:
    """By its own hash, or by that of its wheel."""
    at = structs.replace(_AT, path=f"{_AT.path}.metadata")
    await world.hold(at, b"Metadata-Version: 2.1\nName: old\nVersion: 1\n")
    right = hashlib.sha256(_WHEEL.metadata or b"").hexdigest()
    world.publish(replace(_LINK, metadata=right if by_its_own else None))
    world.upstream.on(_LINK.url.replace("?", ".metadata?"), Scripted(_WHEEL.metadata or b""))
    await world.page()
    assert (Verdict.FETCH, Verdict.FETCH) == await _answers(world, forecasts, at)
    assert (Verdict.HIT, Verdict.HIT) == await _answers(world, forecasts, at)


async def test_of__metadata_on_a_strange_host(world: World, forecasts: IndexForecasts) -> None:
    """Only a page, or a setting, opens a host."""
    at = Target("pypi", "evil.example", f"{_WHEEL.filename}.metadata")
    assert (Verdict.REFUSE, Verdict.REFUSE) == await _answers(world, forecasts, at)


async def test_of__metadata_of_a_wheel_that_may_be_replaced(make: Make) -> None:
    """An old one is confirmed first."""
    world = make(volatile("packages/"))
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    await world.hold(_AT, content(_WHEEL))
    world.clock.advance(SITE.ttl)
    found = await forecasts.of(structs.replace(_AT, path=f"{_AT.path}.metadata"))
    assert (Verdict.REVALIDATE, True) == (found.verdict, "out of the stored wheel" in found.why[0])
    await forecasts.close()


async def test_of__file_of_another_channel_than_the_quarantined_one(world: World, forecasts: IndexForecasts) -> None:
    """Nothing is given while only pages of its project that are quarantined, or copies of those, list it."""
    spelt, channel = Target("pypi", None, "simple/Demo/"), Target("pypi", None, "simple/mine/demo/")
    world.publish(_LINK, target=spelt)
    await world.page(spelt)
    await world.hold(_AT, content(_WHEEL))
    world.clock.advance(1)
    body = b'{"meta":{"api-version":"1.4"},"name":"demo","files":[],"project-status":{"status":"quarantined"}}'
    world.upstream.on(world.url(PAGE), Scripted(body, headers={"content-type": JSON}))
    await world.page()
    assert (Verdict.REFUSE, Verdict.REFUSE) == await _answers(world, forecasts, _AT)
    world.publish(_LINK, target=channel)
    await world.page(channel)
    assert (Verdict.HIT, Verdict.HIT) == await _answers(world, forecasts, _AT)


async def test_of__file_on_a_sibling(make: Make) -> None:
    """It is found where the page does not link to."""
    world = make(structs.replace(SITE, siblings=("https://sibling.example/r/",)))
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    world.publish(_LINK)
    world.upstream.on(_LINK.url, Scripted(content(_WHEEL)))
    await world.page()
    at = Target("pypi", "sibling.example", f"r/{_AT.path}")
    assert str(digest(_WHEEL)) == (await forecasts.of(at)).promised
    assert (Verdict.FETCH, Verdict.FETCH) == await _answers(world, forecasts, at)
    await forecasts.close()


@pytest.mark.parametrize("promised", [True, False])
async def test_of__file_that_belongs_to_a_distribution(world: World, forecasts: IndexForecasts, promised: bool) -> None:
    """On the host that the page links to, whether or not it promises the file."""
    source, body = sdist(), b"Metadata-Version: 2.1"
    url, host = f"https://files.example/a/{source.filename}", "files.example"
    said = hashlib.sha256(body).hexdigest() if promised else None
    world.publish(Link(source.filename, url, source.sha256, metadata=said))
    world.upstream.on(f"{url}.metadata", Scripted(body))
    await world.page()
    at = Target("pypi", host, f"a/{source.filename}.metadata")
    assert (f"sha256={said}" if promised else None) == (await forecasts.of(at)).promised
    assert (Verdict.FETCH, Verdict.FETCH) == await _answers(world, forecasts, at)
    assert (Verdict.HIT, Verdict.HIT) == await _answers(world, forecasts, at)


async def test_of__file_without_a_page(world: World, forecasts: IndexForecasts) -> None:
    """A stored file that no page vouches for; whether its page is asked for first."""
    entry = await world.hold(_AT, content(_WHEEL))
    said = [await forecasts.of(_AT)]
    await world.store.save(structs.replace(entry, proved=False))
    said.append(await forecasts.of(_AT))
    await world.store.save(structs.replace(entry, promised=digest(_WHEEL)))
    said.append(await forecasts.of(_AT))
    world.clock.advance(SITE.ttl)
    await world.store.save(entry)
    said.append(await forecasts.of(_AT))

    assert {Verdict.HIT} == {one.verdict for one in said}
    assert [False, True, False, True] == [any("asked for first" in why for why in one.why) for one in said]
    assert [None, None, str(digest(_WHEEL)), None] == [one.promised for one in said]


async def test_of__volatile_file(make: Make) -> None:
    """What may be replaced under its name is confirmed after its life time, unless a page has its digest."""
    world = make(volatile("packages/"))
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    await world.hold(_AT, content(_WHEEL))
    assert Verdict.HIT is (await forecasts.of(_AT)).verdict
    world.clock.advance(SITE.ttl)
    found = await forecasts.of(_AT)
    assert Verdict.REVALIDATE is found.verdict
    assert (DecidingSetting("[[upstream]] pypi, volatile", "packages/"), _TTL) == found.settings
    world.publish(_LINK)
    await world.page()
    assert Verdict.HIT is (await forecasts.of(_AT)).verdict
    await forecasts.close()


async def test_of__file_on_a_strange_host(world: World, forecasts: IndexForecasts) -> None:
    """Only a page, or a setting, opens a host."""
    at = Target("pypi", "files.example", _WHEEL.filename)
    refused = await forecasts.of(at)
    assert (Verdict.REFUSE, (DecidingSetting("[[upstream]] pypi, hosts", "(none)"),)) == (
        refused.verdict,
        refused.settings,
    )
    world.publish(replace(_LINK, url=f"https://files.example/{_WHEEL.filename}"))
    await world.page()
    assert Verdict.FETCH is (await forecasts.of(at)).verdict


async def test_of__file_of_which_only_the_page_has_the_address(forecasts: IndexForecasts) -> None:
    """Nothing is known of where it is."""
    found = await forecasts.of(Target("pypi", None, f"download/7/+name/{_WHEEL.filename}"))
    assert (Verdict.FETCH, None) == (found.verdict, found.upstream)


async def test_of__quarantined(world: World, forecasts: IndexForecasts) -> None:
    """Nothing of a quarantined project is given."""
    status = b'"project-status":{"status":"quarantined"}'
    body = b'{"meta":{"api-version":"1.4"},' + status + b',"name":"demo","files":[]}'
    entry = await world.hold(Target("pypi", None, "x-1.0.zip"), body)
    key, form = "page:pypi:demo:simple/demo/", "application/vnd.pypi.simple.v1+json"
    await world.store.save(structs.replace(entry, key=key, url=f"{SITE.base}simple/demo/", content_type=form))

    for at in (_AT, structs.replace(_AT, path=f"{_AT.path}.metadata")):
        assert Verdict.REFUSE is (await forecasts.of(at)).verdict


async def test_of__metadata(world: World, forecasts: IndexForecasts) -> None:
    """Where it would come from: the index, the wheel, the store."""
    at = structs.replace(_AT, path=f"{_AT.path}.metadata")
    said, body = [await forecasts.of(at)], b"Metadata-Version: 2.1"
    promised = hashlib.sha256(body).hexdigest()
    world.publish(replace(_LINK, metadata=promised))
    await world.page()
    said.append(await forecasts.of(at))
    await world.hold(_AT, content(_WHEEL))
    said.append(await forecasts.of(at))
    await world.hold(at, body)
    said.append(await forecasts.of(at))

    assert [Verdict.FETCH, Verdict.FETCH, Verdict.HIT, Verdict.HIT] == [one.verdict for one in said]
    assert ["read out of the wheel", "a file of its own", "out of the stored wheel", "metadata is stored"] == [
        words for one, words in zip(
            said,
            ("read out of the wheel", "a file of its own", "out of the stored wheel", "metadata is stored"),
            strict=True,
        )
        if words in one.why[0]
    ]  # fmt: skip
    assert [None, f"sha256={promised}"] == [one.promised for one in said[:2]]
    assert {"metadata"} == {one.kind for one in said}


async def test_of__other_addresses(make: Make) -> None:
    """Lists, redirects, flat pages, and what no index has."""
    world = make(SITE, Site("flat", "https://flat.example/", "", 600.0, flat=True))
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    for path, verdict in (
        ("simple/", Verdict.PASS),
        ("simple/demo", Verdict.REDIRECT),
        ("simple/De_mo/", Verdict.FETCH),
    ):
        assert verdict is (await forecasts.of(Target("pypi", None, path))).verdict
    assert Verdict.FETCH is (await forecasts.of(Target("flat", None, "links.html"))).verdict
    with pytest.raises(NotFound):
        await forecasts.of(Target("pypi", None, "elsewhere/demo/"))
    await forecasts.close()


async def test_of__group(make: Make) -> None:
    """The member that has the page stored; the first one else; and who is asked."""
    sites = (SITE, structs.replace(SITE, mount="own", base="https://own.example/"))
    world = make(*sites)
    members = (Member("own", "simple/"), Member("pypi", "simple/"))
    group = Group("all", members, pins=(("inner*", members[0]),))
    forecasts = IndexForecasts(world.sites, (group,), world.store, world.clock)
    at = Target("all", None, "simple/demo/")

    assert ("own", Verdict.FETCH) == ((await forecasts.of(at)).mount, (await forecasts.of(at)).verdict)
    world.publish(_LINK)
    await world.page()
    found = await forecasts.of(at)
    assert ("pypi", Verdict.HIT, "/all/simple/demo/") == (found.mount, found.verdict, found.address)
    assert DecidingSetting("[[group]] all, members", "own, pypi") == found.settings[-1]
    pinned = await forecasts.of(Target("all", None, "simple/inner-tool/"))
    assert DecidingSetting("[[group]] all, pins", "own") == pinned.settings[-1]
    assert Verdict.PASS is (await forecasts.of(Target("all", None, "simple/"))).verdict
    assert Verdict.REFUSE is (await forecasts.of(Target("all", None, "simple/x-1.0.zip"))).verdict
    await forecasts.close()


async def test_targets(make: Make) -> None:
    """Below a base; on a host that the settings name, or of a stored file; of a project whose page is stored; none."""
    world = make(
        SITE, structs.replace(SITE, mount="named", base="https://own.example/", hosts=frozenset({"files.example"}))
    )
    forecasts = IndexForecasts(world.sites, (), world.store, world.clock)
    url = f"https://cdn.example/{_WHEEL.filename}"

    def first(address: str) -> tuple[Likelihood, str]:
        likelihood, target = forecasts.targets(address)[0]
        return likelihood, target.mount

    assert (Likelihood.BELOW, "pypi") == first(f"{SITE.base}simple/demo/")
    assert (Likelihood.KNOWN, "named") == first(f"https://files.example/{_WHEEL.filename}")
    assert Likelihood.NONE is first(url)[0]
    world.publish(_LINK)
    await world.page()
    assert (Likelihood.PAGE, "pypi") == first(url)
    await world.hold(Target("named", "cdn.example", _WHEEL.filename), content(_WHEEL))
    assert (Likelihood.KNOWN, "named") == first(url)
    assert [] == forecasts.targets("ftp://files.example/x")
    await forecasts.close()
