"""When a stored copy is sent without asking upstream, and how long a client that could have one waits for upstream.

Freshness (RFC 9111 §4.2): a fresh copy is sent, a stale one is revalidated first. Life times come from the settings of
the upstream, not from its Cache-Control: several indexes say `no-store` on pages that are meant to be installed from
(RFC 9111 §5.2.2 is left out on purpose). A client's `no-cache` (RFC 9111 §5.2.1.4) asks for a revalidation; its
`max-age=0`, which pip before 26.2 sends with every page, does not.

Patience: a client that waited in vain for a host waited for all. Until that host answers promptly again, or for a
while, nobody else waits. Pages and stored files are many, and stay right for long: they are worth a second. A suite is
one question for many packages, and an old state of it may list what is gone: the older its copy is, the more it is
worth, and a host that answers in its own time is waited for.

Dates are those of HTTP (RFC 9110 §5.6.7).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from proxy.address_text import authority
from proxy.bounded import Bounded
from proxy.model import Entry, Site
from proxy.ports import Clock, Reply, Upstream

# A clock that was set back leaves entries "from the future"; beyond this they count as stale, not as fresh for ever.
_TOLERANCE = 60.0  # seconds
COALESCE = 2.0  # seconds: clients that want a revalidation share one that is so recent
# Seconds for which "not found" is remembered, unless the life time is shorter: a new release must appear soon.
NEGATIVE = 10.0

_SECONDS = 1.0  # that a client waits at most which could have a stored copy
_SLOW = 30.0  # seconds for which nobody waits for a host that kept a client waiting
_WEEK = 7 * 86_400.0
_WORTH = 10.0  # seconds for which a suite's copy of a week ago is held back; one of minutes ago: `_SECONDS`
_MOST = 20.0  # seconds, less than what apt waits for a byte
_PACES = 3.0  # times as long as a host took last, for which it is waited for
_HOSTS = 1024  # hosts remembered: more than that is somebody making up names

_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2}) GMT", re.ASCII)
_SETTLED = 60.0  # seconds


def is_fresh(entry: Entry, now: float, ttl: float, *, revalidate: bool = False) -> bool:
    """Whether `entry` may be sent at `now` (seconds since the epoch) if it lives `ttl` seconds.

    `revalidate`: the client wants upstream to be asked.
    """
    age = now - entry.checked
    return age >= -_TOLERANCE and max(age, 0.0) < (min(ttl, COALESCE) if revalidate else ttl)


def may_store(reply: Reply, site: Site) -> bool:
    """Whether a response may be stored: upstream may forbid it (RFC 9111 §5.2.2.5) where the settings heed that."""
    return not (site.honour_no_store and "no-store" in reply.headers.get("cache-control", "").lower())


@lru_cache(maxsize=256)  # all that a host answers within a second has one date
def parse_date(text: str | None) -> float | None:
    """Seconds since the epoch of a date in the preferred form (RFC 9110 §5.6.7); None for anything else."""
    match = _DATE.fullmatch(text or "")
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%d %b %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def sendable_date(text: str | None) -> str | None:
    """The date if it may be sent on: apt fails on a `Last-Modified` that it cannot read."""
    return text if parse_date(text) is not None else None


def is_settled(last_modified: str | None, then: float | None) -> bool:
    """Whether no other version can have that `Last-Modified` any more at `then` (RFC 9110 §8.8.2.2)."""
    modified = parse_date(last_modified)
    return modified is not None and then is not None and then - modified >= _SETTLED


class Patience:
    """How long clients wait for each host.

    Mutable state, by host and oldest first: until when nobody waits for it, in seconds of the monotonic clock; of a
    host that answered, how many seconds it took last; of one that did not, until when that counts.
    """

    def __init__(self, upstream: Upstream, clock: Clock) -> None:
        self._upstream = upstream
        self._clock = clock
        self._slow: Bounded[str, float] = Bounded(_HOSTS)
        self._silent: Bounded[str, float] = Bounded(_HOSTS)
        self._paces: Bounded[str, float] = Bounded(_HOSTS)

    def seconds(self, url: str) -> float:
        """How long to wait for the host of `url`; 0 if it is known to be down, or slow."""
        return 0.0 if self.lost(url) or self._upstream.down(url) else _SECONDS

    def worth(self, url: str, age: float) -> float:
        """How long to wait for the host of `url` before a suite's copy of this `age` is served; both in seconds.

        0 if the host is known to be down, or said nothing while a client waited for it.
        """
        if self._upstream.down(url) or self.silent(url):
            return 0.0
        by_age: float = max(_SECONDS, _WORTH * (max(age, 0.0) / _WEEK) ** (1 / 3))
        return min(max(by_age, _PACES * self._paces.get(authority(url), 0.0)), _MOST)

    def lost(self, url: str) -> bool:
        """Whether a client waited for the host of `url` in vain not long ago."""
        return self._clock.monotonic() < self._slow.get(authority(url), 0.0)

    def silent(self, url: str) -> bool:
        """Whether the host of `url` said nothing while a client waited for it, not long ago."""
        return self._clock.monotonic() < self._silent.get(authority(url), 0.0)

    def ran_out(self, url: str) -> None:
        """A client waited for the host of `url` in vain."""
        until = self._clock.monotonic() + _SLOW
        self._slow[authority(url)] = until
        self._silent[authority(url)] = until

    def answered(self, url: str, since: float) -> None:
        """The host answered a request of `since`, in seconds of the monotonic clock."""
        host, took = authority(url), self._clock.monotonic() - since
        self._silent.pop(host, None)
        self._paces[host] = took
        if took > _SECONDS:
            self._slow[host] = self._clock.monotonic() + _SLOW
        else:
            self._slow.pop(host, None)
