"""What is known of each upstream host: how many connections it allows, and whether it honours ranges.

One connection more is opened only where the host is likely to allow it. Until a host honours a range, an error to a
ranged request may be about the range alone. `parallel_fetch` asks, and `file_opener`, and look-ahead through
`downloads`. Nothing of this outlives the process, and none of it is needed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from proxy.address_text import authority
from proxy.bounded import Bounded
from proxy.cache.flight import Location
from proxy.errors import (
    Crowded,
    NotAllowed,
    NotFound,
    UpstreamDenied,
    UpstreamThrottled,
    UpstreamUnreachable,
)

_HOSTS = 1024  # remembered
_PAUSE = 10.0  # seconds after a refusal before one more connection is tried; doubles with each further refusal
_LONGEST = 3600.0  # seconds
_SHOCK = 1.0  # seconds
_PATIENT = 3.0  # seconds without a head after which the range may be the reason,
_TRUSTING = 8.0  # and at a host that honours ranges
_DISTRUST = 600.0  # seconds for which files are requested without a range, where only the ranged request failed
_SUSPECT = 60.0  # seconds of that, where only the ranged request got no response
_ANSWERS = (NotFound, UpstreamDenied, UpstreamThrottled, UpstreamUnreachable)


@dataclass(eq=False, slots=True)
class _Waiting:
    begun: bool  # its clients have a part of the file already
    woken: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Host:
    busy: int = 0  # connections that downloads have open, or wait for;
    answered: int = 0  # those of them with a response
    proven: int = 1  # so many at once had responses
    limit: int | None = None  # so many are allowed; None: none was refused lately
    pause: float = _PAUSE
    again: float = 0.0  # when one more than the limit may be tried
    opened: float = 0.0  # when the last connection was opened
    brisk: bool | None = None  # whether one connection alone is fast; None: it is not known
    waiting: list[_Waiting] = field(default_factory=list)

    @property
    def allowance(self) -> tuple[int, int | None, float, float]:
        """What is known of how many connections the host allows."""
        return self.proven, self.limit, self.pause, self.again

    @allowance.setter
    def allowance(self, known: tuple[int, int | None, float, float]) -> None:
        self.proven, self.limit, self.pause, self.again = known


class HostLimits:
    """What is known of hosts. Mutable state: `_hosts` and `_ranges`, longest unused first."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` gives seconds that never go back."""
        self.now = now
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        self._ranges: Bounded[tuple[str, str], tuple[bool, float]] = Bounded(_HOSTS)

    # Connections

    def take(self, url: str) -> None:
        """A download opens a connection to the host of `url`; it is counted until `leave`."""
        host = self._host(url)
        host.busy += 1
        host.opened = self.now()

    def leave(self, url: str, *, answered: bool) -> None:
        """The connection is not used any more. `answered`: it was reported as such."""
        host = self._host(url)
        host.busy -= 1
        host.answered -= answered
        for waiting in host.waiting:
            waiting.woken.set()

    def room(self, url: str, most: int, begun: int = 0) -> int:
        """How many more connections the host is likely to allow, at most `most`. `begun`: so many are used at least."""
        host = self._host(url)
        return 0 if host.waiting else self._room(host, most, begun)

    def _room(self, host: _Host, most: int, begun: int = 0) -> int:
        if host.limit is None:
            return most
        allowed = host.limit + (self.now() >= host.again)
        return max(0, min(most, allowed - max(host.busy, begun)))

    @staticmethod
    def same(one: str, other: str) -> bool:
        """Whether two addresses are of one host."""
        return authority(one) == authority(other)

    def proven(self, url: str) -> int:
        """How many connections at once the host has served, and has not refused since."""
        return self._host(url).proven

    def busy(self, url: str) -> int:
        """How many connections downloads have open to the host."""
        return self._host(url).busy

    def answered(self, url: str) -> None:
        """The host responded on a connection that is counted."""
        host = self._host(url)
        host.answered += 1
        host.proven = max(host.proven, host.answered)
        if host.limit is not None and host.answered > host.limit:
            host.limit = host.answered
            host.pause = max(host.pause / 2, _PAUSE)
            host.again = self.now() + host.pause

    def refused(self, url: str, wait: float = 0.0) -> Callable[[], None]:
        """The host refused a connection, which is not counted any more. `wait`: seconds that it asks for.

        Gives the function that takes it back, where it turns out to say nothing of connections.
        """
        host = self._host(url)
        now, before = self.now(), host.allowance
        others = max(host.busy, 1)
        if host.limit is None:
            host.limit, host.pause = others, _PAUSE
        else:
            # Connections that were opened together are refused together: that counts once.
            host.pause = min(host.pause * 2, _LONGEST) if now >= host.again else host.pause
            host.limit = min(host.limit, others)
        host.proven = min(host.proven, host.limit)
        host.again = max(host.again, now + max(host.pause, wait))
        after = host.allowance

        def take_back() -> None:
            if host.allowance == after:  # else more was learnt since
                host.allowance = before

        return take_back

    def shaken(self, url: str, since: float) -> bool:
        """Whether a connection with a response since `since`, which broke now, was broken by one opened after it.

        Some hosts reset the first when a second comes.
        """
        opened = self._host(url).opened
        return opened > since and self.now() - opened < _SHOCK

    def brisk(self, url: str) -> bool:
        """Whether one connection alone is fast at this host, as far as is known."""
        return self._host(url).brisk is True

    def pace(self, url: str) -> bool | None:
        """The same; None where it is not known."""
        return self._host(url).brisk

    def note_pace(self, url: str, *, brisk: bool) -> None:
        """One connection alone was fast at this host, or not."""
        self._host(url).brisk = brisk

    def crowded(self, url: str) -> bool:
        """Whether a download waits for its only connection: further connections of others make room."""
        return bool(self._host(url).waiting)

    def pressed(self, url: str) -> bool:
        """Whether a download waits in the middle of its file: others take turns with it."""
        return any(waiting.begun for waiting in self._host(url).waiting)

    async def freed(self, url: str, patience: float, *, begun: bool) -> None:
        """Wait for a turn at a host that has no room, at most `patience` seconds.

        A download that has `begun` comes before all others; of two alike, the one that waits longer.
        """
        host, me = self._host(url), _Waiting(begun)
        host.waiting.append(me)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while not self._room(host, 1) or self._first(host) is not me:
                        me.woken.clear()
                        await me.woken.wait()
        finally:
            host.waiting.remove(me)
            for other in host.waiting:
                other.woken.set()

    @staticmethod
    def _first(host: _Host) -> _Waiting:
        return min(host.waiting, key=lambda waiting: not waiting.begun)

    # Ranges

    def honours(self, location: Location) -> bool | None:
        """Whether ranged requests work there: False where they fail, None where it is not known."""
        known, until = self._ranges.get(_realm(location), (None, 0.0))
        return known if self.now() < until else None

    def note(self, location: Location, *, ranges: bool, seconds: float = _DISTRUST) -> None:
        """Ranges work there; or they fail, and for some seconds files are requested without."""
        self._ranges[_realm(location)] = (ranges, float("inf") if ranges else self.now() + seconds)

    def patience(self, location: Location) -> float:
        """Seconds after which a request without a range is sent beside a ranged one that got no response."""
        return _TRUSTING if self.honours(location) else _PATIENT

    def suspect(self, location: Location) -> None:
        """Only a ranged request got no response there: for a minute files are requested without a range."""
        self.note(location, ranges=False, seconds=_SUSPECT)

    def final(self, location: Location, error: BaseException) -> bool:
        """Whether the failure of a ranged request is final; else a request without a range may get the file.

        A host that honours ranges means what it says of a file; elsewhere the range may be the reason. A request that
        waited in the cache's own queue has cost its time already.
        """
        if isinstance(error, (NotAllowed, Crowded)):
            return True
        return self.honours(location) is True and isinstance(error, _ANSWERS)

    def _host(self, url: str) -> _Host:
        name = authority(url)
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host()
            if len(self._hosts) > _HOSTS:
                idle = next((name for name, other in self._hosts.items() if not other.busy and other is not host), None)
                if idle is not None:
                    del self._hosts[idle]
        self._hosts.move_to_end(name)
        return host


def _realm(location: Location) -> tuple[str, str]:
    """One host may honour ranges below one index and not below another."""
    return location.site.mount, authority(location.url)
