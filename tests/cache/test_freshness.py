"""When a stored copy is sent as it is, how long a stale one is held back, and dates."""

from __future__ import annotations

import pytest
from msgspec import structs

from proxy.cache.freshness import Patience, is_fresh, is_settled, may_store, parse_date, sendable_date
from proxy.model import Digest, Entry, UpstreamRequest, Validator
from tests.cache.conftest import SITE, HandClock
from tests.memory_upstream import MemoryUpstream, Scripted

_CHECKED = 1_000_000.0
_ENTRY = Entry("k", "http://index.example/", Digest("sha256", "0" * 64), 1, "", Validator(), _CHECKED, _CHECKED)
URL = "https://index.example/simple/demo/"
OTHER = "https://index.example/simple/other/"
ELSEWHERE = "https://elsewhere.example/simple/demo/"
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(0, True), (599, True), (600, False), (86_400 * 400, False)],
)
def test_is_fresh__by_age(age: float, fresh: bool) -> None:
    """A copy is fresh until its time to live is over."""
    assert fresh is is_fresh(_ENTRY, _CHECKED + age, 600)


def test_is_fresh__clock_set_back_a_little() -> None:
    """A small step back does not make everything be fetched again."""
    assert is_fresh(_ENTRY, _CHECKED - 5, 600)


def test_is_fresh__clock_set_back_a_day() -> None:
    """An entry from the future is not fresh for ever."""
    assert not is_fresh(_ENTRY, _CHECKED - 86_400, 600)


def test_is_fresh__client_wants_revalidation() -> None:
    """A client's no-cache asks upstream, but clients within two seconds share the answer."""
    assert is_fresh(_ENTRY, _CHECKED + 1, 600, revalidate=True)
    assert not is_fresh(_ENTRY, _CHECKED + 3, 600, revalidate=True)


def waits(patience: Patience) -> list[bool]:
    """Whether it is worth to wait for these."""
    return [patience.seconds(url) > 0 for url in (URL, OTHER, ELSEWHERE)]


def test_seconds__host_that_kept_somebody_waiting(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Who waited in vain waited for all pages of the host, for a while."""
    patience = Patience(upstream, clock)
    before = waits(patience)
    patience.ran_out(URL)

    assert ([True, True, True], [False, False, True]) == (before, waits(patience))
    clock.advance(31)
    assert [True, True, True] == waits(patience)


def test_seconds__host_that_answers_again(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A prompt answer is worth waiting for the next one; one that came late is not."""
    patience = Patience(upstream, clock)
    patience.ran_out(URL)
    asked = clock.monotonic()
    clock.advance(5)
    patience.answered(OTHER, asked)
    late = waits(patience)
    patience.answered(OTHER, clock.monotonic())

    assert ([False, False, True], [True, True, True]) == (late, waits(patience))


def test_seconds__known_to_be_down(upstream: MemoryUpstream, clock: HandClock) -> None:
    """Nobody waits for a host that is down."""
    patience = Patience(upstream, clock)
    upstream.down_urls.add(URL)

    assert [False, True, True] == waits(patience)


def test_ran_out__names_made_up(upstream: MemoryUpstream, clock: HandClock) -> None:
    """The hosts that are remembered are bounded; the latest is among them."""
    patience = Patience(upstream, clock)
    for number in range(3000):
        patience.ran_out(f"https://host{number}.example/")

    assert [1.0, 0.0] == [patience.seconds(f"https://host{number}.example/") for number in (0, 2999)]


@pytest.mark.parametrize(
    ("age", "least", "most"),
    [(0, 1, 1), (-5, 1, 1), (300, 1, 1), (3600, 1, 3), (86_400, 3, 9), (7 * 86_400, 10, 10), (90 * 86_400, 20, 20)],
)
def test_worth__by_age(upstream: MemoryUpstream, clock: HandClock, age: float, least: float, most: float) -> None:
    """The older a suite's copy is, the longer it is held back; never as long as apt waits."""
    assert least <= Patience(upstream, clock).worth(URL, age) <= most


def test_worth__host_that_takes_its_time(upstream: MemoryUpstream, clock: HandClock) -> None:
    """A host that answers late, but answers, is waited for; one that said nothing is not, until it does."""
    patience = Patience(upstream, clock)
    asked = clock.monotonic()
    clock.advance(2)
    patience.answered(URL, asked)
    slow = patience.worth(OTHER, 0)
    patience.ran_out(URL)
    silent = patience.worth(OTHER, 0)
    assert [True, False] == [patience.silent(url) for url in (OTHER, ELSEWHERE)]
    patience.answered(URL, asked)
    assert not patience.silent(OTHER)

    assert (6.0, 0.0, 6.0) == (slow, silent, patience.worth(OTHER, 0))
    assert 0.0 == patience.seconds(OTHER)
    upstream.down_urls.add(OTHER)
    assert 0.0 == patience.worth(OTHER, 0)


@pytest.mark.parametrize(
    ("honour", "field", "expected"),
    [
        (True, "private, No-Store", False),
        (True, "private, no-cache", True),
        (True, None, True),
        (False, "no-store", True),
    ],
)
async def test_may_store__where_the_settings_heed_it(
    upstream: MemoryUpstream, honour: bool, field: str | None, expected: bool
) -> None:
    """Upstream forbids storing by `no-store`, where the settings heed that."""
    upstream.on(URL, Scripted(headers={} if field is None else {"cache-control": field}))
    async with upstream.get(UpstreamRequest(URL, SITE)) as reply:
        assert expected is may_store(reply, structs.replace(SITE, honour_no_store=honour))


def test_parse_date() -> None:
    """The preferred form is read."""
    assert 784111777.0 == parse_date(DATE)


@pytest.mark.parametrize(
    "text",
    [None, "", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", f"{DATE}\r\nX: y", DATE.lower(),
     "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 24:49:37 GMT"],
)  # fmt: skip
def test_sendable_date__other_forms(text: str | None) -> None:
    """No other form is passed on."""
    assert parse_date(text) is None
    assert sendable_date(text) is None


def test_sendable_date() -> None:
    """The preferred form is passed on as it is."""
    assert DATE == sendable_date(DATE)


@pytest.mark.parametrize(("age", "expected"), [(60.0, True), (59.9, False), (-1.0, False), (1e6, True)])
def test_is_settled(age: float, expected: bool) -> None:
    """A minute must have passed."""
    assert expected == is_settled(DATE, 784111777.0 + age)
    assert not is_settled(DATE, None)
    assert not is_settled(None, 784111777.0 + age)
