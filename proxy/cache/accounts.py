"""What became of the bytes that a download fetched, and what was wrong with them, as events.

A download is told of when it has ended and no client is being sent any of it any more: until then they may still take
what it has.
"""

from __future__ import annotations

from proxy.cache.flight import Flight
from proxy.errors import DigestDiffers, PullthroughError, WrongBytes
from proxy.events import Discarded, Mismatched, UpstreamFailed
from proxy.ports import Observer


def report_wrong(error: PullthroughError, mount: str, observer: Observer) -> None:
    """Tell of bytes that are not the file; the adapter of the network cannot know. Other errors it has told itself."""
    if isinstance(error, WrongBytes):
        observer(UpstreamFailed(mount, error.reason))
    if isinstance(error, DigestDiffers):
        observer(Mismatched(mount))


def report_discarded(flight: Flight, observer: Observer, *, kept: bool) -> None:
    """Tell of the bytes that came for nothing. `kept`: what is in the spool file stays on the disk."""

    def report() -> None:
        useful = flight.extents.total - flight.resumed if kept else flight.taken.total
        if (lost := flight.received - max(useful, 0)) > 0:
            observer(Discarded(flight.wanted.site.mount, lost))

    flight.when_left(report)
