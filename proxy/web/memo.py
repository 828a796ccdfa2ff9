"""What `replay` remembers: answers by the key of their request's head, and short bodies, each within a bound.

A body is kept once, however many heads ask for it. Pure bookkeeping, on the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.cache.representation import Representation
from proxy.events import Served
from proxy.model import Blob, Query
from proxy.user_agent import UNKNOWN, UserAgent
from proxy.web.answer_plan import finish_head
from proxy.web.busy_answers import BusyAnswer
from proxy.web.head_key import LONGEST

Told = Callable[[Query[Any], Representation, str], None]  # what was asked for, the answer, the name of the client

_HEADS = 16_384
_HEADS_BYTES = 24 << 20
_BODIES_BYTES = 32 << 20
_OVERHEAD = 2560  # bytes of memory that an answer takes beside its texts, about


@dataclass(slots=True)
class Ready:
    """An answer as it leaves. `event`: what it counts as; `prepared`: the same as `AnswerObserver` has it."""

    start: bytes  # of the head: what is the same each time
    event: Served
    prepared: Any
    _head: bytes = b""  # as it was last
    _second: int = -1  # for which it was made, since the epoch
    used: bytes = b""  # the head with which its use was noted last
    busy: BusyAnswer | None = None  # with the head as it was last, or before

    def head(self, now: float, age: float | None) -> bytes:
        """The whole head. `now`: seconds since the epoch; `age`: seconds for the field `Age`, None for none.

        It is made anew with each second of `now`: until then `Age` is that of its first answer.
        """
        if not 0 <= now - self._second < 1:
            self._second, self._head = int(now), finish_head(self.start, now, age)
        return self._head


@dataclass(slots=True)
class Remembered:
    """An answer, and how often it may be given. `expires`, `confirmed`: monotonic seconds.

    `representation` has its body elsewhere, if it is in memory; None where the answer is `ready` from the start.
    `agent`: the program that was answered.
    """

    representation: Representation | None
    path: str
    body: str  # its name in `ShortBodies`; where that has it no more, the blob is sent from disk
    blob: Blob | None
    expires: float
    stands: Callable[[], bool] | None = None  # whether the answer is still right
    confirmed: float | None = None  # when upstream last confirmed it
    cors: bool = False
    agent: UserAgent = UNKNOWN
    in_build: bool = False  # it came by the name that builds have
    told: Told | None = None  # who has to know that it was asked for again, and
    asked: Query[Any] | None = None  # how
    ready: Ready | None = None  # made when the head comes again, which most heads never do
    kept: bytes | None = None  # the body, if it is nowhere else
    unchanged: bool = False  # the client has it (RFC 9110 §15.4.5)

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.path) + len(self.kept or b"") + _OVERHEAD


class Memo:
    """The answers by `head_key`, bounded by number and by bytes. Mutable state: the table, in order of use."""

    def __init__(self, most: int = _HEADS) -> None:
        """`most`: answers."""
        self._most = most
        self._answers: OrderedDict[bytes, Remembered] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes, now: float) -> Remembered | None:
        """The answer to a request with this key, if it is remembered and fresh at `now`."""
        answer = self._answers.get(key)
        if answer is None:
            return None
        if answer.expires <= now or (answer.stands is not None and not answer.stands()):
            self.drop(key)
            return None
        return answer

    def use(self, key: bytes) -> None:
        """Note a use, so that others make room before it does."""
        if key in self._answers:
            self._answers.move_to_end(key)

    def remember(self, key: bytes, answer: Remembered) -> None:
        """Remember an answer. The longest unused ones make room for it."""
        if len(key) > LONGEST:
            return
        self.drop(key)
        self._answers[key] = answer
        self._bytes += answer.weight + len(key)
        while len(self._answers) > self._most or self._bytes > _HEADS_BYTES:
            self.drop(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget all."""
        self._answers.clear()
        self._bytes = 0

    def drop(self, key: bytes) -> None:
        """Forget one."""
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._bytes -= answer.weight + len(key)


class ShortBodies:
    """Short bodies by a name that stands for their content, bounded by bytes. Mutable state: these, in order of use."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> bytes | None:
        """The body of this name, if it is kept."""
        return self._bodies.get(name)

    def use(self, name: str) -> None:
        """Note a use, so that others make room before it does."""
        if name in self._bodies:
            self._bodies.move_to_end(name)

    def keep(self, name: str, body: bytes) -> None:
        """Keep a body. The longest unused ones make room for it."""
        before = self._bodies.pop(name, b"")
        self._bodies[name] = body
        self._bytes += len(body) - len(before)
        while self._bytes > _BODIES_BYTES:
            _, oldest = self._bodies.popitem(last=False)
            self._bytes -= len(oldest)

    def clear(self) -> None:
        """Forget all."""
        self._bodies.clear()
        self._bytes = 0
