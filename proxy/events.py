"""Events: what happened, as frozen values, for metrics and logs.

Every room passes them to a `ports.Observer`; `app` connects `metrics` and the access log.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.model import Kind, Outcome, Source
from proxy.user_agent import UNKNOWN, UserAgent

OWN = "-"  # the upstream of the program's own pages
HITS = frozenset({Outcome.HIT, Outcome.SHARED, Outcome.STALE, Outcome.REVALIDATED})  # no download of their own


@dataclass(frozen=True, slots=True)
class Served:
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


@dataclass(frozen=True, slots=True)
class Fetched:
    """Body bytes from upstream, reported as they arrive."""

    upstream: str
    size: int


@dataclass(frozen=True, slots=True)
class UpstreamAsked:
    """One request on the wire, each hop and each further try: its answer's head has arrived, or will not.

    `status`: of the answer; 0: none came. `seconds`: from the request to the head of its answer. `conditional`:
    whether it asked if a stored copy is still right (RFC 9110 §13.1).
    """

    upstream: str
    status: int
    seconds: float
    conditional: bool


@dataclass(frozen=True, slots=True)
class UpstreamFailed:
    """A request to upstream failed; `reason` as in `errors.UpstreamError`."""

    upstream: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """A whole body came that does not have the digest that the index promised."""

    upstream: str


@dataclass(frozen=True, slots=True)
class Discarded:
    """A download ended, and some of the bytes that it fetched are neither kept nor were sent. Size in bytes."""

    upstream: str
    size: int


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Something was asked for ahead of a client. Size in bytes, as it is stored.

    `outcome`: `fetched`, it came from upstream; later `used` or `unused`, whether a client asked for it in time.
    """

    upstream: str
    kind: Kind
    outcome: str
    size: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """A blob was removed to make room. Size in bytes. `reason`: `limit` (the setting `disk`) or `disk` (it is full)."""

    size: int
    reason: str = "limit"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds after a change: bytes and blobs."""

    size: int
    blobs: int


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """The file system of the data folder, in bytes, and the seconds for which the longest unused blob was not used."""

    free: int | None  # None: it does not say
    size: int | None
    longest_unused: float | None  # None: nothing is stored, or its last use is not known


@dataclass(frozen=True, slots=True)
class Flying:
    """The number of downloads under way changed."""

    count: int


@dataclass(frozen=True, slots=True)
class Tunnelled:
    """Bytes that went through a tunnel, by direction, reported as they pass."""

    to_client: int = 0
    to_host: int = 0


@dataclass(frozen=True, slots=True)
class WarmRun:
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
