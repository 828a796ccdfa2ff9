"""What `replay` remembers: answers by the head of their request, and short bodies, each within a bound.

A body is kept once, however many heads ask for it. Pure bookkeeping, on the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from proxy.events import Served
from proxy.model import Blob
from proxy.ports import Again

_HEADS = 16_384
_HEADS_BYTES = 24 << 20
_BODIES_BYTES = 32 << 20
_HEAD_MOST = 2048  # bytes of a request's head that is worth remembering
_OVERHEAD = 2048  # bytes of memory that an answer takes beside its texts, about


@dataclass(slots=True)
class Remembered:
    """An answer ready to leave. `head`: without date and age. `expires`, `confirmed`: monotonic seconds.

    `stands`: whether the answer is still right. `event` is what the answer counts as, and `tell` tells of it in short:
    None until the head comes again, which some heads never do.
    """

    head: bytes
    body: str  # its name in `ShortBodies`; where that has it no more, the blob is sent from disk
    blob: Blob | None
    expires: float
    event: Served
    stands: Callable[[], bool] | None = None
    confirmed: float | None = None  # when upstream last confirmed it
    tell: Again | None = None

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.head) + len(self.event.path) + _OVERHEAD


class Memo:
    """The answers by request head, bounded by number and by bytes. Mutable state: the table, in order of use."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, Remembered] = OrderedDict()
        self._bytes = 0

    def get(self, head: bytes, now: float) -> Remembered | None:
        """The answer to a request whose head is `head`, if it is remembered and fresh at `now`."""
        answer = self._answers.get(head)
        if answer is None:
            return None
        if answer.expires <= now or (answer.stands is not None and not answer.stands()):
            self.drop(head)
            return None
        self._answers.move_to_end(head)
        return answer

    def remember(self, head: bytes, answer: Remembered) -> None:
        """Remember an answer. The longest unused ones make room for it."""
        if len(head) > _HEAD_MOST:
            return
        self.drop(head)
        self._answers[head] = answer
        self._bytes += answer.weight + len(head)
        while len(self._answers) > _HEADS or self._bytes > _HEADS_BYTES:
            self.drop(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget all."""
        self._answers.clear()
        self._bytes = 0

    def drop(self, head: bytes) -> None:
        """Forget one."""
        answer = self._answers.pop(head, None)
        if answer is not None:
            self._bytes -= answer.weight + len(head)


class ShortBodies:
    """Short bodies by a name that stands for their content, bounded by bytes. Mutable state: these, in order of use."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, name: str) -> bytes | None:
        """The body of this name, if it is kept."""
        body = self._bodies.get(name)
        if body is not None:
            self._bodies.move_to_end(name)
        return body

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
