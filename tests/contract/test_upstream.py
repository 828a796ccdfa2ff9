"""The contract of `ports.Upstream`, held by the real client over real connections and by the one in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from proxy.app import SystemClock
from proxy.errors import (
    NotFound,
    PullthroughError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamError,
    UpstreamThrottled,
)
from proxy.events import Event, Fetched, UpstreamFailed
from proxy.model import Part, Site, UpstreamRequest, Validator
from proxy.ports import Upstream
from proxy.upstream.client import AiohttpUpstream
from tests.memory_upstream import MemoryUpstream, Scripted
from tests.upstream.scripted import Line, Then, plain, scripted

BODY = bytes(range(256)) * 1000


@dataclass
class Stage:
    """An upstream to be tested, and a way to say what it is to answer at `site.base`."""

    upstream: Upstream
    site: Site
    player: Player
    events: list[Event]

    def ask(self, headers: dict[str, str] | None = None) -> UpstreamRequest:
        """A request of the one address."""
        return UpstreamRequest(self.site.base + "x", self.site, headers or {})

    @property
    def fetched(self) -> int:
        """Body bytes reported."""
        return sum(event.size for event in self.events if isinstance(event, Fetched))

    @property
    def failures(self) -> list[str]:
        """The reasons of the failures reported."""
        return [event.reason for event in self.events if isinstance(event, UpstreamFailed)]


class Player(Protocol):
    """Says what the one address is to answer."""

    def __call__(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut: int | None = None
    ) -> None: ...


@dataclass
class Seen:
    """Observer: the events that it saw."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        self.events.append(event)


@contextlib.asynccontextmanager
async def real() -> AsyncIterator[Stage]:
    """The client, and a server on loopback."""
    seen = Seen()
    async with scripted() as server:
        upstream = AiohttpUpstream(observer=seen, clock=SystemClock(), retries=0, read_timeout=20.0)

        def play(status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut: int | None = None) -> None:
            lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
            answer = plain(body, *lines, status=f"{status} So")
            if cut is not None:
                answer = Line(answer.data[: len(answer.data) - len(body) + cut], Then.CLOSE)
            server.on("/x", answer)

        try:
            yield Stage(upstream, Site("demo", server.base, "", 600.0), play, seen.events)
        finally:
            await upstream.close()


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[Stage]:
    """The one in memory."""
    seen = Seen()
    upstream = MemoryUpstream(seen)

    def play(status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut: int | None = None) -> None:
        upstream.on("http://origin.example/x", Scripted(body, status, headers or {}, cut=cut))

    yield Stage(upstream, Site("demo", "http://origin.example/", "", 600.0), play, seen.events)


@pytest.fixture(params=[real, memory], ids=["aiohttp", "memory"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """Each implementation in turn."""
    async with request.param() as made:
        yield made


async def read(stage: Stage, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Ask, and read the body out."""
    async with stage.upstream.get(stage.ask(headers)) as reply:
        return reply.status, reply.headers, b"".join([chunk async for chunk in reply.chunks()])


async def test_get__whole_body(stage: Stage) -> None:
    """The body comes as it is, its bytes are reported, its headers have lower-case names."""
    stage.player(200, {"ETag": '"one"', "Content-Encoding": "gzip"}, BODY)
    status, headers, body = await read(stage)
    assert (status, headers["etag"], headers["content-encoding"], body) == (200, '"one"', "gzip", BODY)
    assert len(BODY) == stage.fetched
    assert stage.failures == []


async def test_get__address_that_answered(stage: Stage) -> None:
    """Without a redirect the reply's address is the one asked for."""
    stage.player(200)
    async with stage.upstream.get(stage.ask()) as reply:
        assert reply.url == stage.ask().url


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (404, NotFound, None),
        (410, NotFound, None),
        (401, UpstreamDenied, "denied"),
        (403, NotFound, None),
        (429, UpstreamThrottled, "throttled"),
        (503, UpstreamThrottled, "throttled"),
        (500, UpstreamBroken, "broken"),
        (204, UpstreamBroken, "broken"),
        (206, UpstreamBroken, "broken"),
        (304, UpstreamBroken, "broken"),
        (416, UpstreamBroken, "broken"),
    ],
)
async def test_get__status_of_no_use(
    stage: Stage, status: int, expected: type[PullthroughError], reason: str | None
) -> None:
    """A status that is no answer to the request is an error of its kind, and failures are reported."""
    stage.player(status)
    with pytest.raises(expected):
        await read(stage)
    assert [reason] * (reason is not None) == stage.failures


async def test_get__throttled(stage: Stage) -> None:
    """Upstream's wish to be left alone comes with the error."""
    stage.player(429, {"Retry-After": "17"})
    with pytest.raises(UpstreamThrottled) as caught:
        await read(stage)
    assert caught.value.retry_after == 17


async def test_get__not_modified(stage: Stage) -> None:
    """A 304 to a conditional request is an answer without a body."""
    stage.player(304, {"ETag": '"one"'})
    status, _, body = await read(stage, {"If-None-Match": '"one"'})
    assert (status, body) == (304, b"")


async def test_get__part(stage: Stage) -> None:
    """A 206 that is the part asked for is an answer."""
    stage.player(206, {"Content-Range": "bytes 10-19/1000"}, b"0123456789")
    status, headers, body = await read(stage, {"Range": "bytes=10-19"})
    assert (status, headers["content-range"], body) == (206, "bytes 10-19/1000", b"0123456789")


async def test_get__what_the_head_says_of_the_body(stage: Stage) -> None:
    """Which bytes there are, of how many, and of which version, is read for who asks."""
    stage.player(206, {"Content-Range": "bytes 10-19/1000", "ETag": '"one"'}, b"0123456789")
    async with stage.upstream.get(stage.ask({"Range": "bytes=10-19"})) as part:
        assert (Part(10, 20, 1000), 1000, Validator('"one"')) == (part.part, part.size, part.validator)
    stage.player(200, {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}, b"0123456789")
    async with stage.upstream.get(stage.ask()) as whole:
        date = Validator(None, "Wed, 01 Jan 2025 00:00:00 GMT")
        assert (None, 10, date) == (whole.part, whole.size, whole.validator)


async def test_get__other_part(stage: Stage) -> None:
    """A 206 with another part is none."""
    stage.player(206, {"Content-Range": "bytes 0-9/1000"}, b"0123456789")
    with pytest.raises(UpstreamBroken):
        await read(stage, {"Range": "bytes=10-19"})


async def test_get__range_behind_the_end(stage: Stage) -> None:
    """A 416 to a range is an answer."""
    stage.player(416, {"Content-Range": "bytes */5"})
    assert (await read(stage, {"Range": "bytes=10-19"}))[0] == 416


async def test_chunks__cut_short(stage: Stage) -> None:
    """A body that ends before its length says so fails, after giving what came."""
    stage.player(200, {}, BODY, cut=1000)
    got = b""
    async with stage.upstream.get(stage.ask()) as reply:
        with pytest.raises(UpstreamBroken):
            async for chunk in reply.chunks():
                got += chunk
    assert BODY[:1000] == got
    assert (stage.fetched, stage.failures) == (1000, ["broken"])


async def test_readinto__whole_body(stage: Stage) -> None:
    """The body comes into the reader's memory, then nothing."""
    stage.player(200, {}, BODY)
    got, buffer = b"", memoryview(bytearray(100_000))
    async with stage.upstream.get(stage.ask()) as reply:
        while size := await reply.readinto(buffer):
            got += bytes(buffer[:size])
        assert await reply.readinto(buffer) == 0
    assert BODY == got
    assert len(BODY) == stage.fetched


async def test_readinto__cut_short(stage: Stage) -> None:
    """A body that ends before its length says so fails, after giving what came."""
    stage.player(200, {}, BODY, cut=1000)
    buffer = memoryview(bytearray(4000))
    async with stage.upstream.get(stage.ask()) as reply:
        assert await reply.readinto(buffer) == 1000
        with pytest.raises(UpstreamBroken):
            await reply.readinto(buffer)
    assert BODY[:1000] == bytes(buffer[:1000])
    assert (stage.fetched, stage.failures) == (1000, ["broken"])


async def test_get__left_in_the_middle(stage: Stage) -> None:
    """A body that is left unread does no harm to the next request."""
    stage.player(200, {}, BODY)
    async with stage.upstream.get(stage.ask()) as reply:
        await anext(aiter(reply.chunks()))
    stage.player(200, {}, b"next")
    assert (await read(stage))[2] == b"next"


async def test_get__many_at_once(stage: Stage) -> None:
    """Requests do not get in each other's way."""
    stage.player(200, {}, BODY)
    answers = await asyncio.gather(*(read(stage) for _ in range(20)))
    assert {BODY} == {body for _, _, body in answers}


async def test_errors__say_what_to_do_without_the_address(stage: Stage) -> None:
    """The message is for a person, and repeats nothing of the request."""
    stage.player(500)
    with pytest.raises(UpstreamError) as caught:
        await read(stage)
    assert stage.site.base not in str(caught.value)
    assert str(caught.value).endswith(".")


async def test_down__host_that_answers(stage: Stage) -> None:
    """A host that answers is not down."""
    stage.player(200)
    await read(stage)
    assert not stage.upstream.down(stage.ask().url)
