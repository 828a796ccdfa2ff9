"""Patience: how long somebody who could have a stale copy at once waits for upstream's word.

Who waited in vain for a host waited for all: until that host answers promptly again, or for a while, nobody else does.
Pages and kept files that are confirmed are many, and right for long: a second is the most that they are worth. A suite
is one question for many packages, and an old state of it may list what is not there any more: it is worth the more, the
older its copy is, and a host that answers in its own time is waited for.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from proxy.ports import Clock, Upstream

_SECONDS = 1.0  # what a client with a kept copy waits, at most
_SLOW = 30.0  # seconds for which a host that kept somebody waiting is not waited for
_WEEK = 7 * 86_400.0
_WORTH = 10.0  # seconds for which a copy of a week ago is held back; one of minutes ago: `_SECONDS`
_MOST = 20.0  # seconds, less than what apt waits for a byte
_PACES = 3.0  # how many times as long as it took last a host is waited for
_HOSTS = 1024  # hosts remembered: more than that is somebody making up names


class Patience:
    """Mutable state, by host and oldest first: until when it is not waited for, in seconds of the monotonic clock.

    Of a host that answered, also how many seconds it took last; of one that did not, until when that counts.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._slow: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._paces: dict[str, float] = {}

    def seconds(self, url: str) -> float:
        """How long to wait for the host of `url`; 0 if it is known to be down, or slow."""
        return 0.0 if self.lost(url) or self._upstream.down(url) else _SECONDS

    def worth(self, url: str, age: float) -> float:
        """How long to wait for the host of `url` before a suite's copy of this `age` is served; both in seconds.

        0 if the host is known to be down, or said nothing while somebody waited for it.
        """
        host = _host(url)
        if self._upstream.down(url) or self._clock.monotonic() < self._silent.get(host, 0.0):
            return 0.0
        by_age: float = max(_SECONDS, _WORTH * (max(age, 0.0) / _WEEK) ** (1 / 3))
        return min(max(by_age, _PACES * self._paces.get(host, 0.0)), _MOST)

    def lost(self, url: str) -> bool:
        """Whether somebody waited for the host of `url` in vain not long ago."""
        return self._clock.monotonic() < self._slow.get(_host(url), 0.0)

    def ran_out(self, url: str) -> None:
        """Somebody waited for the host of `url` in vain."""
        until = self._clock.monotonic() + _SLOW
        _note(self._slow, _host(url), until)
        _note(self._silent, _host(url), until)

    def answered(self, url: str, since: float) -> None:
        """The host answered what it was asked at `since`, in seconds of the monotonic clock."""
        host, took = _host(url), self._clock.monotonic() - since
        self._silent.pop(host, None)
        _note(self._paces, host, took)
        if took > _SECONDS:
            _note(self._slow, host, self._clock.monotonic() + _SLOW)
        else:
            self._slow.pop(host, None)


def _note(table: dict[str, float], host: str, value: float) -> None:
    table.pop(host, None)
    table[host] = value
    if len(table) > _HOSTS:
        del table[next(iter(table))]


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()
