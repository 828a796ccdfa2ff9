"""Answers: what the head of upstream's answer means for the one who asked.

Called by the client for every head that is not a redirect. Pure rules over status and headers, so that a 304 that
nobody asked for, or the wrong part of a file, is refused before a byte of it is used. Never reads a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from proxy.errors import NotFound, PullthroughError, UpstreamBroken, UpstreamDenied, UpstreamThrottled, Withheld

TRANSIENT = frozenset((408, 500, 502, 504))  # worth another try at once
_NOT_ABLE = frozenset((501, 505))  # says something of the request, as 4xx do
_MISSING = frozenset((404, 410))
_DENIED = frozenset((401, 403, 407, 451))
_FORBIDDEN = 403
_THROTTLED = frozenset((429, 503))
_PART = 206

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ASKED = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_GIVEN = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LONGEST_WAIT = 86_400  # seconds: a Retry-After beyond a day is passed on as a day
# RFC 9110 §5.3: these are no lists; two that differ leave open how long the body is, or which body it is.
_FRAMING = frozenset(("content-length", "content-range", "content-encoding", "transfer-encoding", "location"))
_LISTS = frozenset(("accept-ranges", "cache-control", "connection", "link", "vary", "via", "warning"))


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The fields of an answer under lower-case names, decoded as ISO 8859-1 (RFC 9110 §5.5).

    Of a repeated field the first counts, except of lists, which are joined. Raises UpstreamBroken for control
    characters, for framing that can be read in two ways (RFC 9112 §6.3), and for lengths that are none.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        if _CONTROL.search(raw_value) or _CONTROL.search(raw_name):
            raise UpstreamBroken("Upstream sent control characters in its headers.")
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        before = headers.get(name)
        if before is None:
            headers[name] = value
        elif name in _LISTS:
            headers[name] = f"{before}, {value}"
        elif name in _FRAMING and before != value:
            raise UpstreamBroken("Upstream contradicts itself in its headers.")
    length = headers.get("content-length")
    if length is not None and ("transfer-encoding" in headers or not _NUMBER.fullmatch(length)):
        raise UpstreamBroken("Upstream does not say clearly how long its answer is.")
    return headers


def refusal(
    status: int, headers: Mapping[str, str], asked: Mapping[str, str], now: float, *, known: bool = False
) -> PullthroughError | None:
    """Why an answer cannot be used; None if it can: 200, or a 206, 304 or 416 that was asked for.

    `headers` as of `headers_of`, `asked` with lower-case names, `now` in seconds since the epoch. `known`: upstream was
    told who asks. To strangers, stores of objects say 403 of what is not there; to somebody they know it means no.
    """
    conditional = "if-none-match" in asked or "if-modified-since" in asked
    if status == _PART:
        return _wrong_part(headers, asked.get("range"))
    if status == 200 or (status == 304 and conditional) or (status == 416 and "range" in asked):  # noqa: PLR2004
        return None
    if status in _MISSING or (status == _FORBIDDEN and not known):
        return _absence(status)
    if status in _DENIED:
        return UpstreamDenied("Upstream refuses to give this; check the credentials it wants, or its settings.")
    if status in _THROTTLED:
        wait = retry_after(headers.get("retry-after"), now)
        return UpstreamThrottled("Upstream is busy and asks to come back later.", wait)
    return UpstreamBroken(f"Upstream answered with status {status}, which is of no use here. Try again later.")


def _absence(status: int) -> NotFound:
    if status == _FORBIDDEN:
        return Withheld("Upstream has no such project or file, or gives it only to those whom it knows.")
    return NotFound("Upstream has no such project or file.")


def unwell(status: int) -> bool:
    """Whether a status says that the server fails, and may fail at other addresses too."""
    return status in TRANSIENT or (status >= 500 and status not in _NOT_ABLE)  # noqa: PLR2004


def part_size(status: int, headers: Mapping[str, str]) -> int | None:
    """How many bytes the body of a checked 206 has; None for other answers."""
    match = _GIVEN.fullmatch(headers.get("content-range", "")) if status == _PART else None
    return int(match[2]) - int(match[1]) + 1 if match else None


def retry_after(value: str | None, now: float) -> int | None:
    """Seconds to wait (RFC 9110 §10.2.3: a number of seconds, or a date), at most a day; None if it says nothing."""
    if value is None:
        return None
    if _NUMBER.fullmatch(value):
        return min(int(value), _LONGEST_WAIT)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return max(0, min(round(seconds), _LONGEST_WAIT))


def _wrong_part(headers: Mapping[str, str], asked: str | None) -> UpstreamBroken | None:
    """Why a 206 is not the part that was asked for (RFC 9110 §15.3.7); None if it is."""
    wanted = _ASKED.fullmatch(asked or "")
    given = _GIVEN.fullmatch(headers.get("content-range", ""))
    if wanted is None or given is None:
        return UpstreamBroken("Upstream sent a part of the file that nobody asked for, or does not say which part.")
    first, last = int(given[1]), int(given[2])
    total = None if given[3] == "*" else int(given[3])
    length = headers.get("content-length")
    if first > last or (total is not None and last >= total) or (length and int(length) != last - first + 1):
        return UpstreamBroken("Upstream contradicts itself about which part of the file it sent.")
    if wanted[1]:
        right = first == int(wanted[1]) and (not wanted[2] or last <= int(wanted[2]))
    else:  # RFC 9110 §14.1.2: `bytes=-n`, the last n bytes
        right = total is not None and last == total - 1 and first == max(0, total - int(wanted[2] or 0))
    return None if right else UpstreamBroken("Upstream answered another range than the one asked for.")
