"""Representations of what archives have: what each kind of file says of itself (RFC 9110 §8). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.apt.policy import MOUNT
from proxy.cache.downloads import Body
from proxy.cache.representation import LASTING, Representation
from proxy.model import Blob, Digest, Kind, Outcome, Source

# A client's `Cache-Control: max-age=0` is sent with every index; nobody between it and here is to answer for us.
_ASK = "no-cache"


@dataclass(frozen=True, slots=True)
class Dated:
    """A Last-Modified, and whether it stands for this version of the file only."""

    last_modified: str | None = None
    only: bool = False


def whole(  # noqa: PLR0913, PLR0917 what a Release file or a document says of itself
    body: bytes | Body, digest: Digest, dated: Dated, kind: Kind, outcome: Outcome, source: Source
) -> Representation:
    """A Release file or a document: to be asked for anew each time."""
    return Representation.of_file(
        body,
        kind=kind,
        mount=MOUNT,
        source=source,
        digest=digest,
        cache_control=_ASK,
        content_type="text/plain; charset=utf-8" if kind is Kind.RELEASE else "application/octet-stream",
        outcome=outcome,
        last_modified=dated.last_modified,
        dated=dated.only,
    )


def file(  # noqa: PLR0913 what a file says of itself
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
    return Representation.of_file(
        body,
        kind=kind,
        mount=MOUNT,
        source=source,
        digest=digest if digest is not None and digest.algorithm == "sha256" else None,
        cache_control=LASTING if lasting else _ASK,
        fresh_until=fresh_until,
        last_modified=dated.last_modified,
        dated=dated.only,
    )
