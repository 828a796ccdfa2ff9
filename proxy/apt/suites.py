"""Snapshots of suites: their values, and the rules by which one takes the place of another.

`snapshots` acts on them. Pure: `now` is an argument, in seconds since the epoch unless a function says otherwise.
ADR 3 says why suites are served from snapshots; `judge` is the table of ADR 10.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from proxy.apt.release import Listed, Release
from proxy.cache import freshness
from proxy.errors import NotFound
from proxy.model import Digest, Entry, Validator

FORMER = 2  # former snapshots of a suite that always stay known
FORMER_FOR = 600.0  # seconds for which further ones stay known: longer than any client takes to fetch their indexes
FORMER_MOST = 64  # former snapshots, however often a suite changes
HOLD_MOST = 12 * 3600.0  # seconds for which upstream may be between two states before its newest is taken as it is
HOLD_SHORT = 600.0  # seconds to wait for an index that clients of the present snapshot cannot have either
USED_FOR = 7 * 86_400.0  # seconds after which an index that nobody asked for is not waited for any more
# Seconds for which upstream has to stay at one state before that is more than a moment of a change, or a late mirror.
STAYS_SIGNED = 10.0  # a new signature of the same list, with a date that is settled; one that is newer than its list
STAYS_YOUNG = 60.0  # the same with a date of just now
STAYS_BACK = 120.0  # an older state
DOUBTED_FOR = 2.0  # seconds for which a list is served whose signature does not date with it
_SLACK = 60.0  # seconds by which a signature may seem older than its list: files are not written all at once
_CLOCKS = 5.0  # seconds between the clock that signs and the one that dates files
_SAME_LENGTH = 8  # bytes by which the lengths of two signatures of one key may differ


class ReleaseForm(enum.Enum):
    """Where a suite's list is: signed in itself, or with a signature beside it. `value`: the file with the list."""

    INLINE = "InRelease"
    DETACHED = "Release"


@dataclass(frozen=True, slots=True)
class Received:
    """A Release file, or its signature, as upstream sent it. `body` is None where the store has it.

    `settled`: its Last-Modified was old enough to be a validator when upstream sent it (RFC 9110 §8.8.2.2).
    """

    entry: Entry
    body: bytes | None = None
    settled: bool = False

    @property
    def modified(self) -> float | None:
        """When upstream says that it was written; seconds since the epoch."""
        return freshness.parse_date(self.entry.validator.last_modified)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a suite."""

    form: ReleaseForm
    listing: Received  # `InRelease` or `Release`
    release: Release
    signature: Received | None = None  # `Release.gpg`

    @property
    def name(self) -> str:
        """The sha256 of its list, which tells it from all other snapshots."""
        return self.listing.entry.digest.value

    def date_of(self, *, signature: bool = False) -> str | None:
        """The Last-Modified of its list, or of the signature beside that, if it may be sent to clients."""
        received = self.signature if signature else self.listing
        return freshness.sendable_date(received.entry.validator.last_modified) if received is not None else None

    @property
    def signature_name(self) -> str | None:
        """The sha256 of its signature."""
        return self.signature.entry.digest.value if self.signature else None

    @property
    def pair(self) -> tuple[str, str | None]:
        """What tells list and signature from all other pairs."""
        return self.name, self.signature_name


@dataclass(frozen=True, slots=True)
class Away:
    """Upstream has something other than the present snapshot. Times are in seconds since the epoch."""

    since: float
    pair: tuple[str, str | None] = ("", None)  # what it had at the last look
    pair_since: float = 0.0


class Decision(enum.Enum):
    """What becomes of a Release file that upstream sent."""

    SAME = "same"  # it is the present one
    ADOPT = "adopt"  # it takes the present one's place
    PREPARE = "prepare"  # it does, as soon as the used indexes are cached as it lists them
    HOLD = "hold"  # it does not for now: it cannot be whole


def judge(present: Snapshot | None, found: Snapshot, away: Away | None, now: float, *, gone: bool = False) -> Decision:
    """Decide what becomes of `found`, by the table of ADR 10. `gone`: upstream lacks packages of the present one."""
    if present is None:
        return Decision.ADOPT
    if found.pair == present.pair:
        return Decision.SAME
    if expired(present, now) or (away is not None and now - away.since >= HOLD_MOST):
        return Decision.ADOPT
    stayed = now - away.pair_since if away is not None and away.pair == found.pair else 0.0
    if found.name == present.name:
        return Decision.ADOPT if _signed_again(present, found, stayed) else Decision.HOLD
    return Decision.PREPARE if _succeeds(present, found, stayed, gone=gone) else Decision.HOLD


def _signed_again(present: Snapshot, found: Snapshot, stayed: float) -> bool:
    """Whether another signature of the same list is good. Half a change of list and signature looks like it."""
    if found.signature is None:
        return False
    if present.signature is None or doubtful(present):
        return True
    before, after = present.signature, found.signature
    if before.modified is not None and after.modified is not None and after.modified < before.modified:
        return False
    if abs(after.entry.size - before.entry.size) > _SAME_LENGTH:
        return True
    return stayed >= (STAYS_SIGNED if after.settled else STAYS_YOUNG)


def _succeeds(present: Snapshot, found: Snapshot, stayed: float, *, gone: bool) -> bool:
    """Whether another list may take the present one's place, once its indexes are cached."""
    if (
        present.signature is not None
        and not doubtful(present)
        and found.signature_name in (None, present.signature_name)
    ):
        return gone and stayed >= STAYS_BACK  # no signature fits two lists, and nobody stops signing by intent
    if (doubtful(found) and stayed < HOLD_SHORT) or (_signed_late(found) and stayed < STAYS_SIGNED):
        return False
    before, after = present.release.date, found.release.date
    older = before is not None and after is not None and after < before
    return not older or gone or stayed >= STAYS_BACK


def doubtful(snapshot: Snapshot) -> bool:
    """Whether the signature is older than the list, as far as upstream's dates tell: it is of another list then."""
    if snapshot.signature is None:
        return False
    listed, signed, date = snapshot.listing.modified, snapshot.signature.modified, snapshot.release.date
    if listed is None or signed is None:
        return False
    # Some archives give all their files one old date, which tells nothing of when they were signed.
    honest = date is not None and listed >= date - _CLOCKS
    return signed < listed - _SLACK or (honest and date is not None and signed < date - _CLOCKS)


def _signed_late(snapshot: Snapshot) -> bool:
    """Whether the signature is much newer than the list: it was signed again, or it is the next list's."""
    if snapshot.signature is None:
        return False
    listed, signed = snapshot.listing.modified, snapshot.signature.modified
    return listed is not None and signed is not None and signed > listed + _SLACK


def trusted_for(snapshot: Snapshot, window: float) -> float:
    """Seconds for which the snapshot is served without another look; `window` if nothing speaks against it."""
    unsigned = snapshot.form is ReleaseForm.DETACHED and snapshot.signature is None and not snapshot.listing.settled
    return min(window, DOUBTED_FOR) if unsigned or doubtful(snapshot) else window


def still_away(away: Away | None, found: Snapshot | None, now: float) -> Away:
    """Update `away` after one more look, which found this; None: nothing whole."""
    away = away or Away(now, pair_since=now)
    if found is None or found.pair == away.pair:
        return away
    return Away(away.since, found.pair, now)


def withdrawn(present: Snapshot, other: Snapshot) -> bool:
    """Whether a Release file that upstream no longer has gives way to one of the other form, which seems whole."""
    if other.form is ReleaseForm.DETACHED and (other.signature is None or doubtful(other)):
        return False
    before, after = present.release.date, other.release.date
    return after is not None and (before is None or after > before)


def expired(snapshot: Snapshot, now: float) -> bool:
    """Whether clients refuse the snapshot by its age (`Valid-Until`)."""
    until = snapshot.release.valid_until
    return until is not None and now > until


def is_empty(release: Release) -> bool:
    """Whether all lists of packages are empty: of such a suite apt asks for the Release file alone."""
    sizes = [listed.size for path, listed in release.files.items() if path.rpartition("/")[2] == "Packages"]
    return bool(sizes) and not any(sizes)


def needed(found: Release, used: Mapping[str, float], now: float) -> dict[str, Listed]:
    """The indexes that must be cached before `found` is adopted. `used`: paths, and when they were last asked for."""
    return {path: found.files[path] for path, last in used.items() if path in found.files and now - last < USED_FOR}


def blocking(
    failed: Mapping[str, Exception], cached: Container[str], away: Away | None, now: float
) -> Exception | None:
    """The failure that keeps a new snapshot from being adopted, among those of the indexes that it needs.

    `cached`: the indexes of the present snapshot that the cache has. Waiting spares its clients something only for
    those, if upstream has another version. What it lacks, or upstream does, is waited for only as long as upstream may
    be about to finish.
    """
    patient = away is None or now - away.since < HOLD_SHORT
    return next(
        (error for path, error in failed.items() if patient or (path in cached and not isinstance(error, NotFound))),
        None,
    )


def conditions(received: Received | None) -> dict[str, str]:
    """Header fields that ask upstream whether `received` still is what it has."""
    if received is None:
        return {}
    validator = received.entry.validator
    fields = {}
    if validator.etag and not validator.etag.startswith("W/"):
        fields["If-None-Match"] = validator.etag
    # RFC 9110 §8.8.2.2: within a minute the file may have changed twice, and both have this date.
    if validator.last_modified and received.settled:
        fields["If-Modified-Since"] = validator.last_modified
    return fields


def settled(validator: Validator, date: str | None, now: float) -> bool:
    """Whether the Last-Modified of an answer with this `Date` is a validator; without a `Date`, of one from now."""
    return freshness.is_settled(validator.last_modified, freshness.parse_date(date) or now)


def dated(snapshot: Snapshot, others: Iterable[Snapshot], *, signature: bool = False) -> bool:
    """Whether a client that names the Last-Modified of the list (or its signature) can only mean this snapshot."""
    date = snapshot.date_of(signature=signature)
    return date is not None and all(
        other.name == snapshot.name or other.date_of(signature=signature) != date for other in others
    )


def retained(others: Iterable[Snapshot], replaced: Mapping[str, float], now: float) -> list[Snapshot]:
    """Which former snapshots, newest first, stay known. `replaced`: when each was; `now`: both in monotonic seconds."""
    return [
        snapshot
        for place, snapshot in enumerate(others)
        if place < FORMER or (place < FORMER_MOST and now - replaced.get(snapshot.name, now) < FORMER_FOR)
    ]


def listed_by_hash(snapshot: Snapshot, folder: str, digest: Digest) -> str | None:
    """The path of the file that `folder`'s by-hash has under `digest`, of any kind, both relative to the suite."""
    for path, listed in snapshot.release.files.items():
        if digest in listed.digests and path.rpartition("/")[0] == folder.rstrip("/"):
            return path
    return None
