"""The short way: a head that was answered before, byte for byte, is answered without being parsed.

Called by the connection with what arrived, before aiohttp sees it. Only whole answers from the cache leave this way,
and only while they are fresh; each is counted like any other.
"""

from __future__ import annotations

import time
from dataclasses import replace
from http import HTTPStatus

from proxy.cache.representation import Representation
from proxy.errors import StoreError
from proxy.events import Served
from proxy.model import Blob, Outcome, Source
from proxy.ports import Clock, Observer
from proxy.web import heads
from proxy.web.hot import INLINE, Hot, HotAnswer
from proxy.web.plans import plan
from proxy.web.responses import SHORT, Exchange, Responder
from proxy.web.server import Connection


class Shortcut:
    """Answers heads seen before. Mutable state: the memo."""

    def __init__(self, responder: Responder, observer: Observer, clock: Clock) -> None:
        self._responder = responder
        self._observer = observer
        self._clock = clock  # the one by which services say how long an answer is fresh
        self._hot = Hot()

    def __call__(self, connection: Connection, data: bytes) -> bool:
        """Answer the bytes at once if they are a remembered head. False: they take the usual way."""
        started = time.monotonic()
        clock = self._clock.monotonic()
        answer = self._hot.get(data, clock)
        if answer is None or not connection.idle:
            return False
        transport = connection.transport
        assert transport is not None, "an idle connection has one"
        if answer.blob is not None and not self._responder.touch(answer.blob):
            self._hot.drop(data)
            return False
        blob, sent = answer.blob, 0
        head = heads.finish(answer.lines, None if answer.confirmed is None else clock - answer.confirmed)
        if answer.body is not None:
            transport.write(head + answer.body)
        elif blob is not None:
            try:
                sent = self._responder.send_short(transport, head, blob, 0, blob.size)
            except StoreError:
                self._hot.drop(data)
                return False
        now = time.monotonic()
        connection.answered(now)
        served = answer.event(connection.client, now - started)
        if answer.body is None and blob is not None and sent < blob.size:
            self._hot.drop(data)
            connection.reset()
            served = replace(served, outcome=Outcome.ERROR, sent={Source.CACHE: sent})
        self._observer(served)
        return True

    def forget(self) -> None:
        """Forget all answers: something that they were made of must not be given any more."""
        self._hot.clear()

    def remember(self, exchange: Exchange, path: str, shown: Representation) -> None:
        """Keep an answer for the same head again, if that is right: all of it from the cache, on a usual connection."""
        asked, head, size = exchange.asked, exchange.connection.head, shown.size
        usual = asked.method == "GET" and asked.keep_alive and asked.version == (1, 1) and asked.span is None
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
        lines = heads.head(HTTPStatus.OK, plan(replace(shown, age=None), asked).lines)
        sent = {Source.CACHE: size}

        def event(client: str, seconds: float) -> Served:
            return Served(shown.mount, shown.kind, shown.outcome, 200, sent, seconds, "GET", path, client)

        self._hot.remember(head, HotAnswer(lines, body, blob, shown.fresh_until, event, shown.stands, confirmed))
