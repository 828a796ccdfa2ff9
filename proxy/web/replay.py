"""Replay: a request head that was answered before, byte for byte, is answered again without being parsed.

Build farms send the same few heads thousands of times. The connection calls `Replay` with what arrived, before aiohttp
sees it. The key is the whole head, so nothing in it can be overlooked; only heads that the parser took for exactly one
request without a body get in. Only whole answers from the cache are replayed, and only while they are fresh; each is
counted like any other. The memo is bounded by number and by bytes, in order of use.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from proxy.cache.representation import Representation
from proxy.errors import StoreError
from proxy.events import Served
from proxy.model import Blob, Outcome, Source
from proxy.ports import BlobReader, Clock, Observer
from proxy.web.answer_plan import finished, head_lines, plan
from proxy.web.responses import INLINE, SHORT, Exchange, Responder
from proxy.web.server import Connection

_HEADS = 4096
_BYTES = 32 << 20
_HEAD_MOST = 2048  # bytes of a request's head that is worth remembering


@dataclass(slots=True)
class Remembered:
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


class Memo:
    """The answers by request head. Mutable state: the table, in order of use."""

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


class Replay:
    """Answers the heads that it has seen before. Mutable state: the memo."""

    def __init__(self, blobs: BlobReader, responder: Responder, observer: Observer, clock: Clock) -> None:
        self._blobs = blobs
        self._responder = responder
        self._observer = observer
        self._clock = clock  # the one by which services say how long an answer is fresh
        self._memo = Memo()

    def __call__(self, connection: Connection, data: bytes) -> bool:
        """Answer the bytes at once if they are a remembered head. False: they take the usual way."""
        started = time.monotonic()
        clock = self._clock.monotonic()
        answer = self._memo.get(data, clock)
        if answer is None or not connection.idle:
            return False
        transport = connection.transport
        assert transport is not None, "an idle connection has one"
        if answer.blob is not None and self._blobs.blob(answer.blob.digest) is None:
            self._memo.drop(data)
            return False
        blob, sent = answer.blob, 0
        head = finished(answer.lines, None if answer.confirmed is None else clock - answer.confirmed)
        if answer.body is not None:
            transport.write(head + answer.body)
        elif blob is not None:
            try:
                sent = self._responder.send_short(transport, head, blob, 0, blob.size)
            except StoreError:
                self._memo.drop(data)
                return False
        now = time.monotonic()
        connection.answered(now)
        served = answer.event(connection.client, now - started)
        if answer.body is None and blob is not None and sent < blob.size:
            self._memo.drop(data)
            connection.reset()
            served = replace(served, outcome=Outcome.ERROR, sent={Source.CACHE: sent})
        self._observer(served)
        return True

    def forget(self) -> None:
        """Forget all answers: something that they were made of must not be given any more."""
        self._memo.clear()

    def remember(self, exchange: Exchange, path: str, shown: Representation) -> None:
        """Keep an answer for the same head again, if that is right: all of it from the cache, on a usual connection."""
        query, framing = exchange.query, exchange.framing
        head, size = exchange.connection.head, shown.size
        usual = query.method == "GET" and query.span is None and framing.keep_alive and framing.version == (1, 1)
        if not usual or head is None or size is None or exchange.status != HTTPStatus.OK or not shown.fresh_until:
            return
        # Not what upstream just confirmed: the next answer is a hit, and to be counted as one.
        if shown.source is not Source.CACHE or shown.outcome is not Outcome.HIT or size > SHORT:
            return
        blob = shown.body if isinstance(shown.body, Blob) else None
        body = shown.body if isinstance(shown.body, bytes) else None
        if blob is not None and size <= INLINE:
            try:
                body = self._responder.read(blob)
            except StoreError:  # damaged since it was sent, or no descriptor is left
                return
        if body is None and blob is None:
            return
        confirmed = None if shown.age is None else self._clock.monotonic() - shown.age
        lines = head_lines(
            HTTPStatus.OK, plan(replace(shown, age=None), query, framing, readable=exchange.readable).lines
        )
        sent = {Source.CACHE: size}

        def event(client: str, seconds: float) -> Served:
            return Served(shown.mount, shown.kind, shown.outcome, 200, sent, seconds, "GET", path, client)

        self._memo.remember(head, Remembered(lines, body, blob, shown.fresh_until, event, shown.stands, confirmed))
