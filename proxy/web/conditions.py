"""What a request's conditions ask for: ranges and validators (RFC 9110 §13, §14). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.errors import BadTarget
from proxy.model import Span

_ONE_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.ASCII | re.IGNORECASE)
_FAR = 10**18 - 2  # further than any file reaches
_TAG = re.compile(r'(?:W/)?"[^"]*"')


def parse_range(header: str | None) -> Span | None:
    """The single range of a `Range` header. None for no range, several, or another unit: the whole is right then.

    Raises BadTarget for a single byte range that makes no sense, as `bytes=9-3` or `bytes=-`.
    """
    if header is None or "," in header or not header.lower().startswith("bytes"):
        return None
    match = _ONE_RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        raise BadTarget("The Range header cannot be read; send one range, as bytes=0-99.")
    if not first:
        return Span(suffix=_number(last))
    if last and _number(last) < _number(first):
        raise BadTarget("The Range header ends before it begins; send one range, as bytes=0-99.")
    return Span(_number(first), _number(last) + 1 if last else None)


def _number(digits: str) -> int:
    """A number of any length (RFC 9110 §14.1.1). What is further than any file reaches is all the same."""
    digits = digits.lstrip("0")
    return min(int(digits or 0), _FAR) if len(digits) < len(str(_FAR)) + 1 else _FAR


def range_applies(if_range: str | None, etag: str | None, date: str | None = None) -> bool:
    """Whether a range may be answered as such: RFC 9110 §13.1.5, strong comparison.

    `date` is the Last-Modified if it may stand for the representation, and matches to the letter; else None.
    """
    return if_range is None or if_range.strip() in {etag, date} - {None}


def not_modified(
    if_none_match: str | None, etag: str | None, if_modified_since: str | None = None, date: str | None = None
) -> bool:
    """Whether the client's copy is the present one: RFC 9110 §13.1.2, weak comparison.

    `If-Modified-Since` counts only without the other (RFC 9110 §13.1.3). `date` as for `range_applies`: an earlier or
    later one is another copy, whichever is newer.
    """
    if if_none_match is None:
        return date is not None and if_modified_since is not None and if_modified_since.strip() == date
    if etag is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag.removeprefix("W/") == etag.removeprefix("W/") for tag in _TAG.findall(if_none_match))


def authorization(values: Sequence[str]) -> str | None:
    """What a request says of who asks (RFC 9110 §11.6.2), if it says one thing in one line of ASCII."""
    value = values[0] if len(values) == 1 else ""
    return value if value.isascii() and value.isprintable() and value else None
