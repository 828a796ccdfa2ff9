"""Replay: a request head that was answered before is answered again without being parsed.

Build farms send the same few heads thousands of times. The connection calls `Replay` with what arrived, before aiohttp
sees it. The key is the whole head, but for what a program says of itself (`head_key`), so nothing in it can be
overlooked; and the address that the client connected to, with which links of pages may begin. Only heads that the
parser took for exactly one request without a body are remembered, and only whole, fresh answers that come from the
cache the next time are replayed. Each is counted like any other: what its log line and its counts have in common with
the next one is made once, when the head comes again.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from math import inf
from typing import Any

from msgspec import structs

from proxy.cache.representation import Representation
from proxy.errors import StoreError
from proxy.events import OWN, Served
from proxy.foresight.environments import of_agent
from proxy.model import Blob, Kind, Outcome, Query, Source
from proxy.ports import AnswerObserver, BlobReader, Clock
from proxy.user_agent import DOCKER_BUILD, UNKNOWN, UserAgent
from proxy.web.answer_batch import AnswerBatch
from proxy.web.answer_plan import Framing, plan, start_head
from proxy.web.busy_answers import BusyAnswers
from proxy.web.head_key import HeadKeys, Program, names_program_once
from proxy.web.memo import Memo, Ready, Remembered, ShortBodies, Told
from proxy.web.request_head import name_alone
from proxy.web.responses import SHORT, Exchange, Responder
from proxy.web.server import ClientConnection
from proxy.web.shared_facts import SharedAnswer
from proxy.web.wakeful_loop import Turn

_IN_MEMORY = 128 << 10  # bytes; the body of a stored file up to this length is kept in memory
_WHOLE, _FRAMING = Query(None), Framing((1, 1), keep_alive=True)  # what is remembered was asked for so
_CONFIRMED = (Outcome.MISS, Outcome.SHARED, Outcome.REVALIDATED)  # upstream gave or confirmed it for this very answer
_HIT = Outcome.HIT
_LOOKS = 64  # answers of the program itself
_FILED = 16 << 10  # bytes; to copy a shorter body is cheap at any time
_LONG = 64 << 10  # bytes; what it takes to copy a body of this length is a part of what its client waits for
_PAUSE = 15e-6  # seconds; while one connection asks after the other, less passes between two answers
_MADE = frozenset({"Server", "Content-Length", "Date"})  # header fields that are made anew


class Replay:
    """Answers the heads that it has seen before. Mutable state: memo, bodies, files, what keys are made of, a time."""

    def __init__(
        self,
        blobs: BlobReader,
        responder: Responder,
        observer: AnswerObserver[Any],
        clock: Clock,
        turn: Turn | None = None,
    ) -> None:
        """`turn`: that of the event loop, if it says what is going on in it."""
        self._responder = responder
        self._blobs = blobs
        self._observer = observer
        self._clock = clock
        self._turn = turn or Turn()
        self._batch = AnswerBatch(self._turn)
        self._memo = Memo()
        self._looks = Memo(_LOOKS)
        self._bodies = ShortBodies()
        self._keys = HeadKeys()
        self._busy = BusyAnswers()
        self._answered = 0.0  # when the last answer left, in monotonic seconds

    def __call__(self, connection: ClientConnection, data: bytes) -> bool:
        """Answer the bytes at once if they are a remembered head. False: they take the usual way."""
        clock = self._clock
        started, now = clock.monotonic(), clock.now()
        key, program = self._keys.of(data, connection.reached)
        answer = self._memo.get(key, started) or self._looks.get(key, started)
        if answer is None or not connection.writable:
            return False
        ready = answer.ready or self._made_ready(answer)
        blob, body = answer.blob, self._bodies.get(answer.body) if answer.kept is None else answer.kept
        gone = body is None if blob is None else not self._blobs.has(blob.digest)
        if gone or ready is None:
            self._memo.drop(key)
            return False
        head = ready.head(now, None if answer.confirmed is None else started - answer.confirmed)
        if body is not None:
            self._send(connection, ready, head, body, started)
        elif blob is not None:
            try:
                missing = self._send_stored(connection, head, blob)
            except StoreError:
                self._memo.drop(key)
                return False
            if missing:
                self._memo.drop(key)
                connection.reset()
                self._observer(_broken(ready.event, connection.peer, blob.size - missing, clock.monotonic() - started))
                return True
        if ready.used is not head:  # one use a second is enough
            ready.used = head
            self._note_use(key, answer)
        connection.restart_keepalive()
        agent = answer.agent if program is None else program[1]
        if answer.in_build and not agent.build:
            agent = agent._replace(build=DOCKER_BUILD)
        self._answered = clock.monotonic()
        self._observer.again(ready.prepared, now, connection.peer, self._answered - started, agent)
        if answer.told is not None:
            _tell(answer, connection.peer, program)
        self._turn.expecting = True
        return True

    def forget(self) -> None:
        """Forget all answers: something that they were made of must not be sent any more."""
        self._memo.clear()
        self._looks.clear()
        self._bodies.clear()
        self._busy.clear()

    def remember_shared(
        self, exchange: Exchange, path: str, answer: SharedAnswer, agent: UserAgent, *, in_build: bool
    ) -> None:
        """Remember an answer of the program itself, while it stands: pages that are open ask for it all the time."""
        head, body = exchange.connection.head, answer.body
        if exchange.query.method != "GET" or exchange.framing != _FRAMING or head is None:
            return
        key, _ = self._keys.of(head, exchange.connection.reached)
        if not names_program_once(key):
            return
        body = body if isinstance(body, bytes) else b""
        fields = [(name, value) for name, value in answer.headers.items() if name not in _MADE]
        if answer.status == HTTPStatus.OK:
            fields.append(("Content-Length", str(len(body))))
        event = Served(OWN, Kind.OTHER, _HIT, answer.status, {}, 0.0, "GET", path, agent=agent)
        ready = Ready(start_head(answer.status, fields), event, self._observer.prepare(event))
        self._looks.remember(
            key,
            Remembered(
                None, path, "", None, inf, answer.stands, agent=agent, in_build=in_build, ready=ready, kept=body
            ),
        )

    def remember(  # noqa: PLR0913 what is known of an answer
        self,
        exchange: Exchange,
        path: str,
        representation: Representation,
        agent: UserAgent = UNKNOWN,
        *,
        in_build: bool = False,
        told: Told | None = None,
    ) -> None:
        """Remember the answer to a plain GET for the same head, if the next one comes from the cache.

        `told`: who is told of each client that gets it, if it says for what it installs.
        """
        query, framing = exchange.query, exchange.framing
        head, size, expires = exchange.connection.head, representation.size, representation.fresh_until
        plain = query.method == "GET" and query.span is None and framing == _FRAMING
        unchanged = exchange.status == HTTPStatus.NOT_MODIFIED and query.if_none_match is not None
        if not plain or head is None or size is None or not expires:
            return
        hit = _as_hit(representation)
        if hit is None or not (unchanged or (exchange.status == HTTPStatus.OK and size <= SHORT)):
            return
        key, _ = self._keys.of(head, exchange.connection.reached)
        name = self._name(path, hit)
        if name is None or not names_program_once(key):
            return
        body, blob = hit.body, None
        if isinstance(body, Blob):
            blob = body
        elif isinstance(body, bytes):
            hit = structs.replace(hit, body=b"")
            if not unchanged:
                self._bodies.keep(name, body)
        confirmed = None if hit.age is None else self._clock.monotonic() - hit.age
        # Of those whom a proxy stands for, each has a head of its own.
        installs = not query.client.shared and of_agent(query.user_agent) is not None
        self._memo.remember(
            key,
            Remembered(
                hit,
                path,
                name,
                blob,
                expires,
                hit.stands,
                confirmed,
                exchange.cors,
                agent=agent,
                in_build=in_build,
                told=told if installs else None,
                asked=query if installs else None,
                kept=b"" if unchanged else None,
                unchanged=unchanged,
            ),
        )

    def _note_use(self, key: bytes, answer: Remembered) -> None:
        """What is used stays longest, here and on disk."""
        self._memo.use(key)
        self._looks.use(key)
        self._bodies.use(answer.body)
        if answer.blob is not None:
            self._blobs.blob(answer.blob.digest)

    def _made_ready(self, answer: Remembered) -> Ready | None:
        """What the answer has in common with the next one; None: its body cannot be read."""
        shown, blob, body = answer.representation, answer.blob, self._bodies.get(answer.body)
        assert shown is not None, "the others are ready from the start"
        if blob is not None and blob.size <= _IN_MEMORY and body is None and not answer.unchanged:
            try:
                self._bodies.keep(answer.body, self._read(blob))
            except StoreError:  # damaged since it was sent, or no descriptor is left
                return None
        if blob is None:
            shown = structs.replace(shown, body=body or b"")
        size = shown.size
        assert size is not None, "checked when it was remembered"
        query = structs.replace(_WHOLE, if_none_match=shown.etag) if answer.unchanged else _WHOLE
        same = plan(structs.replace(shown, age=None), query, _FRAMING, cors=answer.cors)
        event = Served(
            shown.mount,
            shown.kind,
            shown.outcome,
            same.status,
            {} if answer.unchanged else {Source.CACHE: size},
            0.0,
            "GET",
            answer.path,
            agent=answer.agent,
            project=shown.project,
            sha256=shown.sha256,
        )
        ready = answer.ready = Ready(start_head(same.status, same.fields), event, self._observer.prepare(event))
        return ready

    def _send(self, connection: ClientConnection, ready: Ready, head: bytes, body: bytes, now: float) -> None:
        """Send an answer whose body is in memory. `now`: monotonic seconds."""
        if len(body) < _FILED:
            self._batch.send(connection, head, body)
            return
        if len(body) >= _LONG and now - self._answered > _PAUSE:
            connection.send(head, body, apart=True)
            return
        busy = ready.busy
        if busy is None or busy.head is not head:
            busy = ready.busy = self._busy.begin(head, body, busy)
        self._busy.use(busy, body, now)
        self._batch.send(connection, head, body, busy)

    def _send_stored(self, connection: ClientConnection, head: bytes, blob: Blob) -> int:
        """Send a stored file from disk. Gives how many bytes could not be read. Raises BlobDamaged, StoreBroken."""
        transport = connection.transport
        assert transport is not None, "a writable connection has one"
        return blob.size - self._responder.send_short(transport, head, blob, 0, blob.size)

    @staticmethod
    def _name(path: str, representation: Representation) -> str | None:
        """The name of a body, which stands for one content; None: there is none.

        It is a digest, or an address with a strong validator (RFC 9110 §8.8.1).
        """
        body = representation.body
        if isinstance(body, Blob):
            return body.digest.value
        return f"{path} {representation.etag}" if isinstance(body, bytes) and representation.etag is not None else None

    def _read(self, blob: Blob) -> bytes:
        """A short stored file, whole. Raises BlobDamaged, StoreBroken."""
        with self._blobs.lease(blob) as descriptor:
            return os.pread(descriptor, blob.size, 0)


def _as_hit(representation: Representation) -> Representation | None:
    """The answer as the next one will be: a hit, of what is kept; None where that is not certain."""
    if representation.source is Source.CACHE and representation.outcome is _HIT:
        return representation
    if representation.kind not in (Kind.PAGE, Kind.METADATA) or representation.outcome not in _CONFIRMED:
        return None
    # Of an index, what upstream gave is kept by now.
    return structs.replace(representation, outcome=_HIT, source=Source.CACHE, age=0.0)


def _tell(answer: Remembered, address: str, program: Program | None) -> None:
    """Tell of a client that got a remembered answer. `program`: what it says of itself."""
    told, asked, shown = answer.told, answer.asked, answer.representation
    if program is not None and told is not None and asked is not None and shown is not None:
        told(asked, shown, name_alone(address, program[2]))


def _broken(event: Served, client: str, size: int, seconds: float) -> Served:
    """An answer that broke off after `size` bytes."""
    sent = {Source.CACHE: size}
    return structs.replace(event, outcome=Outcome.ERROR, sent=sent, client=client, seconds=seconds, first_byte=seconds)
