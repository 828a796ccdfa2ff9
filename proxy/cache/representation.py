"""What a service hands to the edge: a body, wherever it is, and what an answer must say of it (RFC 9110 §3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import msgspec

from proxy.cache import freshness
from proxy.cache.downloads import Body
from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.model import Blob, Digest, Kind, Outcome, Source

LASTING = "max-age=365000000, immutable, public"  # what PyPI says of files; uv and pip act on it
CHANGING = "no-cache"  # of what may change at any time: it is revalidated at each use


class Representation(msgspec.Struct, frozen=True):
    """One answer's content. `etag` has its quotes. `fresh_until`: seconds of the monotonic clock, for reuse.

    `stands`: whether what it was judged by is still so; an answer that is reused is held to it each time.

    `age`: seconds since upstream last confirmed what was kept; None where it did so for this very answer.

    `project`: of an index page.

    `last_modified` is upstream's, in the one form that RFC 9110 §5.6.7 lets be sent; `dated` tells that no other
    representation of this address is known to have it, so that it may stand for this one in a condition.
    """

    body: bytes | Body
    kind: Kind
    mount: str
    content_type: str
    cache_control: str
    etag: str | None
    outcome: Outcome
    source: Source
    fresh_until: float = 0.0
    encoding: str | None = None  # content coding of the body
    vary: str | None = None
    last_modified: str | None = None
    dated: bool = False
    stands: Callable[[], bool] | None = None
    age: float | None = None
    project: str | None = None

    @classmethod
    def of_file(  # noqa: PLR0913 what an answer says of a file
        cls,
        body: bytes | Body,
        *,
        kind: Kind,
        mount: str,
        source: Source,
        digest: Digest | None,
        cache_control: str,
        content_type: str = "application/octet-stream",
        outcome: Outcome | None = None,
        fresh_until: float = 0.0,
        last_modified: str | None = None,
        dated: bool = False,
        age: float | None = None,
    ) -> Self:
        """A file, with `digest` as its ETag. `last_modified` is upstream's: what cannot be sent is left out."""
        date = None if last_modified is None else freshness.sendable_date(last_modified)
        return cls(
            body=body,
            kind=kind,
            mount=mount,
            content_type=content_type,
            cache_control=cache_control,
            etag=etag_of(digest),
            outcome=source.outcome if outcome is None else outcome,
            source=source,
            fresh_until=fresh_until,
            last_modified=date,
            dated=dated and date is not None,
            age=age,
        )

    @property
    def size(self) -> int | None:
        """Length of the whole representation in bytes, if known."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size

    @property
    def sha256(self) -> str | None:
        """The sha256 of a file, as hexadecimal digits: of the stored body, or as it is promised; None: not known."""
        if isinstance(self.body, Blob):
            return self.body.digest.value
        algorithm, _, value = (self.etag or "").strip('"').partition(":")
        return value if algorithm == "sha256" and self.kind is Kind.FILE else None


def etag_of(digest: Digest | None) -> str | None:
    """The ETag of a body whose digest is known: the same while it is fetched, and when it is stored."""
    return f'"{digest.algorithm}:{digest.value}"' if digest else None


def sha256_of(body: Body, promised: Digest | None = None) -> Digest | None:
    """The sha256 of a body: that of a stored one, or the one that an index has `promised`; None if it is not known."""
    digest = body.digest if isinstance(body, Blob) else promised
    return digest if digest is not None and digest.algorithm == "sha256" else None


def last_modified_of(body: Body, stored: str | None) -> str | None:
    """The Last-Modified of a body: what upstream just said, or what was `stored`."""
    if isinstance(body, Flight):
        return body.validator.last_modified
    return body.last_modified if isinstance(body, Passthrough) else stored
