"""Patience: how long somebody who could have a stale copy at once waits for upstream's word.

One rule for index pages, suites and kept files that are confirmed. Who waited in vain for a host waited for all: until
that host answers promptly again, or for a while, nobody else does.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from proxy.ports import Clock, Upstream

_SECONDS = 1.0  # what a client with a kept copy waits, at most
_SLOW = 30.0  # seconds for which a host that kept somebody waiting is not waited for
_HOSTS = 1024  # hosts remembered: more than that is somebody making up names


class Patience:
    """Mutable state: until when hosts are not waited for, in seconds of the monotonic clock, oldest first."""

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._slow: dict[str, float] = {}

    def seconds(self, url: str) -> float:
        """How long to wait for the host of `url`; 0 if it is known to be down, or slow."""
        return 0.0 if self.lost(url) or self._upstream.down(url) else _SECONDS

    def lost(self, url: str) -> bool:
        """Whether somebody waited for the host of `url` in vain not long ago."""
        return self._clock.monotonic() < self._slow.get(_host(url), 0.0)

    def ran_out(self, url: str) -> None:
        """Somebody waited for the host of `url` in vain."""
        self._slow.pop(_host(url), None)
        self._slow[_host(url)] = self._clock.monotonic() + _SLOW
        if len(self._slow) > _HOSTS:
            del self._slow[next(iter(self._slow))]

    def answered(self, url: str, since: float) -> None:
        """The host answered what it was asked at `since`, in seconds of the monotonic clock."""
        if self._clock.monotonic() - since > _SECONDS:
            self.ran_out(url)
        else:
            self._slow.pop(_host(url), None)


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()
