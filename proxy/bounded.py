"""What is remembered within bounds, and may be forgotten: back-offs, addresses not found, what was made of texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_More = ParamSpec("_More")
_OfText: TypeAlias = Callable[Concatenate[str, _More], _Value]


class Bounded(OrderedDict[_Key, _Value]):
    """At most `most` entries: one more drops the entry that was set the longest ago. Setting an entry renews it."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: _Key, value: _Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)


def short_cache(most: int, longest: int) -> Callable[[_OfText[_More, _Value]], _OfText[_More, _Value]]:
    """`lru_cache` for what is made of texts that strangers write, of which the first argument is one.

    Only texts of up to `longest` characters are remembered: what is made of a long one may take much memory.
    """

    def decorate(work: _OfText[_More, _Value]) -> _OfText[_More, _Value]:
        cached = lru_cache(most)(work)

        @wraps(work)
        def made(text: str, /, *more: _More.args, **named: _More.kwargs) -> _Value:
            return (cached if len(text) <= longest else work)(text, *more, **named)

        return made

    return decorate
