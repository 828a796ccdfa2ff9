"""Failures as values."""

from __future__ import annotations

import pytest

from proxy import errors
from proxy.errors import PullthroughError


def _kinds(kind: type[PullthroughError] = PullthroughError) -> list[type[PullthroughError]]:
    return [kind, *(below for one in kind.__subclasses__() for below in _kinds(one))]


def _made(kind: type[PullthroughError]) -> PullthroughError:
    if issubclass(kind, errors.RangeNotSatisfiable):
        return kind(7)
    return kind("what to do", 3) if issubclass(kind, errors.UpstreamThrottled) else kind("what to do")


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.__name__)
def test_again__every_kind(kind: type[PullthroughError]) -> None:
    """The same failure in words and facts, and nothing of where it was raised."""
    with pytest.raises(kind) as caught:
        try:
            int("no number")
        except ValueError as error:
            raise _made(kind) from error
    raised, again = caught.value, caught.value.again()

    assert (type(raised), str(raised), vars(raised)) == (type(again), str(again), vars(again))
    assert (None, None, None) == (again.__traceback__, again.__cause__, again.__context__)
    assert raised.__traceback__ is not None
