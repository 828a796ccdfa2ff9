"""Questions below `/api/v1/`: who got a file, what is stored and saved, what would happen at an address.

Called by `api`. Each reads the query of a request into the wish that the verb of the same name has, and is described
here, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.protocol import DEFAULT_LARGEST, PulledFiles, PullWish, Stats

NAMES = ("who", "stats", "explain")
ANSWERS = (PulledFiles, Stats, Explanation)  # in the order of the names
_ROWS, _MOST_ROWS = 100, 1000  # rows or files in one answer
_DIGITS = 12
_PATTERN = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^*]*(?:\*[^*]*){0,4}$"}


@dataclass(frozen=True, slots=True)
class Questions:
    """Who answers: each gives None where the data folder is not open yet. They raise ControlError, StoreError."""

    who: Callable[[PullWish], Awaitable[PulledFiles | None]]
    stats: Callable[[int], Awaitable[Stats | None]]
    explain: Callable[[ExplainWish], Awaitable[Explanation | None]]

    async def answer(self, name: str, query: Mapping[str, str]) -> msgspec.Struct | None:
        """The answer to one of `NAMES`. Raises ValueError, whose text says what is wrong with the query."""
        if name == "who":
            return await self.who(_who(query))
        if name == "stats":
            return await self.stats(min(_number(query, "largest", DEFAULT_LARGEST), _MOST_ROWS))
        wish = ExplainWish(query.get("url", ""))
        _check(f"url: {wrong}" if (wrong := wish.wrong()) is not None else None)
        return await self.explain(wish)


def _who(query: Mapping[str, str]) -> PullWish:
    most = min(_number(query, "most", _ROWS), _MOST_ROWS)
    since = _number(query, "since", 0)
    wish = PullWish(query.get("what", ""), query.get("version"), float(since), query.get("client"), most)
    _check(wish.wrong())
    return wish


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    _check(None if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else f"{name}: a number")
    return int(text)


def _check(wrong: str | None) -> None:
    if wrong is not None:
        raise ValueError(wrong)


def described() -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """For OpenAPI, by name: what it answers, and the fields of its query."""
    number = {"type": "integer", "minimum": 0, "maximum": 10**_DIGITS - 1}
    return {
        "who": (
            "Which clients got a project, a version or a file, the last first.",
            [
                _field("what", _PATTERN, "A project, a file's name, a pattern of either, or a sha256.", required=True),
                _field("version", _PATTERN, "Of the project; or a pattern."),
                _field("since", number | {"default": 0}, "Not longer ago: seconds since the epoch."),
                _field("client", {"type": "string"}, "Its address."),
                _field("most", number | {"minimum": 1, "default": _ROWS}, f"Rows; at most {_MOST_ROWS} are given."),
            ],
        ),
        "stats": (
            "What is stored, by index and kind, and what that saved.",
            [_field("largest", number | {"default": DEFAULT_LARGEST}, "How many of the largest files are listed.")],
        ),
        "explain": (
            "What a request for an address would come to, and why.",
            [
                _field(
                    "url",
                    {"type": "string", "maxLength": 8000, "pattern": r"\S"},
                    "An address of the cache, whole or from its slash on, or one upstream.",
                    required=True,
                )
            ],
        ),
    }


def _field(name: str, schema: dict[str, Any], text: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "description": text, "schema": schema}
