"""Requests that were answered before, byte for byte: answered again without parsing them.

Build farms send the same few heads thousands of times. When a request was answered from the cache, its head as it came
is remembered with the answer; the same bytes again mean the same answer, as long as it is fresh. The key is the whole
head, so nothing in it can be overlooked. Only heads that the parser took for exactly one request without a body get
in. Bounded by number and by bytes, in order of use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from proxy.events import Served
from proxy.model import Blob

_HEADS = 4096
_BYTES = 32 << 20
INLINE = 64 << 10  # bodies up to this many bytes are kept in memory and leave with their head
_HEAD_MOST = 2048  # bytes of a request's head that is worth remembering


@dataclass(slots=True)
class HotAnswer:
    """An answer ready to leave. `lines`: its head without date and age. `expires`, `confirmed`: monotonic seconds.

    `stands`: whether what it was judged by is still so.
    """

    lines: bytes
    body: bytes | None  # None: the blob is sent from disk
    blob: Blob | None
    expires: float
    event: Callable[[str, float], Served]  # client, seconds
    stands: Callable[[], bool] | None = None
    confirmed: float | None = None  # when upstream last said that it is right

    @property
    def weight(self) -> int:
        """Bytes that remembering this costs, about."""
        return len(self.lines) + len(self.body or b"") + 512


class Hot:
    """The memo."""

    def __init__(self) -> None:
        self._answers: OrderedDict[bytes, HotAnswer] = OrderedDict()
        self._bytes = 0

    def get(self, head: bytes, now: float) -> HotAnswer | None:
        """The answer to a request whose head is `head`, if it is remembered and fresh at `now`."""
        answer = self._answers.get(head)
        if answer is None:
            return None
        if answer.expires <= now or (answer.stands is not None and not answer.stands()):
            self.drop(head)
            return None
        self._answers.move_to_end(head)
        return answer

    def remember(self, head: bytes, answer: HotAnswer) -> None:
        """Keep an answer, dropping the longest unused ones for it."""
        if len(head) > _HEAD_MOST:
            return
        self.drop(head)
        self._answers[head] = answer
        self._bytes += answer.weight + len(head)
        while len(self._answers) > _HEADS or self._bytes > _BYTES:
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
