"""Representations of what archives have: what each kind of file says of itself (RFC 9110 §8). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.apt.policy import MOUNT
from proxy.cache import freshness
from proxy.cache.file_opener import Body
from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.model import Blob, Digest, Kind, Outcome, Source

# A client's `Cache-Control: max-age=0` is sent with every index; nobody between it and here is to answer for us.
_ASK = "no-cache"
_LASTING = "max-age=365000000, immutable, public"


@dataclass(frozen=True, slots=True)
class Dated:
    """A Last-Modified, and whether it stands for this version of the file only."""

    last_modified: str | None = None
    only: bool = False


def whole(  # noqa: PLR0913, PLR0917 the parts of a representation
    body: bytes | Body, digest: Digest, dated: Dated, kind: Kind, outcome: Outcome, source: Source
) -> Representation:
    """A Release file or a document: to be asked for anew each time."""
    date = freshness.sendable_date(dated.last_modified)
    return Representation(
        body=body,
        kind=kind,
        mount=MOUNT,
        content_type="text/plain; charset=utf-8" if kind is Kind.RELEASE else "application/octet-stream",
        cache_control=_ASK,
        etag=f'"{digest.algorithm}:{digest.value}"',
        outcome=outcome,
        source=source,
        last_modified=date,
        dated=dated.only and date is not None,
    )


def file(  # noqa: PLR0913 the parts of a representation
    body: Body,
    expected: Digest | None,
    dated: Dated,
    kind: Kind,
    source: Source,
    *,
    lasting: bool,
    fresh_until: float = 0.0,
) -> Representation:
    """A file. `lasting`: its name stands for these bytes for ever. `fresh_until`: until when it may be given again."""
    digest = body.digest if isinstance(body, Blob) else expected
    date = freshness.sendable_date(dated.last_modified)
    return Representation(
        body=body,
        kind=kind,
        mount=MOUNT,
        content_type="application/octet-stream",
        cache_control=_LASTING if lasting else _ASK,
        etag=f'"{digest.algorithm}:{digest.value}"' if digest and digest.algorithm == "sha256" else None,
        outcome=source.outcome,
        source=source,
        fresh_until=fresh_until,
        last_modified=date,
        dated=dated.only and date is not None,
    )


def told(body: Body, kept: str | None) -> str | None:
    """The Last-Modified of a body: as upstream just said, or as was `kept`."""
    if isinstance(body, Flight):
        return body.validator.last_modified
    return body.last_modified if isinstance(body, Passthrough) else kept
