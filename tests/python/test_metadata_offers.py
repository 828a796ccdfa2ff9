"""For which wheels a page may promise metadata."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.model import Entry, Site, Target, Validator
from proxy.python.metadata_offers import _HOSTS, _REFUSED, _WHEELS, EVERYTHING, MetadataOffers
from proxy.python.outline import Excerpt
from proxy.python.page import File, Page
from proxy.python.parsed_page import ParsedPage
from proxy.python.store_keys import PageAddress, file_key
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore, stored

ADDRESS = PageAddress(Site("pypi", "https://index.example/", "simple/", 600.0), "demo", "simple/demo/")
ORIGIN = "https://files.example/"
ONE = File("demo-1.0-py3-none-any.whl", f"{ORIGIN}a/demo-1.0-py3-none-any.whl")
TWO = File("demo-2.0-py3-none-any.whl", f"{ORIGIN}a/demo-2.0-py3-none-any.whl")


def page_of(*files: File) -> Excerpt:
    """A page."""
    page = ParsedPage.of(Page("demo", files, html=True))
    return Excerpt(page.summary, page.by_name)


@pytest.fixture
def clock() -> SteppedClock:
    """The time."""
    return SteppedClock()


@pytest.fixture
def store() -> MemoryStore:
    """The disk."""
    return MemoryStore()


@pytest.fixture
def offers(store: MemoryStore, clock: SteppedClock) -> MetadataOffers:
    """Nothing is known yet."""
    return MetadataOffers(store, clock)


async def hold(store: MemoryStore, file: File, ending: str = "") -> None:
    """Keep a file, or what lies beside it."""
    blob = await stored(store, file.url.encode())
    key = file_key(Target("pypi", "files.example", f"a/{file.filename}{ending}"))
    await store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 0.0, 0.0))


def offered(offers: MetadataOffers, *files: File) -> list[bool]:
    """For which of the files metadata is promised."""
    said = offers.offered(ADDRESS, page_of(*files))
    return [said.covers(file) for file in files]


def test_offered__of_a_host_that_is_not_known(offers: MetadataOffers) -> None:
    """Nearly all give parts of files: it is promised until a host turns out not to."""
    assert EVERYTHING is offers.offered(ADDRESS, page_of(ONE))
    offers.learn(ORIGIN, honoured=True)
    assert EVERYTHING is offers.offered(ADDRESS, page_of(ONE))


async def test_offered__of_a_host_that_gives_no_parts(offers: MetadataOffers, store: MemoryStore) -> None:
    """Of what is small, or kept, or has its metadata kept."""
    offers.learn(ORIGIN, honoured=False)
    small = structs.replace(TWO, filename="demo-3.0-py3-none-any.whl", url=f"{ORIGIN}x", size=1000)
    assert [False, False, True] == offered(offers, ONE, TWO, small)
    await hold(store, ONE)
    assert [True, False, True] == offered(offers, ONE, TWO, small)
    await hold(store, TWO, ".metadata")
    assert [True, True, True] == offered(offers, ONE, TWO, small)


async def test_offered__what_is_stored_of_another_name(offers: MetadataOffers, store: MemoryStore) -> None:
    """A file of the same name at another address is another file."""
    offers.learn(ORIGIN, honoured=False)
    await hold(store, ONE)
    assert [False] == offered(offers, structs.replace(ONE, url=f"{ORIGIN}b/{ONE.filename}"))
    assert [False] == offered(offers, structs.replace(ONE, url="ftp://files.example/x"), TWO)[1:]


def test_honours__may_be_mended(offers: MetadataOffers, clock: SteppedClock) -> None:
    """What a host refuses counts for a while; what it gave once, until it does not any more."""
    offers.learn(ORIGIN, honoured=False)
    assert offers.honours(ORIGIN) is False
    clock.advance(_REFUSED)
    assert offers.honours(ORIGIN) is None
    assert [True] == offered(offers, ONE)
    offers.learn(ORIGIN, honoured=True)
    clock.advance(10 * _REFUSED)
    assert offers.honours(ORIGIN)


def test_unreadable__is_not_promised_again(offers: MetadataOffers) -> None:
    """A wheel that has no metadata to give, and no other."""
    offers.unreadable(ONE.url, ONE.filename)
    assert [False, True] == offered(offers, ONE, TWO)
    assert EVERYTHING is offers.offered(ADDRESS, page_of(TWO))


def test_version__tells_of_news_only(offers: MetadataOffers) -> None:
    """Pages that are remembered are made again when something else is known, and only then."""
    versions = [offers.version]
    for honoured in (True, False, False, True):
        offers.learn(ORIGIN, honoured=honoured)
        versions.append(offers.version)
    offers.unreadable(ONE.url, ONE.filename)
    offers.unreadable(ONE.url, ONE.filename)
    assert [0, 0, 1, 1, 2, 3] == [*versions, offers.version]


def test_offers__is_bounded(offers: MetadataOffers) -> None:
    """However many hosts and wheels there are."""
    for number in range(2 * _HOSTS):
        offers.learn(f"https://h{number}.example/", honoured=False)
        offers.unreadable(f"{ORIGIN}{number}", "a.whl")
    assert (_HOSTS, _WHEELS) == (len(offers._hosts), len(offers._unreadable))
    assert offers.honours(f"https://h{2 * _HOSTS - 1}.example/") is False
