"""The store of the cache in a container, as verbs see it: each call runs the same verb inside and reads its output.

Made by `store_access`. What is asked and shown is the verb's on this side, so that it looks alike everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from proxy.builds.contained_cache import ContainedCache
from proxy.builds.engine_trouble import EngineTrouble
from proxy.control.protocol import DEFAULT_LARGEST, CleanPlan, ControlError, Message, Refusal, Stats, Wish

T = TypeVar("T")

_OTHER_VERSION = "The cache in the container {name} answers in another form. Use the version of this program it has."


class ContainedStore:
    """`protocol.StoreControl` by `docker exec`. It raises EngineTrouble, too."""

    def __init__(self, cache: ContainedCache) -> None:
        self._cache = cache

    def close(self) -> None:
        """Nothing is open between two calls."""

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats:
        return self._decoded(self._cache.read("stats", "--json", "--largest", str(largest)), Stats)

    def plan(self, wish: Wish) -> CleanPlan:
        return self._decoded(self._cache.read("clean", "--json", *arguments_of(wish)), CleanPlan)

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._messages("clean", "--json", "--yes", *arguments_of(wish))

    def verify(self) -> Iterator[Message]:
        return self._messages("verify", "--json")

    def _decoded(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise self._of_another_version() from error

    def _messages(self, *arguments: str) -> Iterator[Message]:
        for line in self._cache.lines(*arguments):
            try:
                message: Message = msgspec.json.decode(line, type=Message)
            except msgspec.DecodeError as error:
                raise self._of_another_version() from error
            if isinstance(message, Refusal):
                raise ControlError(message.reason)
            yield message

    def _of_another_version(self) -> EngineTrouble:
        return EngineTrouble(_OTHER_VERSION.format(name=self._cache.container.name))


def arguments_of(wish: Wish) -> list[str]:
    """The options of the verb `clean` that mean this wish."""
    options = {
        "--index": wish.index,
        "--project": wish.project,
        "--version": wish.version,
        "--older-than": None if wish.older_than is None else f"{wish.older_than:.3f}s",
        "--larger-than": wish.larger_than,
        "--down-to": wish.down_to,
    }
    given = [f"{option}={value}" for option, value in options.items() if value is not None]
    return [*given, *(["--all"] if wish.everything else [])]
