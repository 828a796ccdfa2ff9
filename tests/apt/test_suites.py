"""The rules by which one snapshot of a suite takes the place of another."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate

import pytest

from proxy.apt import suites
from proxy.apt.release import Listed, Release
from proxy.apt.suites import Form, Held, Snapshot, Verdict, judge
from proxy.errors import NotFound, WrongBytes
from proxy.model import Digest, Entry, Validator

NOW = 1_800_000_000.0


def held(name: str, modified: float | None = None, etag: str | None = None) -> Held:
    """A Release file whose digest is made of `name`."""
    date = formatdate(modified, usegmt=True) if modified is not None else None
    digest = Digest("sha256", name * 64)
    return Held(Entry("key", "http://deb.example/", digest, 5, "", Validator(etag, date), NOW, NOW))


def snapshot(
    name: str, *, date: float | None = None, until: float | None = None, signature: str | None = None
) -> Snapshot:
    """A snapshot."""
    release = Release({}, date=date, valid_until=until)
    return Snapshot(Form.INLINE, held(name), release, signature=held(signature) if signature else None)


@pytest.mark.parametrize(
    ("present", "found", "since", "expected"),
    [
        (None, snapshot("a"), None, Verdict.ADOPT),
        (snapshot("a"), snapshot("a"), None, Verdict.SAME),
        (snapshot("a"), snapshot("a"), NOW - 86_400, Verdict.SAME),
        (snapshot("a"), snapshot("b"), None, Verdict.PREPARE),
        (snapshot("a"), snapshot("b"), NOW - 60, Verdict.PREPARE),
        (snapshot("a"), snapshot("b"), NOW - suites.HOLD_MOST, Verdict.ADOPT),
        (snapshot("a", until=NOW - 1), snapshot("b"), None, Verdict.ADOPT),
        (snapshot("a", until=NOW + 1), snapshot("b"), None, Verdict.PREPARE),
        (snapshot("a", date=5), snapshot("b", date=4), None, Verdict.HOLD),
        (snapshot("a", date=5), snapshot("b", date=5), None, Verdict.PREPARE),
        (snapshot("a", date=5), snapshot("b"), None, Verdict.PREPARE),
        (snapshot("a", date=5, until=NOW - 1), snapshot("b", date=4), None, Verdict.ADOPT),
        (snapshot("a", signature="c"), snapshot("a", signature="c"), None, Verdict.SAME),
        (snapshot("a", signature="c"), snapshot("b", signature="c"), None, Verdict.HOLD),
        (snapshot("a", signature="c"), snapshot("a", signature="d"), None, Verdict.HOLD),
        (snapshot("a", signature="c"), snapshot("a", signature="d"), NOW - suites.HOLD_MOST, Verdict.ADOPT),
        (snapshot("a", signature="c"), snapshot("b", signature="d"), None, Verdict.PREPARE),
    ],
)
def test_judge(present: Snapshot | None, found: Snapshot, since: float | None, expected: Verdict) -> None:
    """What becomes of a Release file that upstream sent."""
    assert expected is judge(present, found, since, NOW)


def test_needed__what_clients_used_of_late() -> None:
    """Only indexes that somebody asked for within a week, and that are listed still, are waited for."""
    listed = Listed(1, Digest("sha256", "a" * 64))
    used = {"fresh": NOW - 5, "old": NOW - suites.USED_FOR, "gone": NOW}

    assert {"fresh": listed} == suites.needed(Release({"fresh": listed, "old": listed}), used, NOW)


@pytest.mark.parametrize(
    ("error", "kept", "since", "expected"),
    [
        (WrongBytes("x"), True, None, True),
        (WrongBytes("x"), True, NOW - suites.HOLD_VAIN, True),
        (WrongBytes("x"), False, None, True),
        (WrongBytes("x"), False, NOW - suites.HOLD_VAIN + 1, True),
        (WrongBytes("x"), False, NOW - suites.HOLD_VAIN, False),
        (NotFound("x"), True, None, True),
        (NotFound("x"), True, NOW - suites.HOLD_VAIN, False),
    ],
)
def test_blocking(error: Exception, kept: bool, since: float | None, expected: bool) -> None:
    """An index in another version is waited for long, one that nobody can have for minutes."""
    found = suites.blocking({"Packages": error}, ["Packages"] if kept else [], since, NOW)

    assert (error if expected else None) is found


def test_blocking__nothing_failed() -> None:
    """Then nothing is waited for."""
    assert suites.blocking({}, [], None, NOW) is None


def test_conditions() -> None:
    """Upstream is asked by a strong ETag, and by a date if that was settled."""
    date = formatdate(5, usegmt=True)
    known = replace(snapshot("a"), listing=held("a", 5, '"x"'))

    assert {} == suites.conditions(None)
    assert {"If-None-Match": '"x"'} == suites.conditions(known)
    assert {"If-None-Match": '"x"', "If-Modified-Since": date} == suites.conditions(replace(known, settled=True))
    assert {} == suites.conditions(replace(known, listing=held("a", 5, 'W/"x"')))


@pytest.mark.parametrize(
    ("modified", "date", "expected"),
    [(NOW - 60, None, True), (NOW - 59, None, False), (0, 60, True), (0, 59, False), (None, 60, False)],
)
def test_settled(modified: float | None, date: float | None, expected: bool) -> None:
    """A date is a validator a minute after it: by upstream's own clock, if it tells it."""
    validator = held("a", modified).entry.validator

    assert expected == suites.settled(validator, formatdate(date, usegmt=True) if date is not None else None, NOW)


def test_dated() -> None:
    """A date stands for a snapshot if no other known one has it."""
    one, other = (replace(snapshot(name), listing=held(name, 5)) for name in "ab")
    later = replace(other, listing=held("b", 6))

    assert suites.dated(one, [one])
    assert suites.dated(one, [one, later])
    assert not suites.dated(one, [one, other])
    assert not suites.dated(snapshot("a"), [])
    assert not suites.dated(one, [], signature=True)


def test_retained() -> None:
    """Two former snapshots stay in any case, others as long as a client may be at them."""
    others = [snapshot(name) for name in "abcd"]
    left = {one.name: 100.0 for one in others} | {others[3].name: 0.0}

    assert others[:3] == suites.retained(others, left, 0.0 + suites.KEPT_FOR)
    assert others[:2] == suites.retained(others, left, 100.0 + suites.KEPT_FOR)
    assert suites.KEPT_MOST == len(suites.retained([snapshot("a")] * 100, {}, 0.0))


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
