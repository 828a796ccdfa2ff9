"""What is known here beside pages, and pages with it."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest
from msgspec import structs

from proxy.errors import NotFound, StoreFull, UpstreamUnreachable
from proxy.model import ALGORITHMS, Digest, Outcome, Target
from proxy.python.addresses import name_of
from proxy.python.metadata_offers import EVERYTHING, Offered
from proxy.python.page import File, Page
from proxy.python.store_keys import PageAddress, file_key, removed_key
from proxy.python.supplements import NOTHING_KNOWN, REMOVED, Supplement, as_removed
from proxy.python.urls import locate_file
from tests.memory_upstream import Scripted
from tests.pages import JSON, Link
from tests.python.conftest import Make
from tests.python.world import PAGE, SITE, World, content, digest, volatile
from tests.wheels import Package, sdist, wheel

OLD, NEW = wheel(version="1.0", padding=100, seed=1), wheel(version="2.0", padding=100, seed=2)
URL = "https://files.example/p/"
KEY = "page:pypi:demo:simple/demo/"


def at(package: Package) -> Target:
    """Where a package is on the cache."""
    return Target("pypi", "files.example", f"p/{package.filename}")


def key_of(package: Package) -> str:
    """The key of a package's file."""
    return file_key(at(package))


def link(filename: str, **said: object) -> Link:
    """A link that says nothing but what is `said`."""
    return Link(filename, URL + filename, **said)  # type: ignore[arg-type]


OLD_LINK, NEW_LINK = OLD.link(URL + OLD.filename), NEW.link(URL + NEW.filename)


async def refresh(world: World, *links: Link) -> dict[str, object]:
    """Let the index publish these, and ask when the page is due; by file name, whether the page calls it yanked."""
    world.publish(*links)
    world.clock.advance(SITE.ttl + 1)
    return {name: file["yanked"] for name, file in (await world.listed()).items()}


# Digests that were measured here


async def test_measured__of_a_stored_file(world: World) -> None:
    """A page without a hash gets that of the file which is stored, and no other."""
    world.publish(link(OLD.filename), link(NEW.filename))
    before = await world.listed()
    await world.hold(at(OLD), content(OLD))
    after = await world.listed()
    assert ({}, {}) == (before[OLD.filename]["hashes"], before[NEW.filename]["hashes"])
    assert ({"sha256": OLD.sha256}, {}) == (after[OLD.filename]["hashes"], after[NEW.filename]["hashes"])
    await world.store.forget(key_of(OLD))
    assert {} == (await world.listed())[OLD.filename]["hashes"]


async def test_measured__upstreams_word_stands(world: World) -> None:
    """A hash of the page is not replaced by the one of a file that differs from it."""
    world.publish(OLD_LINK)
    await world.hold(at(OLD), b"something else")
    assert {"sha256": OLD.sha256} == (await world.listed())[OLD.filename]["hashes"]


async def test_measured__files_that_may_be_replaced(make: Make) -> None:
    """Where a name does not stand for the bytes, a hash of today would break tomorrow's installation."""
    world = make(volatile("nightly/"))
    one, two = Target("pypi", None, f"nightly/{OLD.filename}"), Target("pypi", None, f"stable/{NEW.filename}")
    world.publish(Link(OLD.filename, world.url(one)), Link(NEW.filename, world.url(two)))
    await world.hold(one, content(OLD))
    await world.hold(two, content(NEW))
    listed = await world.listed()
    assert ({}, {"sha256": NEW.sha256}) == (listed[OLD.filename]["hashes"], listed[NEW.filename]["hashes"])


async def test_measured__one_name_at_two_addresses(world: World) -> None:
    """Each address has the hash of what is stored from there."""
    world.publish(Link(OLD.filename, f"{URL}a/{OLD.filename}"), Link(OLD.filename, f"{URL}b/{OLD.filename}"))
    await world.hold(Target("pypi", "files.example", f"p/b/{OLD.filename}"), content(OLD))
    address = PageAddress(SITE, "demo", PAGE.path)
    supplement = await world.supplements.of(address, await world.page_cache.get(address))
    assert {f"{URL}b/{OLD.filename}": digest(OLD)} == supplement.digests


async def test_measured__page_of_files_of_many_projects(make: Make) -> None:
    """On a flat page the files of every project are looked for."""
    world = make(structs.replace(SITE, flat=True, index=""))
    page = Target("pypi", None, "links/")
    other, odd = sdist("other"), "README"
    base = "https://index.example/links/"
    held = [locate_file(base + name, world.site, name) for name in (OLD.filename, other.filename, odd)]
    world.publish(*(Link(name_of(target), world.url(target)) for target in held), target=page)
    for target, body in zip(held, (content(OLD), content(other), b"odd"), strict=True):
        await world.hold(target, body)
    listed = await world.listed(page, "")
    assert [OLD.sha256, other.sha256] == [listed[p.filename]["hashes"]["sha256"] for p in (OLD, other)]
    assert "sha256" in listed[odd]["hashes"]


# What an index dropped


async def test_dropped__only_what_is_stored(world: World) -> None:
    """A stored file is listed on, as yanked, by its own hash; what is not stored is gone."""
    await refresh(world, link("demo-0.9.tar.gz"), OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    assert {NEW.filename: False, OLD.filename: REMOVED} == await refresh(world, NEW_LINK)
    assert {"sha256": OLD.sha256} == (await world.listed())[OLD.filename]["hashes"]


async def test_dropped__listed_again_and_dropped_again(world: World) -> None:
    """Each time the page is what upstream says last; of what is dropped again the newest word counts."""
    yanked = replace(OLD_LINK, yanked="broken")
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    seen = [(await refresh(world, *links))[OLD.filename] for links in ((NEW_LINK,), (yanked, NEW_LINK), (NEW_LINK,))]
    assert [REMOVED, "broken", "broken"] == seen


async def test_dropped__one_after_the_other(world: World) -> None:
    """What was dropped earlier stays listed when more is dropped."""
    await refresh(world, OLD_LINK, NEW_LINK, link("demo-3.0.tar.gz"))
    await world.hold(at(OLD), content(OLD))
    await world.hold(at(NEW), content(NEW))
    await refresh(world, NEW_LINK, link("demo-3.0.tar.gz"))
    assert {"demo-3.0.tar.gz": False, NEW.filename: REMOVED, OLD.filename: REMOVED} == await refresh(
        world, link("demo-3.0.tar.gz")
    )


async def test_dropped__evicted_then_fetched_again(world: World) -> None:
    """It is shown only while its file is here."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    await refresh(world, NEW_LINK)
    await world.store.forget(key_of(OLD))
    gone = set(await world.listed())
    await world.hold(at(OLD), content(OLD))
    assert ({NEW.filename}, {OLD.filename, NEW.filename}) == (gone, set(await world.listed()))


async def test_dropped__file_that_is_not_the_one_of_the_page(world: World) -> None:
    """A stored file that has not the hash which the page last gave is no answer to who asks for that hash."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), b"what was there before it was uploaded again")
    assert {NEW.filename: False} == await refresh(world, NEW_LINK)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("right", [True, False])
async def test_dropped__by_whatever_the_page_promised_of_it(world: World, algorithm: str, right: bool) -> None:
    """A file that is stored under the address and is another one is not listed as what was dropped."""
    body = content(OLD if right else NEW)
    value = hashlib.new(algorithm, content(OLD), usedforsecurity=False).hexdigest()
    await refresh(world, link(OLD.filename, hashes=((algorithm, value),)), NEW_LINK)
    await world.hold(at(OLD), body)
    assert ({OLD.filename} if right else set()) == set(await refresh(world, NEW_LINK)) - {NEW.filename}


async def test_dropped__file_without_a_hash(world: World) -> None:
    """It gets the hash that was measured here."""
    await refresh(world, link(OLD.filename), NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    await refresh(world, NEW_LINK)
    assert {"sha256": OLD.sha256} == (await world.listed())[OLD.filename]["hashes"]


async def test_dropped__file_whose_name_is_listed_elsewhere(world: World) -> None:
    """A file that only moved is not dropped: its name is on the page."""
    await refresh(world, OLD_LINK)
    await world.hold(at(OLD), content(OLD))
    moved = replace(OLD_LINK, url=f"{URL}moved/{OLD.filename}")
    assert {OLD.filename: False} == await refresh(world, moved)


async def test_dropped__not_wanted(make: Make) -> None:
    """The setting turns it off, also for what was written down before."""
    world = make(structs.replace(SITE, keep_removed=False))
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    assert {NEW.filename: False} == await refresh(world, NEW_LINK)
    assert world.store.find(removed_key(KEY)) is None


async def test_dropped__disk_is_full(world: World) -> None:
    """Nothing can be written down; the page is what upstream sends, and nothing fails."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    world.store.failure = lambda: StoreFull("full")
    assert {NEW.filename: False} == await refresh(world, NEW_LINK)


async def test_dropped__old_copy_is_damaged(world: World) -> None:
    """What cannot be read tells nothing; the new page is shown all the same."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    entry = world.store.find(KEY)
    assert entry is not None
    world.parsed._pages.clear()
    world.store.damage(entry.digest, b"short")
    assert {NEW.filename: False} == await refresh(world, NEW_LINK)


async def test_dropped__what_was_written_down_is_damaged(world: World) -> None:
    """Then nothing is known of it, and the page is shown without."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    await refresh(world, NEW_LINK)
    entry = world.store.find(removed_key(KEY))
    assert entry is not None
    world.parsed._pages.clear()
    world.store.damage(entry.digest, b"short")
    assert {NEW.filename} == set(await world.listed())


async def test_dropped__page_that_cannot_be_read_drops_nothing(world: World) -> None:
    """A login page in place of the index is no word of it."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    world.upstream.on(world.url(PAGE), Scripted(b"<html><h1>Log in</h1></html>", headers={"content-type": "text/html"}))
    world.clock.advance(SITE.ttl + 1)
    assert {OLD.filename, NEW.filename} == set(await world.listed())
    assert world.store.find(removed_key(KEY)) is None


async def test_dropped__page_in_json(world: World) -> None:
    """What a page in JSON said of a file is said of it on."""
    said = (
        b'{"meta": {"api-version": "1.1", "_last-serial": 7}, "name": "demo", "versions": ["1.0"], "files": ['
        b'{"filename": "%b", "url": "%b", "hashes": {"sha256": "%b"}, "size": 5, "requires-python": ">=3.9",'
        b'"upload-time": "2026-01-02T03:04:05Z", "core-metadata": {"sha256": "%b"}, "yanked": false}]}'
        % (OLD.filename.encode(), (URL + OLD.filename).encode(), OLD.sha256.encode(), b"a" * 64)
    )
    world.upstream.on(world.url(PAGE), Scripted(said, headers={"content-type": JSON}))
    before = (await world.listed())[OLD.filename]
    await world.hold(at(OLD), content(OLD))
    await refresh(world, NEW_LINK)
    assert before | {"yanked": REMOVED} == (await world.listed())[OLD.filename]


# What is left of a project that is gone


async def withdraw(world: World) -> None:
    """Let the index have nothing of the project any more."""
    world.upstream.on(world.url(PAGE), Scripted(status=404))
    world.clock.advance(SITE.ttl + 1)


async def test_withdrawn__what_is_stored(world: World) -> None:
    """The page has what is stored of it, with what was dropped before; it is not to be taken for a fresh one."""
    await refresh(world, OLD_LINK, NEW_LINK, link("demo-3.0.tar.gz"))
    await world.hold(at(OLD), content(OLD))
    await refresh(world, NEW_LINK, link("demo-3.0.tar.gz"))
    await world.hold(at(NEW), content(NEW))
    await withdraw(world)
    shown = await world.page()
    assert (Outcome.STALE, 0.0) == (shown.outcome, shown.fresh_until)
    assert {OLD.filename, NEW.filename} == set(await world.listed())


async def test_withdrawn__and_there_again(world: World) -> None:
    """When the project is back, its page is upstream's."""
    await refresh(world, OLD_LINK)
    await world.hold(at(OLD), content(OLD))
    await withdraw(world)
    assert REMOVED == (await world.listed())[OLD.filename]["yanked"]
    assert {OLD.filename: False, NEW.filename: False} == await refresh(world, OLD_LINK, NEW_LINK)


@pytest.mark.parametrize("keep", [True, False])
async def test_withdrawn__nothing_to_show(make: Make, keep: bool) -> None:
    """Of what nothing is stored, or wanted, there is no page."""
    world = make(structs.replace(SITE, keep_removed=keep))
    await refresh(world, OLD_LINK, NEW_LINK)
    if not keep:
        await world.hold(at(OLD), content(OLD))
    await withdraw(world)
    with pytest.raises(NotFound):
        await world.page()


async def test_withdrawn__is_not_what_being_away_is(world: World) -> None:
    """While upstream is away the page is as it was: nothing was removed."""
    await refresh(world, OLD_LINK, NEW_LINK)
    await world.hold(at(OLD), content(OLD))
    world.upstream.on(world.url(PAGE), Scripted(error=UpstreamUnreachable("away")))
    world.clock.advance(SITE.ttl + 1)
    assert {OLD.filename: False, NEW.filename: False} == {
        name: file["yanked"] for name, file in (await world.listed()).items()
    }


# What is known, put to a page

KNOWN, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
A = File("demo-1.0.tar.gz", "https://files.example/a/demo-1.0.tar.gz")
B = File("demo-2.0.tar.gz", "https://files.example/a/demo-2.0.tar.gz", (OTHER,))
DEMO = Page("demo", (A, B), html=True, api_version="1.0")


def test_complete__nothing() -> None:
    """A page beside which nothing is known is as it was."""
    assert DEMO == Supplement().complete(DEMO) == NOTHING_KNOWN.complete(DEMO)


def test_complete__measured_digests() -> None:
    """A digest is put to the file that has none, by its address; where upstream gives one, that stands."""
    supplement = Supplement(digests={A.url: KNOWN, B.url: KNOWN})
    assert structs.replace(DEMO, files=(structs.replace(A, digests=(KNOWN,)), B)) == supplement.complete(DEMO)


def test_complete__versions() -> None:
    """A page names the versions of all of its files (PEP 700), of dropped ones, too, each once."""
    page = structs.replace(DEMO, html=False, versions=("1.0", "2.0"))
    dropped = tuple(structs.replace(A, filename=f"demo-{version}.tar.gz") for version in ("0.9", "1.0", "2.1", "x"))
    assert ("1.0", "2.0", "0.9", "2.1") == Supplement(removed=dropped).complete(page).versions
    assert Supplement(removed=dropped).complete(structs.replace(page, versions=None)).versions is None


def test_complete__of_one_name_the_right_one() -> None:
    """Files of one name at two addresses are told apart."""
    twin = structs.replace(A, url="https://files.example/b/demo-1.0.tar.gz")
    page = structs.replace(DEMO, files=(A, twin))
    assert [(), (KNOWN,)] == [file.digests for file in Supplement(digests={twin.url: KNOWN}).complete(page).files]


def test_complete__fragment_that_is_no_digest() -> None:
    """It makes room for the digest, unless installers read it; without a digest it stays."""
    for fragment, left in (("main", ""), ("egg=demo-1.0", "egg=demo-1.0"), ("x&subdirectory=y", "x&subdirectory=y")):
        file = structs.replace(A, fragment=fragment)
        page = structs.replace(DEMO, files=(file,))
        known = Supplement(digests={A.url: KNOWN}).complete(page)
        assert (structs.replace(file, digests=(KNOWN,), fragment=left),) == known.files
        assert (file,) == Supplement(digests={B.url: KNOWN}).complete(page).files


WHEEL = File("demo-1.0-py3-none-any.whl", "https://files.example/a/demo-1.0-py3-none-any.whl", size=1 << 30)
HASH = Digest("sha256", "c" * 64)
OTHER_WHEEL = structs.replace(WHEEL, url="https://files.example/b/demo-1.0-py3-none-any.whl")
REFUSING = Offered(frozenset({"https://files.example/"}))


@pytest.mark.parametrize(
    ("offered", "file", "expected"),
    [
        # What upstream says stands, and only wheels have metadata
        (EVERYTHING, structs.replace(WHEEL, core_metadata=HASH), HASH),
        (REFUSING, structs.replace(WHEEL, core_metadata=HASH), HASH),
        (REFUSING, structs.replace(WHEEL, core_metadata=True), True),
        (EVERYTHING, A, None),
        (EVERYTHING, structs.replace(WHEEL, filename="demo-1.0-py3-none-any.whl.asc"), None),
        # Else it is ours
        (EVERYTHING, WHEEL, True),
        (EVERYTHING, structs.replace(WHEEL, core_metadata=False), True),
        # Where the host gives no parts: for what is small, or here
        (REFUSING, WHEEL, None),
        (REFUSING, structs.replace(WHEEL, size=None), None),
        (REFUSING, structs.replace(WHEEL, core_metadata=False), False),
        (REFUSING, structs.replace(WHEEL, size=128 << 10), True),
        (REFUSING, structs.replace(WHEEL, url="https://files.example:8443/a/demo-1.0-py3-none-any.whl"), True),
        (REFUSING, structs.replace(WHEEL, url="http://files.example/a/demo-1.0-py3-none-any.whl"), True),
        (replace(REFUSING, urls=frozenset({WHEEL.url})), WHEEL, True),
        # And never for a wheel that has none
        (Offered(unreadable=frozenset({WHEEL.url})), WHEEL, None),
        (Offered(unreadable=frozenset({WHEEL.url})), structs.replace(WHEEL, size=9), None),
    ],
)
def test_complete__metadata(offered: Offered, file: File, expected: bool | Digest | None) -> None:
    """A wheel is said to have metadata beside it where upstream says so, or where it can be had."""
    (shown,) = Supplement(offered=offered).complete(structs.replace(DEMO, files=(file,))).files
    assert expected == shown.core_metadata


def test_complete__metadata_of_what_was_removed() -> None:
    """A wheel that is stored has it, whatever its host does."""
    (shown,) = Supplement(removed=(WHEEL,), withdrawn=True, offered=REFUSING).complete(DEMO).files
    assert shown.core_metadata is True


def test_complete__removed() -> None:
    """What was dropped comes behind what is listed, as yanked."""
    gone = structs.replace(B, filename="demo-0.9.tar.gz", url="https://files.example/a/demo-0.9.tar.gz")
    files = Supplement(removed=(gone,)).complete(DEMO).files
    assert (A, B, structs.replace(gone, yanked=REMOVED)) == files


def test_complete__withdrawn() -> None:
    """Of a project that is gone only what is stored is shown."""
    files = Supplement(digests={A.url: KNOWN}, removed=(B,), withdrawn=True).complete(DEMO).files
    assert (structs.replace(B, yanked=REMOVED),) == files


@pytest.mark.parametrize(("yanked", "expected"), [(False, REMOVED), (True, REMOVED), ("broken", "broken")])
def test_as_removed(*, yanked: bool | str, expected: str) -> None:
    """A reason that upstream gave stays; else this one is said."""
    assert expected == as_removed(structs.replace(A, yanked=yanked)).yanked


def test_key__differs_where_the_page_would() -> None:
    """Whatever is shown differently has another key."""
    gone = structs.replace(A, digests=(KNOWN,))
    different = [
        NOTHING_KNOWN,
        Supplement(digests={A.url: KNOWN}),
        Supplement(digests={A.url: OTHER}),
        Supplement(removed=(A,)),
        Supplement(removed=(gone,)),
        Supplement(removed=(structs.replace(gone, yanked="broken"),)),
        Supplement(removed=(structs.replace(gone, requires_python=">=3.11"),)),
        Supplement(removed=(structs.replace(WHEEL, core_metadata=KNOWN),)),
        Supplement(removed=(structs.replace(gone, size=5),)),
        Supplement(removed=(gone, B)),
        Supplement(removed=(B, gone)),
        Supplement(digests={A.url: KNOWN}, removed=(B,)),
        Supplement(removed=(gone,), withdrawn=True),
        Supplement(withdrawn=True),
        Supplement(offered=REFUSING),
        Supplement(offered=replace(REFUSING, urls=frozenset({WHEEL.url}))),
        Supplement(offered=Offered(unreadable=frozenset({WHEEL.url}))),
    ]
    page = structs.replace(DEMO, files=(*DEMO.files, WHEEL, OTHER_WHEEL))
    for one, two in itertools.combinations(different, 2):
        assert one.complete(page) != two.complete(page)
        assert one.key != two.key, (one, two)


def test_key__same_for_the_same() -> None:
    """The order in which digests were found counts for nothing."""
    one = Supplement(digests={A.url: KNOWN, B.url: OTHER})
    two = Supplement(digests={B.url: OTHER, A.url: KNOWN})
    assert (one.key, "-") == (two.key, NOTHING_KNOWN.key)


# Of an index that cannot be reached


def test_complete__only_what_is_here() -> None:
    """Other files are not listed, nor the versions that have none; one that is here has its metadata."""
    files = tuple(File(name, URL + name) for name in (OLD.filename, NEW.filename, "demo-1.tar.gz", "odd"))
    page = Page("demo", files, html=False, versions=("1", "1.0", "2.0", "1.0.post1", "9" * 5000))
    here = frozenset({URL + OLD.filename, URL + "odd"})
    limited = Supplement(only=here, stored=here, offered=Offered(frozenset({URL[:22]})))
    made = limited.complete(page)
    assert [OLD.filename, "odd"] == [file.filename for file in made.files]
    assert ("1.0",) == made.versions
    assert made.files[0].core_metadata is True
    assert () == replace(limited, only=frozenset()).complete(page).files
    others = replace(limited, only=frozenset()), replace(limited, only=None), replace(limited, stored=frozenset())
    assert len({one.key for one in (limited, *others)}) == 4


async def test_limited(world: World) -> None:
    """Files that are stored with the digest that the page promises."""
    world.publish(OLD_LINK, NEW_LINK)
    assert 2 == len(await world.listed())
    world.upstream.down_urls.add(world.url(PAGE))
    assert {} == await world.listed()
    await world.hold(at(OLD), content(OLD))
    await world.hold(at(NEW), b"something else")
    assert [OLD.filename] == list(await world.listed())
    world.upstream.heard_urls.add("https://files.example/")
    assert 2 == len(await world.listed())  # the index alone is away
    world.upstream.heard_urls.clear()
    world.upstream.down_urls.clear()
    assert 2 == len(await world.listed())


async def test_limited__host_that_honours_no_ranges(world: World) -> None:
    """Of its wheels metadata is promised for the stored ones, also while the index alone is away."""
    world.publish(link(OLD.filename, sha256=OLD.sha256), link(NEW.filename, sha256=NEW.sha256))
    world.offers.learn("https://files.example/", honoured=False)
    await world.hold(at(OLD), content(OLD))
    before = {name: file.get("core-metadata") for name, file in (await world.listed()).items()}
    world.upstream.down_urls.add(world.url(PAGE))
    world.upstream.heard_urls.add("https://files.example/")
    after = {name: file.get("core-metadata") for name, file in (await world.listed()).items()}
    assert {OLD.filename: True, NEW.filename: None} == before == after


@pytest.mark.parametrize("dropped", [True, False])
async def test_metadata__of_a_stored_source_distribution(world: World, dropped: bool) -> None:
    """It cannot be read out of it: none is promised when the index drops it, or cannot be reached."""
    source = sdist(version="1.0")
    listed = link(source.filename, sha256=source.sha256, metadata="ab" * 32)
    world.publish(listed)
    before = (await world.listed())[source.filename]
    await world.hold(at(source), content(source))
    if dropped:
        await refresh(world)
    else:
        world.upstream.down_urls.add(world.url(PAGE))
    after = (await world.listed())[source.filename]
    assert ({"sha256": "ab" * 32}, {}) == (before["core-metadata"], after.get("core-metadata", {}))
