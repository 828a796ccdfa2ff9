"""When a kept document may be served without asking upstream.

Flow: `documents` asks for a verdict before each answer; FRESH is served, STALE is revalidated first.
Scope: life times come from the settings of the upstream, not from its Cache-Control: several indexes say `no-store`
on pages that are meant to be installed from (RFC 9111 §5.2.2 is left out on purpose). A client's `no-cache`
(RFC 9111 §5.2.1.4) asks for a revalidation; its `max-age=0`, which pip before 26.2 sends with every page, does not.
Reading: RFC 9111 §4.2.
"""

from __future__ import annotations

import enum

from proxy.model import Entry

# A clock that was set back leaves entries "from the future"; beyond this they count as stale, not as fresh for ever.
_TOLERANCE = 60.0
# Askers that want a revalidation within this many seconds of the last one share it.
_COALESCE = 2.0


class Verdict(enum.Enum):
    """What may be done with a kept copy."""

    FRESH = "fresh"
    STALE = "stale"


def judge(entry: Entry, now: float, ttl: float, *, revalidate: bool = False) -> Verdict:
    """Say whether `entry` may be served at `now` (seconds since the epoch) if it lives `ttl` seconds."""
    age = now - entry.checked
    if age < -_TOLERANCE:
        return Verdict.STALE
    return Verdict.FRESH if max(age, 0.0) < (min(ttl, _COALESCE) if revalidate else ttl) else Verdict.STALE
