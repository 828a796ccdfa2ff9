"""Sums in memory: what answers come to, each told as an event of its own or in short."""

from __future__ import annotations

import sys

import pytest
from msgspec import structs

from proxy.events import Served
from proxy.history.gathering import AnswerSums, Gathering
from proxy.history.sums import ClientSum, Total
from proxy.model import Kind, Outcome, Source
from proxy.user_agent import UserAgent

_DAY = 86_400.0
_PIP = UserAgent("pip", "24.0")
_EVENT = Served(
    "pypi", Kind.FILE, Outcome.HIT, 200, {Source.CACHE: 70, Source.SHARED: 20, Source.UPSTREAM: 10}, 0.1, "GET",
    "/pypi/a.whl", agent=_PIP, sha256="ab",
)  # fmt: skip


def test_add__sums() -> None:
    """Each time counts for its day and its client; the first and the last time are kept."""
    gathering = Gathering()
    sums = AnswerSums(gathering, _EVENT)
    for when, client in ((1.0, "a"), (2.5, "a"), (3.0, "b"), (_DAY + 1, "a")):
        sums.add(when, client, _PIP)
    assert {(0, "pypi", "file"): Total(3, 3, 210, 60, 30), (1, "pypi", "file"): Total(1, 1, 70, 20, 10)} == (
        gathering.batch.totals
    )
    assert {
        (0, "pypi", "/pypi/a.whl", "ab", "a", _PIP): ClientSum(2, 200, 1.0, 2.5, 180),
        (0, "pypi", "/pypi/a.whl", "ab", "b", _PIP): ClientSum(1, 100, 3.0, 3.0, 90),
        (1, "pypi", "/pypi/a.whl", "ab", "a", _PIP): ClientSum(1, 100, _DAY + 1, _DAY + 1, 90),
    } == gathering.batch.sums


def test_add__clocks_go_back() -> None:
    """A clock that is set back over midnight leads back to the sums of that day."""
    gathering = Gathering()
    sums = AnswerSums(gathering, _EVENT)
    for when in (_DAY - 1, _DAY + 1, _DAY - 0.5):
        sums.add(when, "a", _PIP)
    assert [2, 1] == [one.requests for one in gathering.batch.sums.values()]
    assert [2, 1] == [one.requests for one in gathering.batch.totals.values()]


def test_add__clock_goes_back_within_a_day() -> None:
    """The first time is the least one, and the last the greatest, whatever came after what."""
    gathering = Gathering()
    sums = AnswerSums(gathering, _EVENT)
    for when in (5000.0, 9000.0, 1000.0):
        sums.add(when, "a", _PIP)
    assert [(3, 1000.0, 9000.0)] == [(one.requests, one.first, one.last) for one in gathering.batch.sums.values()]


def test_add__is_the_same_as_events() -> None:
    """However often and in whatever turn: two that are told of one answer add to the same sums."""
    gathering, other = Gathering(), Gathering()
    sums = AnswerSums(other, _EVENT)
    for when in (1.0, 2.0, 3.0):
        AnswerSums(gathering, _EVENT).add(when, "a", _PIP)
        (sums if when != 2.0 else AnswerSums(other, structs.replace(_EVENT))).add(when, "a", _PIP)
    assert gathering.batch == other.batch


def test_add__many_clients() -> None:
    """Each has its own sums, also when only some are at hand."""
    gathering = Gathering()
    sums = AnswerSums(gathering, _EVENT)
    for when in range(3):
        for number in range(100):
            sums.add(float(when), f"10.0.0.{number}", _PIP)
    assert 100 == len(gathering.batch.sums)
    assert {(3, 300, 0.0, 2.0)} == {
        (one.requests, one.size, one.first, one.last) for one in gathering.batch.sums.values()
    }


def test_take__begins_anew() -> None:
    """What comes after is in the next batch only; an answer that is not sent any more does not keep the last one."""
    gathering = Gathering()
    sums = AnswerSums(gathering, _EVENT)
    sums.add(1.0, "a", _PIP)
    first = gathering.take()
    sums.add(2.0, "a", _PIP)
    sums.add(3.0, "a", _PIP)
    assert [1] == [one.requests for one in first.sums.values()]
    second = gathering.take()
    assert [2] == [one.requests for one in second.sums.values()]
    assert 2 == sys.getrefcount(second)
    assert not gathering.batch.totals


@pytest.mark.parametrize(
    "event",
    [
        structs.replace(_EVENT, kind=Kind.PAGE),
        structs.replace(_EVENT, method="HEAD"),
        structs.replace(_EVENT, status=304),
        structs.replace(_EVENT, path="/" + "x" * 2048),
    ],
)
def test_add__who_asked_for_files_only(event: Served) -> None:
    """Of all else only the totals are kept."""
    gathering = Gathering()
    AnswerSums(gathering, event).add(1.0, "a", _PIP)
    assert [1] == [total.requests for total in gathering.batch.totals.values()]
    assert not gathering.batch.sums
