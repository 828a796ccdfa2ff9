"""What is said of an address that nobody has asked for yet."""

from __future__ import annotations

import msgspec

from proxy.cache.forecast import DecidingSetting, Forecast, ListingPage, StoredCopy, Verdict
from proxy.model import Digest, Entry, Validator

_ENTRY = Entry("file:x", "http://x/", Digest("sha256", "ab" * 32), 5, "", Validator(), 10.0, 20.0)


def test_stored_copy__of_an_entry() -> None:
    """What the entry says of the bytes and of upstream; of none, nothing."""
    assert StoredCopy("ab" * 32, 5, 10.0, 20.0) == StoredCopy.of(_ENTRY)
    assert StoredCopy.of(None) is None


def test_forecast__as_json() -> None:
    """It comes through JSON unchanged: verbs read what a running cache says."""
    forecast = Forecast(
        kind="file",
        verdict=Verdict.REVALIDATE,
        why=("Because.",),
        address="/pypi/a.whl",
        mount="pypi",
        upstream="https://index.example/a.whl",
        settings=(DecidingSetting("apt.window", "20s"),),
        pages=(ListingPage("/pypi/simple/a/", 5.0, fresh=True, lists=False),),
        promised=f"sha256={'ab' * 32}",
        stored=StoredCopy.of(_ENTRY),
    )

    assert forecast == msgspec.json.decode(msgspec.json.encode(forecast), type=Forecast)
