"""What verbs and a running cache say to each other: JSON over HTTP/1.1, one address for each verb.

`GET /stats?largest=N` gives Stats. `POST /who` takes a PullWish and gives PulledFiles.
`POST /explain` takes an ExplainWish and gives an Explanation.
`POST /plan` takes a Wish and gives a CleanPlan. `POST /clean` (with a Wish) and
`POST /verify` give lines of JSON while they work: Progress, DamagedFile, and at the end CleanEnd, VerifyEnd or Refusal.
An error is a Refusal with a status of 4xx or 5xx. Sizes are bytes, times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Protocol, TypeAlias

import msgspec

from proxy.control.explanation import ExplainWish, Explanation
from proxy.errors import PullthroughError
from proxy.history.periods import PeriodSum

DEFAULT_LARGEST = 10
_LONGEST_PATTERN = 200  # characters
_STARS = 4  # in a pattern: the time that one takes grows with each
_MOST_PULLS = 100_000


class Amount(msgspec.Struct, frozen=True):
    """What is stored of one index and kind.

    A body at several indexes counts at each. `requests`, `hits` and `from_cache` (bytes) are
    since the cache was started; None while none runs.
    """

    index: str
    kind: str
    files: int
    size: int
    requests: int | None = None
    hits: int | None = None
    from_cache: int | None = None


class NamedFile(msgspec.Struct, frozen=True):
    """A stored file. `confirmed`: when upstream last gave or confirmed it."""

    name: str
    index: str
    kind: str
    size: int
    project: str | None = None
    version: str | None = None
    confirmed: float | None = None


class Stats(msgspec.Struct, frozen=True):
    """What a cache holds, each body once in `files` and `size`. `since`: when it was started; None: none runs."""

    version: str
    folder: str
    since: float | None
    files: int
    size: int
    limit: int
    free: int | None  # what the file system has left
    broken_off: int  # of downloads that may be resumed
    amounts: tuple[Amount, ...]
    largest: tuple[NamedFile, ...]
    saved: int | None = None  # sent less fetched since then; it can fall
    periods: tuple[PeriodSum, ...] = ()  # of the history, which outlives restarts; none without one


class PullWish(msgspec.Struct, frozen=True):
    """Whose requests are looked for.

    `wanted`: a project, the name of a file, a pattern of either (`lite*`), or the sha256 of a file. `version`: of
    the project; or a pattern. `since`: seconds since the epoch. `client`: its address. `most`: rows in the answer.
    """

    wanted: str
    version: str | None = None
    since: float = 0.0
    client: str | None = None
    most: int = 1000

    def wrong(self) -> str | None:
        """Why it cannot be answered; None if it can."""
        for text in filter(None, (self.wanted, self.version)):
            if len(text) > _LONGEST_PATTERN or text.count("*") > _STARS:
                return f"a pattern has at most {_LONGEST_PATTERN} characters and {_STARS} stars"
        if not 1 <= self.most <= _MOST_PULLS:
            return f"most: a number from 1 to {_MOST_PULLS}"
        return None if self.wanted else "name a project or a file"


class PulledFile(msgspec.Struct, frozen=True):
    """What one client got of one file. `size`: bytes sent; `kept`: whether the file is still stored.

    `client_name`, `client_version`: what the client's program calls itself. `build`: what it says of the build that it
    is part of. `sha256`: of the file. None where it is not known.
    """

    index: str
    name: str
    client: str
    requests: int
    size: int
    first: float
    last: float
    kept: bool
    project: str | None = None
    version: str | None = None
    sha256: str | None = None
    client_name: str | None = None
    client_version: str | None = None
    build: str | None = None


class PulledFiles(msgspec.Struct, frozen=True):
    """Who got what was looked for, the last first. `more`: whether rows were left off."""

    rows: tuple[PulledFile, ...]
    more: bool


class Order(Enum):
    """Which files are listed first.

    The largest, those that upstream confirmed longest ago, the longest unused, or those that clients got most often.
    """

    SIZE = "size"
    AGE = "age"
    UNUSED = "unused"
    REQUESTS = "requests"


class StoredFile(msgspec.Struct, frozen=True):
    """A stored file with what tells it from all others. `place`: in the order of use, the longest unused is 0.

    `pinned`: it is never evicted. `requests`: how often clients got it, as far as the history has it; None: it has
    nothing of this kind of file, or there is none.
    """

    sha256: str
    file: NamedFile
    place: int
    pinned: bool = False
    requests: int | None = None


class FoundFiles(msgspec.Struct, frozen=True):
    """Some of the stored files that were looked for. `files` and `size`: of all that were found."""

    files: int
    size: int
    shown: tuple[StoredFile, ...]


class Action(Enum):
    """What is done to stored files: removed, confirmed with upstream before they are sent, pinned, or unpinned."""

    DELETE = "delete"
    REFRESH = "refresh"
    PIN = "pin"
    UNPIN = "unpin"


class ActionWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done to which stored files. `files`: their sha256."""

    do: Action
    files: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)], ...],
        msgspec.Meta(min_length=1, max_length=1000),
    ]


class ActionEnd(msgspec.Struct, frozen=True):
    """What was done. `files`: to how many; `size`: their bytes; `left`: how many others it means nothing for.

    `undeleted` and `reason`: as of CleanEnd; with what lies beside the files.

    Nothing is left to do for what is not stored any more. Only what may change under its address is refreshed, and only
    what does not is pinned.
    """

    do: Action
    files: int
    size: int
    left: int
    undeleted: int = 0
    reason: str | None = None


class Wish(msgspec.Struct, frozen=True):
    """What is to be removed: all for which each given condition holds.

    `index`: a mount, "apt" or an archive's host; `version`: only with a project; `older_than`: seconds since upstream
    last gave or confirmed it; `larger_than`: bytes; `down_to`: of these the longest unused, until the cache has so many
    bytes; `everything`: all, also downloads that broke off.
    """

    index: str | None = None
    project: str | None = None
    version: str | None = None
    older_than: float | None = None
    larger_than: int | None = None
    down_to: int | None = None
    everything: bool = False

    def wrong(self) -> str | None:
        """Why it cannot be fulfilled; None if it can."""
        conditions = (self.index, self.project, self.older_than, self.larger_than, self.down_to)
        given = any(one is not None for one in conditions)
        if self.version is not None and self.project is None:
            return "a version is one of a project: name that, too"
        if self.everything and given:
            return "everything is everything: give no other condition"
        if not self.everything and not given:
            return "say what to remove"
        return None


class CleanPlan(msgspec.Struct, frozen=True):
    """What a Wish would remove now. `addresses`: that are forgotten alone, since others name the same bytes."""

    files: int
    size: int
    addresses: int
    broken_off: int
    left: int  # bytes that would still be stored
    amounts: tuple[Amount, ...]
    largest: tuple[NamedFile, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing would change."""
        return not (self.files or self.addresses or self.broken_off)


class Progress(msgspec.Struct, frozen=True, tag=True):
    """How far the work is, in bytes."""

    done: int
    of: int


class DamagedFile(msgspec.Struct, frozen=True, tag=True):
    """A file was not what was stored. It is dropped, and fetched again when it is asked for."""

    file: NamedFile


class CleanEnd(msgspec.Struct, frozen=True, tag=True):
    """What was removed. `size` includes what broken off downloads left.

    `undeleted`: files that could not be deleted; `reason`: what the disk says of the first of them, for a person.
    """

    files: int
    size: int
    addresses: int
    undeleted: int = 0
    reason: str | None = None


class VerifyEnd(msgspec.Struct, frozen=True, tag=True):
    """How verifying ended.

    `damaged`: dropped; `lost`: had no file any more; `found`: files that the index did not know; `unknown`: could not
    be read now; `undeleted`: of the damaged ones, those that could not be deleted. `reason`: as of CleanEnd.
    """

    files: int
    size: int
    damaged: int
    lost: int
    found: int
    unknown: int
    undeleted: int = 0
    reason: str | None = None


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """Why it could not be done, for a person."""

    reason: str


Message: TypeAlias = Progress | DamagedFile | CleanEnd | VerifyEnd | Refusal


class ControlError(PullthroughError):
    """The cache did not do what it was asked for. The text says why."""


class StoreControl(Protocol):
    """The store of a cache, as verbs see it: a running one's, or a folder's. All calls block.

    They raise ControlError, StoreError, or OSError. `close` may be called twice.
    """

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats: ...
    def who(self, wish: PullWish) -> PulledFiles: ...
    def explain(self, wish: ExplainWish) -> Explanation: ...
    def plan(self, wish: Wish) -> CleanPlan: ...
    def clean(self, wish: Wish) -> Iterator[Message]: ...
    def verify(self) -> Iterator[Message]: ...
    def close(self) -> None: ...
