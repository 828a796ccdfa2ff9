"""What the pages say of a file, and which hosts they open."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.cache.flight import Location
from proxy.cache.stored_files import StoredFiles
from proxy.errors import (
    NotAllowed,
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
    Withheld,
)
from proxy.model import Digest, Site, Target
from proxy.python.catalog import Catalog, Listing, moved
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.outlines import Outlines
from proxy.python.page import File
from proxy.python.page_cache import PageCache
from proxy.python.parsed_pages import PageWork, ParsedPages
from proxy.python.sidecars import Sidecars
from proxy.python.store_keys import PageAddress
from proxy.python.supplements import Supplements
from tests.cache.conftest import documents_of
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore
from tests.memory_upstream import MemoryUpstream, Scripted
from tests.pages import Link, as_html

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
TORCH = Site("pytorch", "https://download.example/", "whl/", 600.0)
NVIDIA = Site("nvidia", "https://nvidia.example/", "", 600.0)
FLAT = Site("flat", "https://flat.example/", "", 600.0, flat=True)
URL = "https://index.example/simple/demo/"
NAME = "demo-1.0.tar.gz"
LISTED = Target("pypi", "files.example", f"a/{NAME}")


class World:
    """A catalog over an upstream whose page links to one file on another host."""

    def __init__(self, *sites: Site) -> None:
        self.upstream = MemoryUpstream()
        self.clock = SteppedClock()
        self.store = MemoryStore()
        self.documents = documents_of(self.store, self.upstream, self.clock)
        work = PageWork()
        self.parsed = ParsedPages(work)
        outlines = Outlines(self.parsed, Sidecars(self.store, work, self.clock))
        stored, offers = StoredFiles(self.store, self.clock), MetadataOffers(self.store, self.clock)
        supplements = Supplements(self.store, self.documents, self.parsed, outlines, stored, offers, self.clock)
        self.pages = PageCache(self.store, self.documents, self.parsed, outlines, supplements)
        self.catalog = Catalog({site.mount: site for site in sites or (SITE,)}, self.store, self.pages, outlines)
        if not sites:
            self.publish(Link(NAME, f"https://files.example/a/{NAME}", sha256="0" * 64, size=None))

    def publish(self, *links: Link, url: str = URL) -> None:
        """Let the page have these links."""
        self.upstream.on(url, Scripted(as_html("demo", links), headers={"content-type": "text/html"}))


async def test_find__asks_for_the_page_once() -> None:
    """The page is the authority; the stored one is enough, however old."""
    world = World()
    first = await world.catalog.find(LISTED, SITE)
    world.clock.advance(10_000)
    assert first.file is not None
    assert (first, 1) == (await world.catalog.find(LISTED, SITE), world.upstream.count(URL))


async def test_find__new_file_on_the_page() -> None:
    """A file that the stored page does not list makes the page be asked for, if it is not fresh."""
    world = World()
    await world.catalog.find(LISTED, SITE)
    newer = NAME.replace("1.0", "2.0")
    world.publish(Link(newer, f"https://files.example/a/{newer}"))
    world.clock.advance(601)
    assert (await world.catalog.find(structs.replace(LISTED, path=f"a/{newer}"), SITE)).file is not None


@pytest.mark.parametrize(
    "target",
    [
        structs.replace(LISTED, host="evil.example"),
        structs.replace(LISTED, host="files.example:8443"),
        structs.replace(LISTED, path="a/other-1.0.tar.gz"),
        structs.replace(LISTED, path="a/no-distribution"),
    ],
)
async def test_find__on_a_host_that_no_page_links_to(target: Target) -> None:
    """Host and port must be those of a link."""
    with pytest.raises(NotAllowed):
        await World().catalog.find(target, SITE)


async def test_find__on_a_host_that_a_page_links_to() -> None:
    """A file that is not listed, on a host that is, may be fetched without a word of the page."""
    world = World()
    await world.catalog.find(LISTED, SITE)
    assert Listing() == await world.catalog.find(structs.replace(LISTED, path=f"b/{NAME}"), SITE)


async def test_find__on_a_host_of_the_settings() -> None:
    """The settings open a host before any page was read."""
    site = structs.replace(SITE, hosts=frozenset({"files.example"}))
    assert Listing() == await World().catalog.find(structs.replace(LISTED, path="x/other-1.0.tar.gz"), site)


async def test_find__below_the_mount() -> None:
    """What lies below the mount's own base needs no link, even while its page cannot be had."""
    world = World()
    world.upstream.on(URL, Scripted(error=UpstreamBroken("away")))
    listing = await world.catalog.find(Target("pypi", None, f"p/{NAME}"), SITE)
    assert listing.file is None
    assert isinstance(listing.failure, UpstreamBroken)


async def test_find__no_page_to_be_had() -> None:
    """On another host it is not known whether the file may be fetched: upstream's error says so."""
    world = World()
    world.upstream.on(URL, Scripted(error=UpstreamBroken("away")))
    with pytest.raises(UpstreamBroken):
        await world.catalog.find(LISTED, SITE)


# Which pages may list a file


async def test_find__asks_for_the_likely_pages() -> None:
    """The likeliest first, and no other one."""
    world = World(TORCH)
    target = Target("pytorch", None, "whl/cu126/torch-2.0+cu126-cp312-none-linux_x86_64.whl")
    assert Listing() == await world.catalog.find(target, TORCH)
    asked = [ask.url.removeprefix(TORCH.base) for ask in world.upstream.asks]
    assert ["whl/cu126/torch/", "whl/torch/"] == asked


@pytest.mark.parametrize("site", [TORCH, NVIDIA, FLAT])
async def test_find__stops_at_the_page_that_lists_it(site: Site) -> None:
    """Whatever the layout, the digest of the page is found by asking for as few pages as possible."""
    world = World(site)
    page, path = {
        "pytorch": ("whl/cu126/demo/", f"whl/cu126/{NAME}"),
        "nvidia": ("demo/", f"demo/{NAME}"),
        "flat": ("links/", f"links/{NAME}"),
    }[site.mount]
    world.publish(Link(NAME, site.base + path, sha256="0" * 64), url=site.base + page)
    for _ in range(2):
        found = await world.catalog.find(Target(site.mount, None, path), site)
        assert found.digest is not None
        assert ("0" * 64, 1) == (found.digest.value, len(world.upstream.asks))


async def test_find__page_is_missing_and_the_next_one_lists_it() -> None:
    """A channel without a page of its own is no reason not to look at the index's."""
    world = World(TORCH)
    world.publish(
        Link(NAME, f"{TORCH.base}whl/cu126/{NAME}", sha256="0" * 64), url="https://download.example/whl/demo/"
    )
    assert (await world.catalog.find(Target("pytorch", None, f"whl/cu126/{NAME}"), TORCH)).file is not None
    assert ["whl/cu126/demo/", "whl/demo/"] == [
        ask.url.removeprefix("https://download.example/") for ask in world.upstream.asks
    ]


async def test_find__flat_page_lists_no_foreign_host_unasked() -> None:
    """For a file on another host no flat page can be guessed: it must have been seen."""
    world = World(FLAT)
    target = Target("flat", "files.example", f"a/{NAME}")
    with pytest.raises(NotAllowed):
        await world.catalog.find(target, FLAT)
    world.publish(Link(NAME, f"https://files.example/a/{NAME}"), url="https://flat.example/links.html")
    await world.pages.get(PageAddress(FLAT, "", "links.html"))
    assert (await world.catalog.find(target, FLAT)).file is not None


async def test_find__one_name_at_two_addresses() -> None:
    """Each address has the digest that stands there."""
    world = World()
    world.publish(*(Link(NAME, f"https://files.example/{at}/{NAME}", sha256=at * 64) for at in "ab"))
    found = [await world.catalog.find(structs.replace(LISTED, path=f"{at}/{NAME}"), SITE) for at in "ab"]
    assert ["a" * 64, "b" * 64] == [listing.digest.value for listing in found if listing.digest is not None]


@pytest.mark.parametrize(
    ("error", "asked", "certain"),
    [
        (NotFound("gone"), 2, True),
        (Withheld("refused"), 2, False),  # by the page that the settings tell of
        (UpstreamBroken("broken"), 2, False),
        (UpstreamThrottled("busy"), 1, False),
        (UpstreamTimeout("silent"), 1, False),
        (UpstreamUnreachable("away"), 1, False),
    ],
)
async def test_find__no_page_answers(error: PullthroughError, asked: int, certain: bool) -> None:
    """A host that is not well is not asked for one page after the other; what it says is not taken for a "no"."""
    world = World(TORCH)
    for page in ("whl/cu126/demo/", "whl/demo/"):
        world.upstream.on(TORCH.base + page, Scripted(error=error))
    listing = await world.catalog.find(Target("pytorch", None, f"whl/cu126/{NAME}"), TORCH)
    assert (asked, certain) == (len(world.upstream.asks), listing.failure is None)


async def test_find__guess_that_is_refused() -> None:
    """Stores of objects refuse what they do not have: a page that was only guessed is not there."""
    world = World(TORCH)
    world.upstream.on(f"{TORCH.base}whl/cu126/demo/", Scripted(error=Withheld("refused")))
    assert Listing() == await world.catalog.find(Target("pytorch", None, f"whl/cu126/{NAME}"), TORCH)


# What stored pages say


async def test_stored__asks_nobody() -> None:
    """Of a page that was never seen nothing is known."""
    world = World()
    assert (Listing(), 0) == (await world.catalog.stored(LISTED, SITE), len(world.upstream.asks))


async def test_stored__whatever_page_lists_it() -> None:
    """A project's pages on all channels, and flat pages, are looked at, however old."""
    world = World(TORCH)
    for page, number in (("whl/cu126/demo/", 1), ("whl/demo/", 2), ("whl/links.html", 3)):
        name = f"demo-{number}.tar.gz"
        world.publish(Link(name, f"{TORCH.base}x/{name}"), url=TORCH.base + page)
        project = "" if page.endswith(".html") else "demo"
        await world.pages.get(PageAddress(TORCH, project, page))
    world.clock.advance(1_000_000)
    kept = [await world.catalog.stored(Target("pytorch", None, f"x/demo-{n}.tar.gz"), TORCH) for n in (1, 2, 3, 4)]
    assert [True, True, True, False] == [listing.file is not None for listing in kept]


async def test_stored__page_that_is_damaged() -> None:
    """It is passed over, and another page may do."""
    world = World(TORCH)
    for page in ("whl/cu126/demo/", "whl/demo/"):
        link = Link(NAME, f"{TORCH.base}x/{NAME}", requires_python=None if page == "whl/demo/" else ">=3")
        world.publish(link, url=TORCH.base + page)
        await world.pages.get(PageAddress(TORCH, "demo", page))
    entry = world.store.find("page:pytorch:demo:whl/cu126/demo/")
    assert entry is not None
    world.store.damage(entry.digest, b"short")
    world.parsed._pages.clear()
    assert (await world.catalog.stored(Target("pytorch", None, f"x/{NAME}"), TORCH)).file is not None


QUARANTINED = b'<meta name="pypi:project-status" content="quarantined"><title>Links for demo</title>'


@pytest.mark.parametrize("redirected", [True, False])
@pytest.mark.parametrize("path", ["simple/Demo/", "simple/+empty/demo/", "simple/demo/index.html"])
async def test_stored__quarantined_since_under_another_spelling(path: str, redirected: bool) -> None:
    """An older copy of the same page, whatever its address is, does not vouch for a file any more."""
    world = World()
    usual = PageAddress(SITE, "demo", "simple/demo/")
    other = PageAddress(SITE, "" if path.endswith("html") else "demo", path)
    links = as_html("demo", [Link(NAME, f"https://files.example/a/{NAME}", sha256="0" * 64)])
    html = {"content-type": "text/html"}
    world.upstream.on(other.url, Scripted(links, headers=html, url=URL if redirected else None))
    await world.pages.get(other)
    assert (await world.catalog.stored(LISTED, SITE)).file is not None
    world.clock.advance(601)
    world.upstream.on(URL, Scripted(QUARANTINED, headers=html))
    await world.pages.get(usual)
    with pytest.raises(NotFound, match="quarantined"):
        await world.catalog.stored(LISTED, SITE)
    world.clock.advance(601)
    await world.pages.get(other)  # it was an error
    assert (await world.catalog.stored(LISTED, SITE)).file is not None


async def test_stored__dropped_since_under_another_spelling() -> None:
    """An older copy that a redirect brought does not vouch for what the index dropped, or for what it replaced."""
    world = World()
    other = PageAddress(SITE, "demo", "simple/Demo/")
    links = as_html("demo", [Link(NAME, f"https://files.example/a/{NAME}", sha256="0" * 64)])
    world.upstream.on(other.url, Scripted(links, headers={"content-type": "text/html"}, url=URL))
    await world.pages.get(other)
    world.clock.advance(601)
    world.publish(Link(NAME, f"https://files.example/a/{NAME}"))
    await world.pages.get(PageAddress(SITE, "demo", "simple/demo/"))
    assert (await world.catalog.stored(LISTED, SITE)).digest is None


# Files that belong to a distribution


def with_token(ending: str = "") -> str:
    """Where the listed file is, or one that belongs to it, at an address that is signed."""
    return f"https://files.example/a/{NAME}{ending}?token=1"


@pytest.mark.parametrize(("said", "digest"), [("1" * 64, Digest("sha256", "1" * 64)), (True, None)])
async def test_find__promised_metadata_on_another_host(said: str | bool, digest: Digest | None) -> None:
    """Of a source distribution, too: where its link leads, and with the digest that the link gives."""
    world = World()
    world.publish(Link(NAME, with_token(), sha256="0" * 64, metadata=said))
    found = await world.catalog.find(structs.replace(LISTED, path=f"a/{NAME}.metadata"), SITE)
    assert found.file is not None
    assert (with_token(".metadata"), digest) == (found.file.url, found.digest)


@pytest.mark.parametrize("said", ["true", "false", None])
async def test_find__signature_on_another_host(said: str | None) -> None:
    """Where the link says that there is one; else it may be there, on a host that the page links to."""
    world = World()
    attribute = f' data-gpg-sig="{said}"' if said else ""
    page = f'<title>Links for demo</title><a href="{with_token()}"{attribute}>{NAME}</a>'
    world.upstream.on(URL, Scripted(page.encode(), headers={"content-type": "text/html"}))
    target = structs.replace(LISTED, path=f"a/{NAME}.asc")
    found = await world.catalog.find(target, SITE)
    assert (with_token(".asc") if said == "true" else None) == (found.file and found.file.url)
    with pytest.raises(NotAllowed):
        await world.catalog.find(structs.replace(target, host="evil.example"), SITE)


# Where else a file is

SUM = Digest("sha256", "a" * 64)


def listed(url: str, digest: Digest | None = SUM) -> File:
    """What a page says of a file."""
    return File(NAME, url, () if digest is None else (digest,))


async def test_elsewhere__without_a_digest() -> None:
    """What cannot be told from another file is looked for nowhere else."""
    site = structs.replace(TORCH, siblings=("https://r2.example/",))
    assert () == await World(site).catalog.elsewhere(listed(f"{TORCH.base}whl/{NAME}", None), site)


@pytest.mark.parametrize(
    ("url", "locations"),
    [
        (f"https://download.example/whl/{NAME}?a=1", [f"https://r2.example/whl/{NAME}?a=1", f"https://r3.example/x/whl/{NAME}?a=1"]),
        (f"https://r2.example/whl/{NAME}", [f"https://download.example/whl/{NAME}", f"https://r3.example/x/whl/{NAME}"]),
        (f"https://r3.example/x/whl/{NAME}", [f"https://download.example/whl/{NAME}", f"https://r2.example/whl/{NAME}"]),
        (f"https://r3.example/whl/{NAME}", []),
        (f"https://files.example/whl/{NAME}", []),
        (f"https://download.example.evil.example/whl/{NAME}", []),
    ],
)  # fmt: skip
async def test_elsewhere__siblings(url: str, locations: list[str]) -> None:
    """The same path below each of the other bases; for a file that lies below none of them there is no such place."""
    site = structs.replace(TORCH, siblings=("https://r2.example/", "https://r3.example/x/"))
    found = await World(site).catalog.elsewhere(listed(url), site)
    assert [Location(location, site) for location in locations] == list(found)


async def test_elsewhere__pages_of_other_mounts() -> None:
    """Where stored pages have the name and the digest; never on the page's own mount, and never by the name alone."""
    world = World(SITE, TORCH, NVIDIA, FLAT)
    links = {
        (SITE, "simple/demo/", "demo"): [Link(NAME, f"https://own.example/{NAME}", sha256="a" * 64)],
        (TORCH, "whl/cu126/demo/", "demo"): [
            Link(NAME, f"{TORCH.base}whl/cu126/{NAME}", sha256="b" * 64),
            Link(NAME, f"{TORCH.base}whl/cu128/{NAME}", sha256="a" * 64),
        ],
        (NVIDIA, "demo/", "demo"): [Link(NAME, NAME), Link("demo-2.0.tar.gz", "demo-2.0.tar.gz", sha256="a" * 64)],
        (FLAT, "links.html", ""): [Link(NAME, f"https://cdn.example/{NAME}", sha256="a" * 64)],
    }
    for (site, page, project), given in links.items():
        world.publish(*given, url=site.base + page)
        await world.pages.get(PageAddress(site, project, page))
    asked = len(world.upstream.asks)
    found = await world.catalog.elsewhere(listed(f"https://files.example/{NAME}"), SITE)
    assert (Location(f"{TORCH.base}whl/cu128/{NAME}", TORCH), Location(f"https://cdn.example/{NAME}", FLAT)) == found
    assert asked == len(world.upstream.asks)


# What pages say

ONE, TWO = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
MD5 = Digest("md5", "b" * 32)
FILE = File("demo-1.0.tar.gz", "https://files.example/demo-1.0.tar.gz?signature=1", (ONE,))


@pytest.mark.parametrize(
    ("before", "later", "expected"),
    [
        (FILE, FILE, False),
        (FILE, structs.replace(FILE, yanked=True, size=5), False),
        (FILE, structs.replace(FILE, url="https://files.example/demo-1.0.tar.gz?signature=2"), True),
        (FILE, structs.replace(FILE, digests=(TWO,)), True),
        (FILE, structs.replace(FILE, digests=()), True),
        (FILE, None, False),
        (None, FILE, True),
        (None, None, False),
    ],
)
def test_differs(before: File | None, later: File | None, expected: bool) -> None:
    """Another address or another digest is worth another try; that it is gone is not."""
    assert expected is Listing(before).differs(Listing(later))


def test_digest__of_what_is_not_listed() -> None:
    """There is none."""
    assert (None, None, ONE) == (
        Listing().digest,
        Listing(structs.replace(FILE, digests=())).digest,
        Listing(FILE).digest,
    )


# Files that moved


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((ONE,), [(ONE,)], [0]),
        ((ONE, MD5), [(), (MD5,)], [1]),
        ((ONE,), [(MD5,)], []),
        ((ONE,), [()], []),
        ((), [(ONE,)], []),
    ],
)
@pytest.mark.parametrize("failed", [False, True])
def test_moved__by_its_digest(
    before: tuple[Digest, ...], now: list[tuple[Digest, ...]], expected: list[int], *, failed: bool
) -> None:
    """Only a digest that both have tells that two files are one."""
    files = [structs.replace(FILE, url="https://x.example/", digests=digests) for digests in now]
    assert [files[place] for place in expected] == moved(structs.replace(FILE, digests=before), files, failed=failed)


@pytest.mark.parametrize(("count", "failed", "expected"), [(1, True, 1), (1, False, 0), (2, True, 0)])
def test_moved__without_digests(count: int, *, failed: bool, expected: int) -> None:
    """The one file of this name takes the place of what is not there any more."""
    files = [structs.replace(FILE, url="https://x.example/", digests=())] * count
    assert files[:expected] == moved(structs.replace(FILE, digests=()), files, failed=failed)
