"""Suites in one piece: the values of a suite's snapshots, and the rules by which one takes the place of another.

`snapshots` acts on them. Pure: `now` is an argument, in seconds since the epoch unless it says otherwise. Why it is so
is in ADR 3.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from proxy.apt.release import Listed, Release
from proxy.cache import dates
from proxy.errors import NotFound
from proxy.model import Digest, Entry, Validator

KEPT = 2  # former snapshots of a suite that stay known in any case
KEPT_FOR = 600.0  # seconds for which further ones do: longer than any client takes to fetch what belongs to one
KEPT_MOST = 64  # however often a suite changes
HOLD_MOST = 12 * 3600.0  # seconds for which upstream may be between two states before its newest is taken as it is
HOLD_VAIN = 600.0  # seconds for which an index is waited for that clients of the present snapshot cannot have either
USED_FOR = 7 * 86_400.0  # seconds after which an index that nobody asked for is not waited for any more


class Form(enum.Enum):
    """Where a suite's list is: signed in itself, or with a signature beside it. `value`: the file with the list."""

    INLINE = "InRelease"
    DETACHED = "Release"


@dataclass(frozen=True, slots=True)
class Held:
    """A Release file as it came. `body` is None where the store has it."""

    entry: Entry
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a suite. `settled`: its Last-Modified was old enough to be a validator when upstream sent it."""

    form: Form
    listing: Held  # `InRelease` or `Release`
    release: Release
    settled: bool = False
    signature: Held | None = None  # `Release.gpg`

    @property
    def name(self) -> str:
        """What tells it from all others: the sha256 of its list."""
        return self.listing.entry.digest.value

    def date_of(self, *, signature: bool = False) -> str | None:
        """The Last-Modified of its list, or of the signature beside that, if it may be sent on."""
        held = self.signature if signature else self.listing
        return dates.passable(held.entry.validator.last_modified) if held is not None else None

    @property
    def signature_name(self) -> str | None:
        """The sha256 of its signature."""
        return self.signature.entry.digest.value if self.signature else None


class Verdict(enum.Enum):
    """What becomes of a Release file that upstream sent."""

    SAME = "same"  # it is the present one
    ADOPT = "adopt"  # it takes the present one's place
    PREPARE = "prepare"  # it does, as soon as the used indexes are here as it lists them
    HOLD = "hold"  # it does not for now: it cannot be whole


def judge(  # noqa: PLR0911 one for each rule
    present: Snapshot | None, found: Snapshot, held_since: float | None, now: float
) -> Verdict:
    """Say what becomes of `found`. `held_since`: when upstream was first seen to be away from `present`."""
    if present is None:
        return Verdict.ADOPT
    if found.name == present.name and found.signature_name == present.signature_name:
        return Verdict.SAME
    if expired(present, now) or (held_since is not None and now - held_since >= HOLD_MOST):
        return Verdict.ADOPT
    if found.name == present.name:
        # Another signature of the same list: the one that is here is good. Half a change of both looks like this too.
        return Verdict.HOLD
    if found.signature_name is not None and found.signature_name == present.signature_name:
        return Verdict.HOLD  # no signature fits two lists
    before, after = present.release.date, found.release.date
    if before is not None and after is not None and after < before:
        return Verdict.HOLD  # a mirror that lags behind; apt would not take it either
    return Verdict.PREPARE


def expired(snapshot: Snapshot, now: float) -> bool:
    """Whether clients refuse the snapshot by its age (`Valid-Until`)."""
    until = snapshot.release.valid_until
    return until is not None and now > until


def needed(found: Release, used: Mapping[str, float], now: float) -> dict[str, Listed]:
    """The indexes that have to be had before `found` is adopted. `used`: paths, and when they were last asked for."""
    return {path: found.files[path] for path, last in used.items() if path in found.files and now - last < USED_FOR}


def blocking(
    failed: Mapping[str, Exception], kept: Container[str], held_since: float | None, now: float
) -> Exception | None:
    """The failure that keeps a new snapshot from being adopted, among those of the indexes that it needs.

    `kept`: what the present snapshot has. Waiting spares its clients something only for an index that is there, in
    another version; one that is missing, or that they cannot have, is waited for in case upstream is about to finish.
    """
    vain = held_since is not None and now - held_since >= HOLD_VAIN
    return next(
        (error for path, error in failed.items() if not vain or (path in kept and not isinstance(error, NotFound))),
        None,
    )


def conditions(present: Snapshot | None) -> dict[str, str]:
    """Header fields that ask upstream whether `present` still is what it has."""
    if present is None:
        return {}
    validator = present.listing.entry.validator
    fields = {}
    if validator.etag and not validator.etag.startswith("W/"):
        fields["If-None-Match"] = validator.etag
    # RFC 9110 §8.8.2.2: within a minute the file may have changed twice, and both have this date.
    if validator.last_modified and present.settled:
        fields["If-Modified-Since"] = validator.last_modified
    return fields


def settled(validator: Validator, date: str | None, now: float) -> bool:
    """Whether the Last-Modified of an answer with this `Date` is a validator; without a `Date`, of one from now."""
    return dates.settled(validator.last_modified, dates.parse(date) or now)


def dated(snapshot: Snapshot, others: Iterable[Snapshot], *, signature: bool = False) -> bool:
    """Whether a client that names the Last-Modified of the list (or its signature) can only mean this snapshot."""
    date = snapshot.date_of(signature=signature)
    return date is not None and all(
        other.name == snapshot.name or other.date_of(signature=signature) != date for other in others
    )


def retained(others: Iterable[Snapshot], left: Mapping[str, float], now: float) -> list[Snapshot]:
    """Which of the former snapshots, newest first, stay known. `left`: when each was given up; monotonic seconds."""
    return [
        snapshot
        for place, snapshot in enumerate(others)
        if place < KEPT or (place < KEPT_MOST and now - left.get(snapshot.name, now) < KEPT_FOR)
    ]


def listed_by_hash(snapshot: Snapshot, folder: str, digest: Digest) -> str | None:
    """The path of the file that `folder`'s by-hash has under `digest`, of any kind, both relative to the suite."""
    for path, listed in snapshot.release.files.items():
        if digest in listed.digests and path.rpartition("/")[0] == folder.rstrip("/"):
            return path
    return None
