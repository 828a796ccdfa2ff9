"""The head of an upstream response: its fields, what they say of the body, and whether the response can be used.

`reply` parses each head once, and the client refuses what is of no use. Pure rules over status and headers, so that a
304 that nobody asked for, or the wrong part of a file, is refused before a byte of it is used. Never reads a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

from proxy.errors import NotFound, PullthroughError, UpstreamBroken, UpstreamDenied, UpstreamThrottled, Withheld
from proxy.model import Part, Validator

TRANSIENT = frozenset((408, 500, 502, 504))  # worth another try at once
_NOT_ABLE = frozenset((501, 505))  # says something of the request, as 4xx do
_MISSING = frozenset((404, 410))
_DENIED = frozenset((401, 403, 407, 451))
_OK = 200
_PARTIAL = 206
_NOT_MODIFIED = 304
_FORBIDDEN = 403
_UNSATISFIABLE = 416
_THROTTLED = frozenset((429, 503))

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LONGEST_WAIT = 86_400  # seconds: a Retry-After beyond a day is passed on as a day
# RFC 9110 §5.3: these are no lists; two that differ leave open how long the body is, or which body it is.
_FRAMING = frozenset(("content-length", "content-range", "content-encoding", "transfer-encoding", "location"))
# RFC 9112 §7: no other one was asked for (`TE`), and none is removed here.
_TRANSFER_CODINGS = frozenset(("chunked", "identity"))
_LISTS = frozenset(("accept-ranges", "cache-control", "connection", "link", "vary", "via", "warning"))


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The fields of a response under lower-case names, decoded as ISO 8859-1 (RFC 9110 §5.5).

    The first of a repeated field counts; lists are joined. Raises UpstreamBroken for control characters, for framing
    that can be read in two ways (RFC 9112 §6.3), for a length that is no number, and for a transfer coding but chunked.
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
    coding = headers.get("transfer-encoding", "chunked").lower()
    if coding not in _TRANSFER_CODINGS:
        raise UpstreamBroken("Upstream sent its answer in a transfer coding that was not asked for.")
    length = headers.get("content-length")
    if length is not None and ("transfer-encoding" in headers or not _NUMBER.fullmatch(length)):
        raise UpstreamBroken("Upstream does not say clearly how long its answer is.")
    return headers


def part_of(status: int, headers: Mapping[str, str]) -> Part | None:
    """Which bytes a 206 has, as it says itself (RFC 9110 §14.4); None for other responses, or if it does not say it."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "")) if status == _PARTIAL else None
    if match is None:
        return None
    return Part(int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3]))


def size_of(status: int, headers: Mapping[str, str]) -> int | None:
    """The length of the whole representation in bytes, as a 200 or a 206 says it; None if it does not."""
    if status == _OK:
        length = headers.get("content-length", "")
        return int(length) if _NUMBER.fullmatch(length) else None
    part = part_of(status, headers)
    return None if part is None else part.size


def validator_of(headers: Mapping[str, str]) -> Validator:
    """What tells versions of the representation apart (RFC 9110 §8.8)."""
    return Validator(headers.get("etag"), headers.get("last-modified"))


def refusal(
    status: int, headers: Mapping[str, str], requested: Mapping[str, str], now: float, *, known: bool = False
) -> PullthroughError | None:
    """Why a response cannot be used; None if it can: 200, or a 206, 304 or 416 that was asked for.

    `headers` as of `headers_of`; `requested`: the request's, with lower-case names; `now` in seconds since the epoch.
    `known`: the request carried credentials. Without them S3-like stores answer 403 for missing keys; with them 403
    means forbidden.
    """
    conditional = "if-none-match" in requested or "if-modified-since" in requested
    if status == _PARTIAL:
        return _wrong_part(part_of(status, headers), headers.get("content-length"), requested.get("range"))
    if (
        status == _OK
        or (status == _NOT_MODIFIED and conditional)
        or (status == _UNSATISFIABLE and "range" in requested)
    ):
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
        return Withheld("Upstream has no such project or file, or wants credentials for it.")
    return NotFound("Upstream has no such project or file.")


def is_server_failure(status: int) -> bool:
    """Whether a status says that the server itself fails, and may fail at other addresses too."""
    return status in TRANSIENT or (status >= 500 and status not in _NOT_ABLE)  # noqa: PLR2004


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


def _wrong_part(part: Part | None, length: str | None, requested: str | None) -> UpstreamBroken | None:
    """Why a 206 is not the part that was asked for (RFC 9110 §15.3.7); None if it is."""
    wanted = _RANGE.fullmatch(requested or "")
    if wanted is None or part is None:
        return UpstreamBroken("Upstream sent a part of the file that nobody asked for, or does not say which part.")
    start, end, size = part.start, part.end, part.size
    if start >= end or (size is not None and end > size) or (length and int(length) != end - start):
        return UpstreamBroken("Upstream contradicts itself about which part of the file it sent.")
    if wanted[1]:
        right = start == int(wanted[1]) and (not wanted[2] or end <= int(wanted[2]) + 1)
    else:  # RFC 9110 §14.1.2: `bytes=-n`, the last n bytes
        right = size is not None and end == size and start == max(0, size - int(wanted[2] or 0))
    return None if right else UpstreamBroken("Upstream answered another range than the one asked for.")
