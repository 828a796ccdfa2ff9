"""Events: what happened, as frozen values, for metrics and logs.

Every room passes them to a `ports.Observer`; `app` connects `metrics` and the access log.
"""

from __future__ import annotations

import msgspec

from proxy.model import Kind, Outcome, Source
from proxy.user_agent import UNKNOWN, UserAgent

OWN = "-"  # the upstream of the program's own pages
HITS = frozenset({Outcome.HIT, Outcome.SHARED, Outcome.STALE, Outcome.REVALIDATED})  # no download of their own


class Served(msgspec.Struct, frozen=True):
    """One answered request. Sizes in bytes, times in seconds.

    `first_byte`: from the request until its answer began to leave; None: nothing left. `stale_age`: of a copy that
    upstream did not confirm, how long ago it last did; None: the answer was not stale.
    `project`: of an index page. `sha256`: of a file, all of it, as hexadecimal digits, where it is known by then.
    """

    upstream: str  # mount, or OWN
    kind: Kind
    outcome: Outcome
    status: int
    sent: dict[Source, int]
    seconds: float
    method: str
    path: str
    client: str = "-"
    first_byte: float | None = None
    stale_age: float | None = None
    agent: UserAgent = UNKNOWN
    project: str | None = None
    sha256: str | None = None


class Fetched(msgspec.Struct, frozen=True):
    """Body bytes from upstream, reported as they arrive."""

    upstream: str
    size: int


class UpstreamAsked(msgspec.Struct, frozen=True):
    """One request on the wire, each hop and each further try: its answer's head has arrived, or will not.

    `status`: of the answer; 0: none came. `seconds`: from the request to the head of its answer. `conditional`:
    whether it asked if a stored copy is still right (RFC 9110 §13.1). `cancelled`: the cache needed no answer any more,
    and nobody knows whether one would have come.
    """

    upstream: str
    status: int
    seconds: float
    conditional: bool
    cancelled: bool = False


class UpstreamFailed(msgspec.Struct, frozen=True):
    """A request to upstream failed; `reason` as in `errors.UpstreamError`."""

    upstream: str
    reason: str


class Mismatched(msgspec.Struct, frozen=True):
    """A whole body came that does not have the digest that the index promised."""

    upstream: str


class Discarded(msgspec.Struct, frozen=True):
    """A download ended, and some of the bytes that it fetched are neither kept nor were sent. Size in bytes."""

    upstream: str
    size: int


class Foreseen(msgspec.Struct, frozen=True):
    """Something was asked for ahead of a client. Size in bytes, as it is stored.

    `outcome`: `fetched`, it came from upstream; later `used` or `unused`, whether a client asked for it in time.
    """

    upstream: str
    kind: Kind
    outcome: str
    size: int


class Evicted(msgspec.Struct, frozen=True):
    """A blob was removed to make room. Size in bytes. `reason`: `limit` (the setting `disk`) or `disk` (it is full)."""

    size: int
    reason: str = "limit"


class Stored(msgspec.Struct, frozen=True):
    """What the store holds after a change: bytes and blobs."""

    size: int
    blobs: int


class DiskMeasured(msgspec.Struct, frozen=True):
    """The file system of the data folder, in bytes, and the seconds for which the longest unused blob was not used."""

    free: int | None  # None: it does not say
    size: int | None
    longest_unused: float | None  # None: nothing is stored, or its last use is not known


class Flying(msgspec.Struct, frozen=True):
    """The number of downloads under way changed."""

    count: int


class Tunnelled(msgspec.Struct, frozen=True):
    """Bytes that went through a tunnel, by direction, reported as they pass."""

    to_client: int = 0
    to_host: int = 0


class WarmRun(msgspec.Struct, frozen=True):
    """A run of a `[[warm]]` of the settings ended. `came_size` in bytes; `refused`: what could not be had, and why.

    `outcome`: `complete`, `incomplete` (some could not be had), `failed` (it ended without a report).
    """

    name: str
    outcome: str
    here: int = 0
    came: int = 0
    came_size: int = 0
    refused: tuple[str, ...] = ()


Event = (
    Served
    | Fetched
    | UpstreamAsked
    | UpstreamFailed
    | Mismatched
    | Discarded
    | Foreseen
    | Evicted
    | Stored
    | DiskMeasured
    | Flying
    | Tunnelled
    | WarmRun
)
