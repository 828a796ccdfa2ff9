"""For which wheels a page may promise metadata."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.model import Entry, Site, Target, Validator
from proxy.python.beside import EVERYTHING
from proxy.python.offering import _HOSTS, _REFUSED, _WHEELS, Offering
from proxy.python.page import File, Page
from proxy.python.renderings import Parsed
from proxy.python.routes import file_key
from tests.flows.asking import SteppedClock
from tests.memory_store import MemoryStore, stored

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
ORIGIN = "https://files.example/"
ONE = File("demo-1.0-py3-none-any.whl", f"{ORIGIN}a/demo-1.0-py3-none-any.whl")
TWO = File("demo-2.0-py3-none-any.whl", f"{ORIGIN}a/demo-2.0-py3-none-any.whl")


def parsed(*files: File) -> Parsed:
    """A page."""
    return Parsed(Page("demo", files, html=True), {file.filename: [file] for file in files}, False, frozenset({ORIGIN}))


@pytest.fixture
def clock() -> SteppedClock:
    """The time."""
    return SteppedClock()


@pytest.fixture
def store() -> MemoryStore:
    """The disk."""
    return MemoryStore()


@pytest.fixture
def offering(store: MemoryStore, clock: SteppedClock) -> Offering:
    """Nothing is known yet."""
    return Offering(store, clock)


async def hold(store: MemoryStore, file: File, ending: str = "") -> None:
    """Keep a file, or what lies beside it."""
    blob = await stored(store, file.url.encode())
    key = file_key(Target("pypi", "files.example", f"a/{file.filename}{ending}"))
    await store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 0.0, 0.0))


def offered(offering: Offering, *files: File) -> list[bool]:
    """For which of the files metadata is promised."""
    said = offering.offered(SITE, "demo", parsed(*files))
    return [said.covers(file) for file in files]


def test_offered__of_a_host_that_is_not_known(offering: Offering) -> None:
    """Nearly all give parts of files: it is promised until a host turns out not to."""
    assert EVERYTHING is offering.offered(SITE, "demo", parsed(ONE))
    offering.learn(ORIGIN, honoured=True)
    assert EVERYTHING is offering.offered(SITE, "demo", parsed(ONE))


async def test_offered__of_a_host_that_gives_no_parts(offering: Offering, store: MemoryStore) -> None:
    """Of what is small, or kept, or has its metadata kept."""
    offering.learn(ORIGIN, honoured=False)
    small = replace(TWO, filename="demo-3.0-py3-none-any.whl", url=f"{ORIGIN}x", size=1000)
    assert [False, False, True] == offered(offering, ONE, TWO, small)
    await hold(store, ONE)
    assert [True, False, True] == offered(offering, ONE, TWO, small)
    await hold(store, TWO, ".metadata")
    assert [True, True, True] == offered(offering, ONE, TWO, small)


async def test_offered__what_is_kept_of_another_name(offering: Offering, store: MemoryStore) -> None:
    """A file of the same name at another address is another file."""
    offering.learn(ORIGIN, honoured=False)
    await hold(store, ONE)
    assert [False] == offered(offering, replace(ONE, url=f"{ORIGIN}b/{ONE.filename}"))
    assert [False] == offered(offering, replace(ONE, url="ftp://files.example/x"), TWO)[1:]


def test_honours__may_be_mended(offering: Offering, clock: SteppedClock) -> None:
    """What a host refuses counts for a while; what it gave once, until it does not any more."""
    offering.learn(ORIGIN, honoured=False)
    assert offering.honours(ORIGIN) is False
    clock.advance(_REFUSED)
    assert offering.honours(ORIGIN) is None
    assert [True] == offered(offering, ONE)
    offering.learn(ORIGIN, honoured=True)
    clock.advance(10 * _REFUSED)
    assert offering.honours(ORIGIN)


def test_unreadable__is_not_promised_again(offering: Offering) -> None:
    """A wheel that has no metadata to give, and no other."""
    offering.unreadable(ONE.url, ONE.filename)
    assert [False, True] == offered(offering, ONE, TWO)
    assert EVERYTHING is offering.offered(SITE, "demo", parsed(TWO))


def test_version__tells_of_news_only(offering: Offering) -> None:
    """Pages that are remembered are made again when something else is known, and only then."""
    versions = [offering.version]
    for honoured in (True, False, False, True):
        offering.learn(ORIGIN, honoured=honoured)
        versions.append(offering.version)
    offering.unreadable(ONE.url, ONE.filename)
    offering.unreadable(ONE.url, ONE.filename)
    assert [0, 0, 1, 1, 2, 3] == [*versions, offering.version]


def test_offering__is_bounded(offering: Offering) -> None:
    """However many hosts and wheels there are."""
    for number in range(2 * _HOSTS):
        offering.learn(f"https://h{number}.example/", honoured=False)
        offering.unreadable(f"{ORIGIN}{number}", "a.whl")
    assert (_HOSTS, _WHEELS) == (len(offering._hosts), len(offering._unreadable))
    assert offering.honours(f"https://h{2 * _HOSTS - 1}.example/") is False
