"""An upstream in memory, for tests of services: it plays what it is given, and keeps the contract of its port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proxy.errors import Forwarded, PullthroughError, UpstreamBroken, UpstreamError
from proxy.events import Event, Fetched, UpstreamFailed
from proxy.model import UpstreamRequest
from proxy.ports import Observer, Reply
from proxy.upstream import response_head

_MISSING = 404


class Gate:
    """A place where an answer waits. `reached` is set when it got there; `open` lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let the answer go on, and all later ones."""
        self._opened.set()

    async def wait(self) -> None:
        """Be there, and wait."""
        self.reached.set()
        await self._opened.wait()


@dataclass(frozen=True, slots=True)
class Scripted:
    """An answer. A 200 whose `ranges` is set becomes a 206 where the request has a `Range`.

    `error` is raised in place of an answer; `cut` ends the body, broken, after that many bytes; `then` is what is
    raised there. `gate` holds the head back, `body_gate` the body after `gate_at` bytes.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False
    error: PullthroughError | None = None
    cut: int | None = None
    then: UpstreamError = field(default_factory=lambda: UpstreamBroken("Upstream's answer broke off before its end."))
    gate: Gate | None = None
    body_gate: Gate | None = None
    gate_at: int = 0
    url: str | None = None  # where redirects led
    piece: int = 64 << 10  # bytes of a chunk


Answer = Scripted | Callable[[UpstreamRequest], Scripted]


class MemoryUpstream:
    """Implements `ports.Upstream`. Of several answers to one address each is given once, the last one for ever."""

    offline = False

    def __init__(self, observer: Observer | None = None) -> None:
        self.asks: list[UpstreamRequest] = []
        self.sent = 0  # body bytes
        self.open = 0  # answers that are being read
        self.down_urls: set[str] = set()
        self.heard_urls: set[str] = set()
        self._answers: dict[str, list[Answer]] = {}
        self._observer: Observer = observer or _nobody

    def on(self, url: str, *answers_: Answer) -> None:
        """Answer requests of `url` so."""
        self._answers[url] = list(answers_)

    def count(self, url: str) -> int:
        """How often `url` was asked for."""
        return sum(request.url == url for request in self.asks)

    @asynccontextmanager
    async def get(self, request: UpstreamRequest) -> AsyncIterator[Reply]:
        """See `ports.Upstream.get`."""
        self.asks.append(request)
        queue = self._answers.get(request.url, [Scripted(status=_MISSING)])
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        script = answer if isinstance(answer, Scripted) else answer(request)
        if script.gate is not None:
            await script.gate.wait()
        asked = {name.lower(): value for name, value in request.headers.items()}
        status, headers, body = _ranged(script, asked)
        error = script.error or response_head.refusal(status, headers, asked, 0.0)
        if request.own and not request.site.owns(script.url or request.url):
            error = Forwarded("Upstream redirects this page to another host.")
        if error is not None:
            if isinstance(error, UpstreamError):
                self._observer(UpstreamFailed(request.site.mount, error.reason))
            raise error
        self.open += 1
        try:
            yield _MemoryReply(self, request, script, status, headers, body)
        finally:
            self.open -= 1

    def down(self, url: str, *, file: bool = False) -> bool:
        """See `ports.Upstream.down`; tests fill `down_urls`."""
        return url in self.down_urls

    def reaches(self, url: str) -> bool:
        """See `ports.Upstream.reaches`."""
        return url not in self.down_urls

    def heard(self, url: str) -> bool:
        """See `ports.Upstream.heard`; tests fill `heard_urls`."""
        return url in self.heard_urls


class _MemoryReply:
    """Implements `ports.Reply`."""

    def __init__(
        self,
        owner: MemoryUpstream,
        request: UpstreamRequest,
        script: Scripted,
        status: int,
        headers: dict[str, str],
        body: bytes,
    ) -> None:
        self.status = status
        self.url = script.url or request.url
        self.headers = headers
        self.part = response_head.part_of(status, headers)
        self.size = response_head.size_of(status, headers)
        self.validator = response_head.validator_of(headers)
        self._owner = owner
        self._ask = request
        self._script = script
        self._body = body
        self._reading: AsyncIterator[bytes] | None = None
        self._kept = b""

    async def readinto(self, buffer: memoryview) -> int:
        """See `ports.Reply.readinto`."""
        if self._reading is None:
            self._reading = self.chunks()
        if not self._kept:
            self._kept = await anext(self._reading, b"")
        size = min(len(self._kept), len(buffer))
        buffer[:size], self._kept = self._kept[:size], self._kept[size:]
        return size

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `ports.Reply.chunks`."""
        script, body, at = self._script, self._body, 0
        end = len(body) if script.cut is None else min(script.cut, len(body))
        while at < end or (script.body_gate is not None and at == script.gate_at):
            if script.body_gate is not None and at == script.gate_at:
                await script.body_gate.wait()
            stop = min(at + script.piece, end)
            if script.body_gate is not None and at < script.gate_at:
                stop = min(stop, script.gate_at)
            if stop == at:
                break
            self._owner.sent += stop - at
            self._owner._observer(Fetched(self._ask.site.mount, stop - at))
            yield body[at:stop]
            at = stop
        if script.cut is not None:
            self._owner._observer(UpstreamFailed(self._ask.site.mount, script.then.reason))
            raise script.then


def _ranged(script: Scripted, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, for the part that is asked for (RFC 9110 §14.2, with §13.1.5 `If-Range`)."""
    headers = {name.lower(): value for name, value in script.headers.items()}
    size = len(script.body)
    given = headers.get("etag"), headers.get("last-modified")
    wanted = asked.get("range") if script.ranges and script.status == 200 else None
    if wanted is None or asked.get("if-range") not in (None, *given):
        return script.status, {"content-length": str(size), **headers}, script.body
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if start >= size:
        return 416, {**headers, "content-range": f"bytes */{size}"}, b""
    headers |= {"content-range": f"bytes {start}-{end - 1}/{size}", "content-length": str(end - start)}
    return 206, headers, script.body[start:end]


def _nobody(event: Event, /) -> None:
    """Watches nothing."""
