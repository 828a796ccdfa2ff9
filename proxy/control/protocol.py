"""What verbs and a running cache say to each other: JSON over HTTP/1.1, one address for each verb.

`GET /stats?largest=N` gives Stats. `POST /plan` takes a Wish and gives a CleanPlan. `POST /clean` (with a Wish) and
`POST /verify` give lines of JSON while they work: Progress, DamagedFile, and at the end CleanEnd, VerifyEnd or Refusal.
An error is a Refusal with a status of 4xx or 5xx. Sizes are bytes, times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

import msgspec

from proxy.errors import PullthroughError

DEFAULT_LARGEST = 10


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
    saved: int | None = None  # sent less fetched since then; it can fall

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
    """What was removed. `size` includes what broken off downloads left."""

    files: int
    size: int
    addresses: int


class VerifyEnd(msgspec.Struct, frozen=True, tag=True):
    """How verifying ended.

    `damaged`: dropped; `lost`: had no file any more; `found`: files that the index did not know; `unknown`: could not
    be read now.
    """

    files: int
    size: int
    damaged: int
    lost: int
    found: int
    unknown: int


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
    def plan(self, wish: Wish) -> CleanPlan: ...
    def clean(self, wish: Wish) -> Iterator[Message]: ...
    def verify(self) -> Iterator[Message]: ...
    def close(self) -> None: ...
