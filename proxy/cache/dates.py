"""Dates of HTTP: which of upstream's may be passed on, and which tell one version of a file from another. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FORM = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2}) GMT", re.ASCII)
_SETTLED = 60.0  # seconds


def parse(text: str | None) -> float | None:
    """Seconds since the epoch of a date in the preferred form (RFC 9110 §5.6.7); None for anything else."""
    match = _FORM.fullmatch(text or "")
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%d %b %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def passable(text: str | None) -> str | None:
    """The date if it may be sent on: apt fails on a `Last-Modified` that it cannot read."""
    return text if parse(text) is not None else None


def settled(last_modified: str | None, then: float | None) -> bool:
    """Whether nothing else can have that `Last-Modified` any more at `then` (RFC 9110 §8.8.2.2)."""
    modified = parse(last_modified)
    return modified is not None and then is not None and then - modified >= _SETTLED
