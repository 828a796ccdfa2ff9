"""The rules by which one snapshot of a suite takes the place of another."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest

from proxy.apt import suites
from proxy.apt.release import Listed, Release
from proxy.apt.suites import Away, Decision, Received, ReleaseForm, Snapshot, judge
from proxy.errors import NotFound, WrongBytes
from proxy.model import Digest, Entry, Validator

NOW = 1_800_000_000.0


def received(name: str, modified: float | None = None, etag: str | None = None, *, size: int = 5) -> Received:
    """A Release file, or a signature, whose digest is made of `name`; its date is settled a minute after it."""
    date = formatdate(modified, usegmt=True) if modified is not None else None
    digest = Digest("sha256", name * 64)
    entry = Entry("key", "http://deb.example/", digest, size, "", Validator(etag, date), NOW, NOW)
    return Received(entry, settled=modified is not None and NOW - modified >= 60)


def snapshot(
    name: str,
    *,
    date: float | None = None,
    until: float | None = None,
    signature: Received | str | None = None,
    modified: float | None = None,
) -> Snapshot:
    """A snapshot."""
    release = Release({}, date=date, valid_until=until)
    gpg = received(signature) if isinstance(signature, str) else signature
    return Snapshot(
        ReleaseForm.DETACHED if gpg else ReleaseForm.INLINE, received(name, modified), release, signature=gpg
    )


def away(found: Snapshot, *, since: float = 0.0, at: float | None = None) -> Away:
    """Upstream is away for some seconds, and for some at `found`."""
    return Away(NOW - since, found.pair, NOW - (since if at is None else at))


A, B = snapshot("a"), snapshot("b")
SIGNED, OTHER_LIST = snapshot("a", signature="c"), snapshot("b", signature="d")
OLD_KEY = snapshot("a", date=NOW - 9000, modified=NOW - 9000, signature=received("c", NOW - 8999))
NEXT = snapshot("b", date=NOW - 900, modified=NOW - 900, signature=received("d", NOW - 800))
LATE = snapshot("a", date=NOW - 60, modified=NOW - 50, signature=received("c", NOW - 7000))


def signed_again(modified: float | None, size: int = 5) -> Snapshot:
    """The list of OLD_KEY with another signature."""
    return replace(OLD_KEY, signature=received("d", modified, size=size))


@pytest.mark.parametrize(
    ("present", "found", "known", "gone", "expected"),
    [
        (None, A, None, False, Decision.ADOPT),
        (A, A, None, False, Decision.SAME),
        (A, A, away(B, since=86_400), True, Decision.SAME),
        (A, B, None, False, Decision.PREPARE),
        (A, B, away(B, since=60), False, Decision.PREPARE),
        (A, B, away(B, since=suites.HOLD_MOST), False, Decision.ADOPT),
        (snapshot("a", until=NOW - 1), B, None, False, Decision.ADOPT),
        (snapshot("a", until=NOW + 1), B, None, False, Decision.PREPARE),
        # A Date that goes back.
        (snapshot("a", date=5), snapshot("b", date=4), None, False, Decision.HOLD),
        (snapshot("a", date=5), snapshot("b", date=4), None, True, Decision.PREPARE),
        (snapshot("a", date=5), snapshot("b", date=4), away(B, since=119), False, Decision.HOLD),
        (snapshot("a", date=5), snapshot("b", date=4), away(B, since=120), False, Decision.PREPARE),
        (snapshot("a", date=5), snapshot("b", date=4), away(A, since=900), False, Decision.HOLD),
        (snapshot("a", date=5), snapshot("b", date=4), away(B, since=900, at=60), False, Decision.HOLD),
        (snapshot("a", date=5), snapshot("b", date=5), None, False, Decision.PREPARE),
        (snapshot("a", date=5), B, None, False, Decision.PREPARE),
        (snapshot("a", date=5, until=NOW - 1), snapshot("b", date=4), None, False, Decision.ADOPT),
        # Another list: with the signature of the present one, without one, with one that does not date with it.
        (SIGNED, SIGNED, None, False, Decision.SAME),
        (SIGNED, OTHER_LIST, None, False, Decision.PREPARE),
        (SIGNED, snapshot("b", signature="c"), None, False, Decision.HOLD),
        (SIGNED, snapshot("b", signature="c"), away(snapshot("b", signature="c"), since=900), False, Decision.HOLD),
        (SIGNED, snapshot("b", signature="c"), away(snapshot("b", signature="c"), since=120), True, Decision.PREPARE),
        (SIGNED, B, None, False, Decision.HOLD),
        (SIGNED, B, None, True, Decision.HOLD),
        (SIGNED, B, away(B, since=120), True, Decision.PREPARE),
        (SIGNED, B, away(B, since=suites.HOLD_MOST), False, Decision.ADOPT),
        (A, OTHER_LIST, None, False, Decision.PREPARE),
        (OTHER_LIST, LATE, None, False, Decision.HOLD),
        (OTHER_LIST, LATE, away(LATE, since=suites.HOLD_SHORT), False, Decision.PREPARE),
        (SIGNED, NEXT, None, False, Decision.HOLD),
        (SIGNED, NEXT, away(NEXT, since=9), False, Decision.HOLD),
        (SIGNED, NEXT, away(NEXT, since=10), False, Decision.PREPARE),
        (LATE, snapshot("b", signature="c"), None, False, Decision.PREPARE),
        # The same list with another signature.
        (A, SIGNED, None, False, Decision.ADOPT),
        (SIGNED, A, None, False, Decision.HOLD),
        (SIGNED, A, away(A, since=900), True, Decision.HOLD),
        (LATE, replace(LATE, signature=received("d", NOW - 40)), None, False, Decision.ADOPT),
        (OLD_KEY, signed_again(NOW - 9), None, False, Decision.HOLD),
        (OLD_KEY, signed_again(NOW - 9), away(signed_again(0), since=59), False, Decision.HOLD),
        (OLD_KEY, signed_again(NOW - 9), away(signed_again(0), since=60), False, Decision.ADOPT),
        (OLD_KEY, signed_again(NOW - 90), None, False, Decision.HOLD),
        (OLD_KEY, signed_again(NOW - 90), away(signed_again(0), since=10), False, Decision.ADOPT),
        (OLD_KEY, signed_again(NOW - 9, size=400), None, False, Decision.ADOPT),
        (OLD_KEY, signed_again(NOW - 9999, size=400), None, False, Decision.HOLD),
        (OLD_KEY, signed_again(NOW - 9999), away(signed_again(0), since=900), False, Decision.HOLD),
        (OLD_KEY, signed_again(NOW - 9999), away(signed_again(0), since=suites.HOLD_MOST), False, Decision.ADOPT),
    ],
)
def test_judge(present: Snapshot | None, found: Snapshot, known: Away | None, gone: bool, expected: Decision) -> None:
    """What becomes of a Release file that upstream sent."""
    assert expected is judge(present, found, known, NOW, gone=gone)


@pytest.mark.parametrize(
    ("listed", "signed", "date", "expected"),
    [
        (NOW, NOW, NOW, False),
        (NOW, NOW + 30, NOW, False),
        (NOW + 50, NOW, NOW, False),  # written in another order
        (NOW + 61, NOW, NOW, True),
        (NOW + 30, NOW - 6, NOW, True),  # signed before it was made
        (5, 5, NOW, False),  # one date for all files
        (NOW, None, NOW, False),
        (None, NOW, NOW, False),
        (NOW, NOW, None, False),
    ],
)
def test_doubtful(listed: float | None, signed: float | None, date: float | None, expected: bool) -> None:
    """A signature that is older than its list is another list's."""
    found = snapshot("a", date=date, modified=listed, signature=received("c", signed))

    assert expected is suites.doubtful(found)


def test_trusted_for() -> None:
    """What may be half of a change is looked at again soon."""
    bare = Snapshot(ReleaseForm.DETACHED, received("a", NOW - 9), Release({}))
    settled = Snapshot(ReleaseForm.DETACHED, received("a", NOW - 90), Release({}))

    assert [20.0, 20.0, 2.0, 2.0, 20.0] == [suites.trusted_for(one, 20.0) for one in (A, SIGNED, LATE, bare, settled)]
    assert 1.0 == suites.trusted_for(LATE, 1.0)


def test_still_away() -> None:
    """How long upstream is away, and how long at one state, are two things."""
    first = suites.still_away(None, A, NOW)
    same = suites.still_away(first, A, NOW + 5)
    other = suites.still_away(same, B, NOW + 9)

    assert Away(NOW, A.pair, NOW) == first == same
    assert Away(NOW, B.pair, NOW + 9) == other == suites.still_away(other, None, NOW + 20)


def test_withdrawn() -> None:
    """Only a newer Date in the other form says that this form is history."""
    old, new = snapshot("a", date=5), snapshot("b", date=6)
    half = snapshot("b", date=NOW - 60, modified=NOW - 50, signature=received("c", NOW - 7000))
    unsigned = replace(new, form=ReleaseForm.DETACHED)

    assert [False, False] == [suites.withdrawn(old, one) for one in (half, unsigned)]
    assert suites.withdrawn(old, replace(half, signature=received("c", NOW - 40)))
    assert [True, False, False, False, True] == [
        suites.withdrawn(*pair) for pair in ((old, new), (old, old), (new, old), (old, A), (A, old))
    ]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"main/binary-amd64/Packages": 0, "main/binary-amd64/Packages.gz": 20, "main/Contents-amd64": 9}, True),
        ({"main/binary-amd64/Packages": 0, "contrib/binary-amd64/Packages": 5}, False),
        ({"main/binary-amd64/Packages.gz": 20}, False),
        ({"Packages": 0}, True),
        ({}, False),
    ],
)
def test_is_empty(sizes: dict[str, int], expected: bool) -> None:
    """apt knows it by the size of the list that is not packed."""
    files = {path: Listed(size, Digest("sha256", "a" * 64)) for path, size in sizes.items()}
    assert expected is suites.is_empty(Release(files))


def test_needed__what_clients_used_of_late() -> None:
    """Only indexes that somebody asked for within a week, and that are listed still, are waited for."""
    listed = Listed(1, Digest("sha256", "a" * 64))
    used = {"fresh": NOW - 5, "old": NOW - suites.USED_FOR, "gone": NOW}

    assert {"fresh": listed} == suites.needed(Release({"fresh": listed, "old": listed}), used, NOW)


@pytest.mark.parametrize(
    ("error", "kept", "since", "expected"),
    [
        (WrongBytes("x"), True, None, True),
        (WrongBytes("x"), True, suites.HOLD_SHORT, True),
        (WrongBytes("x"), False, None, True),
        (WrongBytes("x"), False, suites.HOLD_SHORT - 1, True),
        (WrongBytes("x"), False, suites.HOLD_SHORT, False),
        (NotFound("x"), True, None, True),
        (NotFound("x"), True, suites.HOLD_SHORT, False),
    ],
)
def test_blocking(error: Exception, kept: bool, since: float | None, expected: bool) -> None:
    """An index in another version is waited for long, one that nobody can have for minutes."""
    known = away(B, since=since) if since is not None else None
    found = suites.blocking({"Packages": error}, ["Packages"] if kept else [], known, NOW)

    assert (error if expected else None) is found


def test_blocking__nothing_failed() -> None:
    """Then nothing is waited for."""
    assert suites.blocking({}, [], None, NOW) is None


def test_conditions() -> None:
    """Upstream is asked by a strong ETag, and by a date if that was settled."""
    date = formatdate(5, usegmt=True)
    known = received("a", 5, '"x"')
    young = replace(known, settled=False)

    assert {} == suites.conditions(None)
    assert {"If-None-Match": '"x"'} == suites.conditions(young)
    assert {"If-None-Match": '"x"', "If-Modified-Since": date} == suites.conditions(known)
    assert {} == suites.conditions(replace(young, entry=received("a", 5, 'W/"x"').entry))


@pytest.mark.parametrize(
    ("modified", "date", "expected"),
    [(NOW - 60, None, True), (NOW - 59, None, False), (0, 60, True), (0, 59, False), (None, 60, False)],
)
def test_settled(modified: float | None, date: float | None, expected: bool) -> None:
    """A date is a validator a minute after it: by upstream's own clock, if that is known."""
    validator = received("a", modified).entry.validator

    assert expected == suites.settled(validator, formatdate(date, usegmt=True) if date is not None else None, NOW)


def test_dated() -> None:
    """A date stands for a snapshot if no other known one has it."""
    one, other = (replace(snapshot(name), listing=received(name, 5)) for name in "ab")
    later = replace(other, listing=received("b", 6))

    assert suites.dated(one, [one])
    assert suites.dated(one, [one, later])
    assert not suites.dated(one, [one, other])
    assert not suites.dated(snapshot("a"), [])
    assert not suites.dated(one, [], signature=True)


def test_retained() -> None:
    """Two former snapshots stay in any case, others as long as a client may be at them."""
    others = [snapshot(name) for name in "abcd"]
    left = {one.name: 100.0 for one in others} | {others[3].name: 0.0}

    assert others[:3] == suites.retained(others, left, 0.0 + suites.FORMER_FOR)
    assert others[:2] == suites.retained(others, left, 100.0 + suites.FORMER_FOR)
    assert suites.FORMER_MOST == len(suites.retained([snapshot("a")] * 100, {}, 0.0))


def test_listed_by_hash() -> None:
    """A file by hash is found by digest, in the folder that it lies in."""
    digest, other = Digest("sha256", "a" * 64), Digest("md5", "a" * 32)
    found = Release({"main/x/Packages": Listed(1, digest), "Packages": Listed(1, digest, (other,))})
    known = replace(snapshot("a"), release=found)

    assert "main/x/Packages" == suites.listed_by_hash(known, "main/x/", digest)
    assert "Packages" == suites.listed_by_hash(known, "", digest)
    assert "Packages" == suites.listed_by_hash(known, "", other)
    assert suites.listed_by_hash(known, "main/x/", other) is None
    assert suites.listed_by_hash(known, "main/", digest) is None
    assert suites.listed_by_hash(known, "", Digest("sha512", "a" * 64)) is None
    assert suites.listed_by_hash(known, "", Digest("sha256", "b" * 64)) is None
