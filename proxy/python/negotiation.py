"""Which form of a page a client gets, and which forms are asked of upstream (PEP 691, RFC 9110 §12.5).

Called by `pages` and `project_list` with the headers as they came; `codings` reads its own header by `qualities`. Never
refuses: a 406 is optional in PEP 691, and old build back ends send an `Accept` that names none of the three forms, but
take HTML. Pure.
"""

from __future__ import annotations

import enum
from functools import lru_cache

UPSTREAM_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"


class Format(enum.Enum):
    """The form of a page; the value is its media type. In order of preference, if a client likes several the same."""

    JSON = "application/vnd.pypi.simple.v1+json"
    HTML = "application/vnd.pypi.simple.v1+html"
    TEXT = "text/html"

    @property
    def content_type(self) -> str:
        """The value of the `Content-Type` header."""
        return "text/html; charset=utf-8" if self is Format.TEXT else self.value


_NAMED = {form.value: form for form in Format} | {
    # PEP 691: the answer to `latest` carries the version's own type.
    "application/vnd.pypi.simple.latest+json": Format.JSON,
    "application/vnd.pypi.simple.latest+html": Format.HTML,
}
# A wildcard does not say what is liked best. Clients that send only `*/*` expect what PyPI sends then: HTML.
_WILD = {"*/*": (Format.TEXT,), "text/*": (Format.TEXT,), "application/*": (Format.JSON, Format.HTML)}


def named(query_format: str | None) -> Format | None:
    """The form that `?format=<query_format>` names, if any."""
    # In a query, a plus sign that is not encoded means a space.
    return _NAMED.get(query_format.strip().replace(" ", "+").lower()) if query_format is not None else None


@lru_cache(maxsize=128)
def choose(accept: str | None, query_format: str | None) -> Format:
    """The form for a client that sent `Accept: <accept>` and `?format=<query_format>`; the latter wins (PEP 691)."""
    asked = named(query_format)
    if asked is not None:
        return asked
    ranges = qualities(accept or "")
    liked: dict[Format, float] = {}
    for name, quality in ranges.items():
        form = _NAMED.get(name)
        if form is not None:
            liked[form] = max(quality, liked.get(form, 0.0))
    # RFC 9110 §12.5.1: a form that is named is not covered by a wildcard.
    wild = {
        form: ranges[name]
        for name in ("*/*", "application/*", "text/*")
        if name in ranges
        for form in _WILD[name]
        if form not in liked
    }
    best, most = Format.TEXT, 0.0
    for form, quality in [(form, liked[form]) for form in Format if form in liked] + list(wild.items()):
        if quality > most:
            best, most = form, quality
    return best


def qualities(header: str) -> dict[str, float]:
    """The members of a list header with their `q`. Other parameters are ignored."""
    found: dict[str, float] = {}
    for member in header.split(","):
        name, *parameters = (part.strip().lower() for part in member.split(";"))
        if not name:
            continue
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(value.strip())
        found[name] = max(quality, found.get(name, 0.0))
    return found


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
