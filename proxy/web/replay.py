"""Replay: a request head that was answered before, byte for byte, is answered again without being parsed.

Build farms send the same few heads thousands of times. The connection calls `Replay` with what arrived, before aiohttp
sees it. The key is the whole head, so nothing in it can be overlooked. Only heads that the parser took for exactly one
request without a body are remembered, and only whole, fresh answers from the cache are replayed. Each is counted like
any other.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from proxy.cache.representation import Representation
from proxy.errors import StoreError
from proxy.events import Served
from proxy.model import Blob, Outcome, Source
from proxy.ports import BlobReader, Clock, Observer
from proxy.user_agent import UNKNOWN, UserAgent
from proxy.web.answer_plan import finish_head, plan, start_head
from proxy.web.responses import INLINE, SHORT, Exchange, Responder
from proxy.web.server import ClientConnection

_HEADS = 4096
_BYTES = 32 << 20
_HEAD_MOST = 2048  # bytes of a request's head that is worth remembering


@dataclass(slots=True)
class Remembered:
    """An answer ready to leave. `head`: without date and age. `expires`, `confirmed`: monotonic seconds.

    `stands`: whether the answer is still right.
    """

    head: bytes
    body: bytes | None  # None: the blob is sent from disk
    blob: Blob | None
    expires: float
    event: Callable[[str, float], Served]  # client, seconds
    stands: Callable[[], bool] | None = None
    confirmed: float | None = None  # when upstream last confirmed it

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, about."""
        return len(self.head) + len(self.body or b"") + 512


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
        self._responder = responder
        self._blobs = blobs
        self._observer = observer
        self._clock = clock
        self._memo = Memo()

    def __call__(self, connection: ClientConnection, data: bytes) -> bool:
        """Answer the bytes at once if they are a remembered head. False: they take the usual way."""
        clock = self._clock
        started = clock.monotonic()
        answer = self._memo.get(data, started)
        if answer is None or not connection.writable:
            return False
        transport = connection.transport
        assert transport is not None, "a writable connection has one"
        blob, body = answer.blob, answer.body
        if blob is not None and self._blobs.blob(blob.digest) is None:  # it is evicted; else this counts as a use
            self._memo.drop(data)
            return False
        head = finish_head(answer.head, clock.now(), None if answer.confirmed is None else started - answer.confirmed)
        missing = 0
        if body is not None:
            transport.write(head + body)
        elif blob is not None:
            try:
                missing = blob.size - self._responder.send_short(transport, head, blob, 0, blob.size)
            except StoreError:
                self._memo.drop(data)
                return False
        connection.restart_keepalive()
        served = answer.event(connection.peer, clock.monotonic() - started)
        if missing and blob is not None:
            self._memo.drop(data)
            connection.reset()
            served = replace(served, outcome=Outcome.ERROR, sent={Source.CACHE: blob.size - missing})
        self._observer(served)
        return True

    def forget(self) -> None:
        """Forget all answers: something that they were made of must not be sent any more."""
        self._memo.clear()

    def remember(
        self, exchange: Exchange, path: str, representation: Representation, agent: UserAgent = UNKNOWN
    ) -> None:
        """Remember the answer to a plain GET for the same head, if all of it came from the cache."""
        query, framing = exchange.query, exchange.framing
        head, size, expires = exchange.connection.head, representation.size, representation.fresh_until
        plain = query.method == "GET" and query.span is None and framing.keep_alive and framing.version == (1, 1)
        if not plain or head is None or size is None or exchange.status != HTTPStatus.OK or not expires:
            return
        # Not what upstream just confirmed: the next answer is a hit, and counts as one.
        if representation.source is not Source.CACHE or representation.outcome is not Outcome.HIT or size > SHORT:
            return
        blob = representation.body if isinstance(representation.body, Blob) else None
        body = representation.body if isinstance(representation.body, bytes) else None
        if blob is not None and size <= INLINE:
            try:
                body = self._read(blob)
            except StoreError:  # damaged since it was sent, or no descriptor is left
                return
        if body is None and blob is None:
            return
        confirmed = None if representation.age is None else self._clock.monotonic() - representation.age
        answer = plan(replace(representation, age=None), query, framing, cors=exchange.cors)
        mount, kind, outcome = representation.mount, representation.kind, representation.outcome
        project, sha256, sent = representation.project, representation.sha256, {Source.CACHE: size}

        def event(client: str, seconds: float) -> Served:
            return Served(
                mount, kind, outcome, 200, sent, seconds, "GET", path, client, seconds, None, agent, project, sha256
            )

        start = start_head(HTTPStatus.OK, answer.fields)
        self._memo.remember(head, Remembered(start, body, blob, expires, event, representation.stands, confirmed))

    def _read(self, blob: Blob) -> bytes:
        """A short stored file, whole. Raises BlobDamaged, StoreBroken."""
        with self._blobs.lease(blob) as descriptor:
            return os.pread(descriptor, blob.size, 0)
