"""What became of a download's bytes, as events."""

from __future__ import annotations

from proxy.cache.accounts import report_discarded, report_wrong
from proxy.cache.flight import Flight
from proxy.errors import DigestDiffers, UpstreamTimeout, WrongBytes
from proxy.events import Discarded, Event, Mismatched, UpstreamFailed
from tests.cache.conftest import wanted


def _flight(received: int, written: int, taken: int, resumed: int = 0) -> Flight:
    flight = Flight(wanted())
    flight.received, flight.resumed = received, resumed
    flight.written(0, written)
    flight.took(0, taken)
    return flight


async def test_report_discarded__what_is_kept_is_of_use() -> None:
    """What came twice, and what an earlier run had already, did not have to come."""
    events: list[Event] = []
    report_discarded(_flight(1000, 900, 0), events.append, kept=True)
    report_discarded(_flight(300, 900, 0, resumed=600), events.append, kept=True)
    report_discarded(_flight(300, 900, 900, resumed=650), events.append, kept=True)

    assert [Discarded("pypi", 100), Discarded("pypi", 50)] == events


async def test_report_discarded__what_was_sent_is_of_use() -> None:
    """Without a place on the disk it is what clients got, once they have all that they will get."""
    events: list[Event] = []
    report_discarded(_flight(1000, 900, 1000), events.append, kept=False)
    flight = _flight(1000, 900, 100)
    with flight.followed(lambda: None):
        report_discarded(flight, events.append, kept=False)
        assert [] == events
        flight.took(50, 400)
    with flight.followed(lambda: None):  # one that was told of the flight while it still flew
        pass

    assert [Discarded("pypi", 600)] == events, "once"


def test_report_wrong__only_what_the_network_cannot_know() -> None:
    """A wrong digest is one kind of wrong bytes; other failures are told elsewhere."""
    events: list[Event] = []
    report_wrong(UpstreamTimeout("slow"), "pypi", events.append)
    report_wrong(WrongBytes("a page"), "pypi", events.append)
    report_wrong(DigestDiffers("another"), "pypi", events.append)

    failed = UpstreamFailed("pypi", "wrong_bytes")
    assert [failed, failed, Mismatched("pypi")] == events
