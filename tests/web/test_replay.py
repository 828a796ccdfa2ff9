"""Replay by itself: what it remembers, and when it answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, cast

import pytest

from proxy.cache.representation import Representation
from proxy.events import Event, Served
from proxy.model import Kind, Outcome, Query, Source, Span
from proxy.ports import Again
from proxy.user_agent import UserAgent
from proxy.web.answer_plan import Framing
from proxy.web.replay import Replay
from proxy.web.responses import Exchange, Responder
from proxy.web.server import ClientConnection
from tests.flows.asking import SteppedClock

HEAD = b"GET /pypi/simple/demo/ HTTP/1.1\r\nHost: a\r\n\r\n"
QUERY, FRAMING = Query(None), Framing((1, 1), keep_alive=True)
REPRESENTATION = Representation(
    b"page", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE, fresh_until=float("inf")
)


@dataclass
class Line:
    """What replay sees of a connection."""

    head: bytes | None = HEAD
    writable: bool = True
    peer: str = "127.0.0.1"
    written: list[bytes] = field(default_factory=list)
    restarted: int = 0

    @property
    def transport(self) -> Line:
        return self

    def write(self, content: bytes) -> None:
        self.written.append(content)

    def restart_keepalive(self) -> None:
        self.restarted += 1


def exchange(
    query: Query[object] = QUERY, framing: Framing = FRAMING, head: bytes | None = HEAD, status: int = 200
) -> Exchange:
    """A request that was answered."""
    return Exchange(cast("ClientConnection", Line(head)), query, framing, 0.0, status=status)


class Events(list[Event]):
    """What was counted; an answer that was sent again, as the event that it comes to."""

    def __call__(self, event: Event, /) -> None:
        self.append(event)

    def again(self, event: Served) -> Again:
        def tell(_: float, client: str, seconds: float) -> None:
            self.append(replace(event, client=client, seconds=seconds, first_byte=seconds))

        return tell


@pytest.fixture
def events() -> Events:
    """What was counted."""
    return Events()


@pytest.fixture
def clock() -> SteppedClock:
    """The time by which answers age; another than the machine's."""
    return SteppedClock()


@pytest.fixture
def replay(events: Events, clock: SteppedClock) -> Replay:
    """A replay that knows nothing yet. Bodies in memory need no store and no threads."""
    nobody: Any = None
    return Replay(nobody, Responder(nobody, nobody, nobody, clock), events, clock)


def answered(replay: Replay, line: Line | None = None) -> bool:
    """Whether the head is answered."""
    return replay(cast("ClientConnection", line or Line()), HEAD)


def test_call__does_not_stand_any_more(replay: Replay) -> None:
    """An answer is replayed only while it still is right, and never again after that."""
    held = [True, False, True]
    replay.remember(exchange(), "/path", replace(REPRESENTATION, stands=lambda: held.pop(0)))
    assert [True, False, False] == [answered(replay) for _ in range(3)]


def test_call__remembered(replay: Replay, events: Events, clock: SteppedClock) -> None:
    """The whole answer leaves in one write, and is counted."""
    agent = UserAgent("pip", "24.0")
    replay.remember(exchange(), "/path", replace(REPRESENTATION, project="demo"), agent)
    line = Line()
    assert answered(replay, line)
    (raw,) = line.written
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.endswith(b"\r\n\r\npage")
    assert f"\r\nDate: {formatdate(clock.now(), usegmt=True)}\r\n".encode() in raw
    assert line.restarted == 1
    (event,) = events
    assert isinstance(event, Served)
    assert (event.outcome, event.sent, event.path) == (Outcome.HIT, {Source.CACHE: 4}, "/path")
    assert (event.agent, event.project, event.sha256) == (agent, "demo", None)
    assert event.first_byte == event.seconds


def test_call__unknown_head(replay: Replay) -> None:
    """It takes the usual way."""
    assert not answered(replay)


def test_call__connection_that_is_busy(replay: Replay) -> None:
    """Nothing is written between the parts of another answer."""
    replay.remember(exchange(), "/", REPRESENTATION)
    line = Line(writable=False)
    assert (answered(replay, line), line.written) == (False, [])


def test_call__ages_by_the_clock_of_the_services(replay: Replay, clock: SteppedClock) -> None:
    """An answer is replayed while it is fresh, by the clock of the services."""
    replay.remember(exchange(), "/", replace(REPRESENTATION, fresh_until=clock.monotonic() + 10))
    clock.advance(9)
    assert answered(replay)
    clock.advance(1)
    assert not answered(replay)


@pytest.mark.parametrize(
    ("query", "framing"),
    [
        (replace(QUERY, method="HEAD"), FRAMING),
        (replace(QUERY, span=Span(0, 1)), FRAMING),
        (QUERY, replace(FRAMING, keep_alive=False)),
        (QUERY, replace(FRAMING, version=(1, 0))),
    ],
)
def test_remember__no_unusual_request(replay: Replay, query: Query[object], framing: Framing) -> None:
    """Only a plain GET on a connection that stays."""
    replay.remember(exchange(query, framing), "/", REPRESENTATION)
    assert not answered(replay)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.HIT])
def test_remember__only_hits(replay: Replay, outcome: Outcome) -> None:
    """What upstream had a part in is not remembered."""
    replay.remember(exchange(), "/", replace(REPRESENTATION, outcome=outcome))
    assert not answered(replay)


@pytest.mark.parametrize("source", [Source.UPSTREAM, Source.SHARED])
def test_remember__only_from_the_cache(replay: Replay, source: Source) -> None:
    """Bytes are counted once by where they came from: later ones come from memory."""
    replay.remember(exchange(), "/", replace(REPRESENTATION, source=source))
    assert not answered(replay)


def test_remember__only_whole_heads(replay: Replay) -> None:
    """A request that did not come alone in one piece has no head to remember."""
    replay.remember(exchange(head=None), "/", REPRESENTATION)
    assert not answered(replay)


def test_remember__no_304(replay: Replay) -> None:
    """Only answers 200."""
    replay.remember(exchange(status=304), "/", REPRESENTATION)
    assert not answered(replay)
