"""Calls with little of the stack left: texts that nest deeply meet its end there, whatever `packaging` bounds."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
NESTED = "(" * 150 + "os_name != 'a'" + ")" * 150  # a marker
_LEFT = 150  # frames


def deeply(call: Callable[[], T]) -> T:
    """What `call` gives where so few frames are left that a nested marker cannot be read."""
    return _down(sys.getrecursionlimit() - _LEFT - len(inspect.stack(0)), call)


def _down(frames: int, call: Callable[[], T]) -> T:
    return call() if frames <= 0 else _down(frames - 1, call)
