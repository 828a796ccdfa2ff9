"""The short way by itself: what it remembers, and when it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from proxy.cache.representation import Representation
from proxy.events import Event, Served
from proxy.model import Kind, Outcome, Source, Span
from proxy.web.plans import Asked
from proxy.web.responses import Exchange, Responder
from proxy.web.server import Connection
from proxy.web.shortcut import Shortcut
from tests.flows.asking import SteppedClock

HEAD = b"GET /pypi/simple/demo/ HTTP/1.1\r\nHost: a\r\n\r\n"
ASKED = Asked("GET", (1, 1), keep_alive=True)
SHOWN = Representation(
    b"page", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE, fresh_until=float("inf")
)


@dataclass
class Line:
    """What the short way sees of a connection."""

    head: bytes | None = HEAD
    idle: bool = True
    client: str = "127.0.0.1"
    written: list[bytes] = field(default_factory=list)

    @property
    def transport(self) -> Line:
        return self

    def write(self, content: bytes) -> None:
        self.written.append(content)

    def answered(self, now: float) -> None:
        assert now <= time.monotonic()


def exchange(asked: Asked = ASKED, head: bytes | None = HEAD, status: int = 200) -> Exchange:
    """A request that was answered."""
    return Exchange(cast("Connection", Line(head)), asked, status=status)


@pytest.fixture
def events() -> list[Event]:
    """What was counted."""
    return []


@pytest.fixture
def clock() -> SteppedClock:
    """The time by which answers age; another than the machine's."""
    return SteppedClock()


@pytest.fixture
def shortcut(events: list[Event], clock: SteppedClock) -> Shortcut:
    """A short way that knows nothing yet. Bodies in memory need no store and no threads."""
    nobody: Any = None
    return Shortcut(Responder(nobody, nobody), events.append, clock)


def answered(shortcut: Shortcut, line: Line | None = None) -> bool:
    """Whether the head is answered."""
    return shortcut(cast("Connection", line or Line()), HEAD)


def test_call__what_it_was_judged_by_is_gone(shortcut: Shortcut) -> None:
    """An answer is given again only while what it was judged by still is so, and not afterwards."""
    held = [True, False, True]
    shortcut.remember(exchange(), "/path", replace(SHOWN, stands=lambda: held.pop(0)))
    assert [True, False, False] == [answered(shortcut) for _ in range(3)]


def test_call__remembered(shortcut: Shortcut, events: list[Event]) -> None:
    """The whole answer leaves in one write, and is counted."""
    shortcut.remember(exchange(), "/path", SHOWN)
    line = Line()
    assert answered(shortcut, line)
    (raw,) = line.written
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw.endswith(b"\r\n\r\npage")
    assert b"\r\nDate: " in raw
    (event,) = events
    assert isinstance(event, Served)
    assert (event.outcome, event.sent, event.path) == (Outcome.HIT, {Source.CACHE: 4}, "/path")


def test_call__unknown_head(shortcut: Shortcut) -> None:
    """It takes the usual way."""
    assert not answered(shortcut)


def test_call__connection_that_is_busy(shortcut: Shortcut) -> None:
    """Nothing is written between the parts of another answer."""
    shortcut.remember(exchange(), "/", SHOWN)
    line = Line(idle=False)
    assert (answered(shortcut, line), line.written) == (False, [])


def test_call__ages_by_the_clock_of_the_services(shortcut: Shortcut, clock: SteppedClock) -> None:
    """An answer is given until it is not fresh any more, by the clock that said how long it is."""
    shortcut.remember(exchange(), "/", replace(SHOWN, fresh_until=clock.monotonic() + 10))
    clock.advance(9)
    assert answered(shortcut)
    clock.advance(1)
    assert not answered(shortcut)


@pytest.mark.parametrize(
    "asked",
    [
        replace(ASKED, method="HEAD"),
        replace(ASKED, keep_alive=False),
        replace(ASKED, version=(1, 0)),
        replace(ASKED, span=Span(0, 1)),
    ],
)
def test_remember__no_unusual_request(shortcut: Shortcut, asked: Asked) -> None:
    """Only a plain GET on a connection that stays."""
    shortcut.remember(exchange(asked), "/", SHOWN)
    assert not answered(shortcut)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.HIT])
def test_remember__only_hits(shortcut: Shortcut, outcome: Outcome) -> None:
    """What upstream had a part in is not remembered."""
    shortcut.remember(exchange(), "/", replace(SHOWN, outcome=outcome))
    assert not answered(shortcut)


@pytest.mark.parametrize("source", [Source.UPSTREAM, Source.SHARED])
def test_remember__only_from_the_cache(shortcut: Shortcut, source: Source) -> None:
    """Bytes are counted once by where they came from: later ones come from memory."""
    shortcut.remember(exchange(), "/", replace(SHOWN, source=source))
    assert not answered(shortcut)


def test_remember__only_whole_heads(shortcut: Shortcut) -> None:
    """A request that did not come alone in one piece has no head to remember."""
    shortcut.remember(exchange(head=None), "/", SHOWN)
    assert not answered(shortcut)


def test_remember__no_304(shortcut: Shortcut) -> None:
    """Only answers 200."""
    shortcut.remember(exchange(status=304), "/", SHOWN)
    assert not answered(shortcut)
