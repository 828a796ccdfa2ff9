"""Health: which hosts failed so lately that nobody should wait for them.

The client tells it of failures and successes; services ask through `Upstream.down`. Never refuses a request: whether
to try all the same is the service's business.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from proxy.bounded import Bounded
from proxy.model import Ask, Kind

_FIRST = 1.0  # seconds for which a host counts as down after one failure
_LONGEST = 30.0  # seconds, however many failures in a row
_HOSTS = 1024  # hosts and their parts remembered; more than that is somebody making up names


@dataclass(frozen=True, slots=True)
class Back:
    """A host's back-off: `until` is in seconds of the monotonic clock, `failures` counts those in a row."""

    failures: int
    until: float


def after_failure(before: Back | None, now: float, at_least: float = 0.0) -> Back:
    """The back-off after one more failure: 1 s, doubling, up to 30 s. `at_least`: upstream's wish, in seconds.

    Failures of requests that were under way together count as one: only a failure after the back-off doubles it.
    """
    failures = 1 if before is None else before.failures + (now >= before.until)
    wait = max(_FIRST * 2 ** min(failures - 1, 10), at_least)
    until = now + min(wait, _LONGEST)
    return Back(failures, until if before is None else max(until, before.until))


class Aspect(enum.Enum):
    """What of a host fails: each has its own back-off, and an answer of one says nothing of the other."""

    LINE = "line"  # there is no connection: nothing can be had
    DOCUMENTS = "documents"
    FILES = "files"

    @classmethod
    def of(cls, ask: Ask) -> Aspect:
        """Where a request belongs."""
        return cls.DOCUMENTS if ask.kind in (Kind.PAGE, Kind.RELEASE, Kind.INDEX) else cls.FILES


class Health:
    """The back-offs of all hosts, and of proxies on the way to them.

    Mutable state: `_backs`, oldest failure first; `_proxies`, by host the proxy that it was asked through last. Changed
    only on the event loop.
    """

    def __init__(self) -> None:
        self._backs: Bounded[tuple[str, Aspect], Back] = Bounded(_HOSTS)
        self._proxies: Bounded[str, str] = Bounded(_HOSTS)

    def failed(self, authority: str, part: Aspect, now: float, at_least: float = 0.0) -> None:
        """The host could not be reached, failed, said nothing in time, or wants to be left alone for some seconds."""
        self._backs[authority, part] = after_failure(self._backs.get((authority, part)), now, at_least)

    def answered(self, authority: str, part: Aspect) -> None:
        """The host gave an answer."""
        self._backs.pop((authority, Aspect.LINE), None)
        self._backs.pop((authority, part), None)

    def asked(self, authority: str, proxy: str | None) -> None:
        """The host is asked now, through this proxy or straight."""
        if proxy is not None:
            self._proxies[authority] = proxy
        else:
            self._proxies.pop(authority, None)

    def down(self, authority: str, part: Aspect, now: float) -> bool:
        """Whether this part of the host is within its back-off, or the line to it or to the last proxy on the way."""
        keys = (authority, part), (authority, Aspect.LINE), (self._proxies.get(authority, ""), Aspect.LINE)
        return any((back := self._backs.get(key)) is not None and now < back.until for key in keys)
