"""Replay: a request head that was answered before, byte for byte, is answered again without being parsed.

Build farms send the same few heads thousands of times. The connection calls `Replay` with what arrived, before aiohttp
sees it. The key is the whole head, so nothing in it can be overlooked. Only heads that the parser took for exactly one
request without a body are remembered, and only whole, fresh answers from the cache are replayed. Each is counted like
any other: what its log line and its counts have in common with the next one is made once.
"""

from __future__ import annotations

import os
from dataclasses import replace
from http import HTTPStatus

from proxy.cache.representation import Representation
from proxy.errors import StoreError
from proxy.events import Served
from proxy.model import Blob, Outcome, Source
from proxy.ports import AnswerObserver, BlobReader, Clock
from proxy.user_agent import UNKNOWN, UserAgent
from proxy.web.answer_plan import finish_head, plan, start_head
from proxy.web.memo import Memo, Remembered, ShortBodies
from proxy.web.responses import SHORT, Exchange, Responder
from proxy.web.server import ClientConnection

_IN_MEMORY = 128 << 10  # bytes; the body of a stored file up to this length is kept in memory


class Replay:
    """Answers the heads that it has seen before. Mutable state: the memo, and short bodies."""

    def __init__(self, blobs: BlobReader, responder: Responder, observer: AnswerObserver, clock: Clock) -> None:
        self._responder = responder
        self._blobs = blobs
        self._observer = observer
        self._clock = clock
        self._memo = Memo()
        self._bodies = ShortBodies()

    def __call__(self, connection: ClientConnection, data: bytes) -> bool:
        """Answer the bytes at once if they are a remembered head. False: they take the usual way."""
        clock = self._clock
        started = clock.monotonic()
        answer = self._memo.get(data, started)
        if answer is None or not connection.writable:
            return False
        transport = connection.transport
        assert transport is not None, "a writable connection has one"
        blob = answer.blob
        body = self._bodies.get(answer.body)
        gone = body is None if blob is None else self._blobs.blob(blob.digest) is None  # else this counts as a use
        if gone:
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
        seconds = clock.monotonic() - started
        if missing and blob is not None:
            self._memo.drop(data)
            connection.reset()
            sent = {Source.CACHE: blob.size - missing}
            self._observer(
                replace(
                    answer.event,
                    outcome=Outcome.ERROR,
                    sent=sent,
                    client=connection.peer,
                    seconds=seconds,
                    first_byte=seconds,
                )
            )
        else:
            tell = answer.tell = answer.tell or self._observer.again(answer.event)
            tell(clock.now(), connection.peer, seconds)
        return True

    def forget(self) -> None:
        """Forget all answers: something that they were made of must not be sent any more."""
        self._memo.clear()
        self._bodies.clear()

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
        try:
            name = self._keep(path, representation, size)
        except StoreError:  # damaged since it was sent, or no descriptor is left
            return
        if name is None:
            return
        confirmed = None if representation.age is None else self._clock.monotonic() - representation.age
        answer = plan(replace(representation, age=None), query, framing, cors=exchange.cors)
        event = Served(
            representation.mount,
            representation.kind,
            representation.outcome,
            HTTPStatus.OK.value,
            {Source.CACHE: size},
            0.0,
            "GET",
            path,
            agent=agent,
            project=representation.project,
            sha256=representation.sha256,
        )
        self._memo.remember(
            head,
            Remembered(
                start_head(HTTPStatus.OK, answer.fields),
                name,
                representation.body if isinstance(representation.body, Blob) else None,
                expires,
                event,
                representation.stands,
                confirmed,
            ),
        )

    def _keep(self, path: str, representation: Representation, size: int) -> str | None:
        """Keep the body, if it is short. Gives its name; None: there is no way to it. Raises BlobDamaged, StoreBroken.

        The name stands for one content: it is a digest, or an address with a strong validator (RFC 9110 §8.8.1).
        """
        body = representation.body
        if isinstance(body, Blob):
            name = body.digest.value
            if size <= _IN_MEMORY and self._bodies.get(name) is None:
                self._bodies.keep(name, self._read(body))
            return name
        if not isinstance(body, bytes) or representation.etag is None:
            return None
        name = f"{path} {representation.etag}"
        self._bodies.keep(name, body)
        return name

    def _read(self, blob: Blob) -> bytes:
        """A short stored file, whole. Raises BlobDamaged, StoreBroken."""
        with self._blobs.lease(blob) as descriptor:
            return os.pread(descriptor, blob.size, 0)
