"""What a service hands to the edge: a body, wherever it is, and what an answer must say of it (RFC 9110 §3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.model import Blob, Kind, Outcome, Source


@dataclass(frozen=True, slots=True)
class Representation:
    """One answer's content. `etag` has its quotes. `fresh_until`: seconds of the monotonic clock, for reuse.

    `stands`: whether what it was judged by is still so; an answer that is reused is held to it each time.

    `age`: seconds since upstream last confirmed what was kept; None where it did so for this very answer.

    `last_modified` is upstream's, in the one form that RFC 9110 §5.6.7 lets be sent; `dated` tells that no other
    representation of this address is known to have it, so that it may stand for this one in a condition.
    """

    body: bytes | Blob | Flight | Passthrough
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

    @property
    def size(self) -> int | None:
        """Length of the whole representation in bytes, if known."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size
