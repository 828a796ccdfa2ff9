"""Replay by itself: what it remembers, and when it answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, cast

import pytest
from msgspec import structs
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.cache.representation import Representation
from proxy.events import Event, Served
from proxy.model import Client, Kind, Outcome, Query, Source, Span
from proxy.user_agent import DOCKER_BUILD, UserAgent
from proxy.web.answer_plan import Framing
from proxy.web.replay import Replay
from proxy.web.request_head import name_of
from proxy.web.responses import Exchange, Responder
from proxy.web.server import ClientConnection
from proxy.web.shared_facts import SharedAnswer
from proxy.web.wakeful_loop import Turn
from tests.flows.asking import SteppedClock
from tests.foresight.agents import agent

HEAD = b"GET /pypi/simple/demo/ HTTP/1.1\r\nHost: a\r\n\r\n"
QUERY, FRAMING = Query(None), Framing((1, 1), keep_alive=True)
REPRESENTATION = Representation(
    b"page", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE, fresh_until=float("inf")
)


class OpenTransport(asyncio.Transport):
    """The client has not gone."""

    def is_closing(self) -> bool:
        return False


@dataclass
class Line:
    """What replay sees of a connection."""

    head: bytes | None = HEAD
    writable: bool = True
    peer: str = "127.0.0.1"
    reached: bytes = b"127.0.0.1:3142 "
    written: list[bytes] = field(default_factory=list)
    apart: list[bool] = field(default_factory=list)
    files: list[bytes | None] = field(default_factory=list)  # what is in them
    restarted: int = 0
    transport: asyncio.Transport = field(default_factory=OpenTransport)

    def send(self, head: bytes, body: bytes, file: int | None = None, *, apart: bool = False) -> None:
        self.written.append(head + body)
        self.apart.append(apart)
        self.files.append(None if file is None else os.pread(file, 1 << 20, 0))

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

    def prepare(self, event: Served) -> Served:
        return event

    def again(self, prepared: Served, _: float, client: str, seconds: float, program: UserAgent, /) -> None:
        self.append(structs.replace(prepared, client=client, seconds=seconds, first_byte=seconds, agent=program))


@pytest.fixture
def events() -> Events:
    """What was counted."""
    return Events()


@pytest.fixture
def clock() -> SteppedClock:
    """The time by which answers age; another than the machine's."""
    return SteppedClock()


@pytest.fixture
def replay(events: Events, clock: SteppedClock) -> Iterator[Replay]:
    """A replay that knows nothing yet. Bodies in memory need no store and no threads."""
    nobody: Any = None
    made = Replay(nobody, Responder(nobody, nobody, nobody, clock), events, clock)
    yield made
    made.forget()


def answered(replay: Replay, line: Line | None = None, head: bytes = HEAD) -> bool:
    """Whether the head is answered."""
    return replay(cast("ClientConnection", line or Line()), head)


def named(said: str) -> bytes:
    """The head of a client that calls itself so."""
    return HEAD.replace(b"\r\n\r\n", f"\r\nUser-Agent: {said}\r\n\r\n".encode())


def test_call__does_not_stand_any_more(replay: Replay) -> None:
    """An answer is replayed only while it still is right, and never again after that."""
    held = [True, False, True]
    replay.remember(exchange(), "/path", structs.replace(REPRESENTATION, stands=lambda: held.pop(0)))
    assert [True, False, False] == [answered(replay) for _ in range(3)]


def test_call__remembered(replay: Replay, events: Events, clock: SteppedClock) -> None:
    """The whole answer leaves at once, and is counted."""
    pip = UserAgent("pip", "24.0")
    replay.remember(exchange(), "/path", structs.replace(REPRESENTATION, project="demo"), pip)
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
    assert (event.agent, event.project, event.sha256) == (pip, "demo", None)
    assert event.first_byte == event.seconds


@pytest.mark.parametrize("size", [4, 16 << 10])
async def test_call__many_ask_at_once(events: Events, clock: SteppedClock, size: int) -> None:
    """Their answers leave together when the turn of the event loop is over."""
    nobody: Any = None
    turn = Turn()
    replay = Replay(nobody, Responder(nobody, nobody, nobody, clock), events, clock, turn)
    replay.remember(exchange(), "/path", structs.replace(REPRESENTATION, body=b"p" * size))
    turn.ready = 5
    lines = [Line() for _ in range(5)]
    assert all(answered(replay, line) for line in lines)
    assert not any(line.written for line in lines)
    await asyncio.sleep(0)
    assert [len(line.written) for line in lines] == [1] * 5
    assert all(line.written[0].endswith(b"\r\n\r\n" + b"p" * size) for line in lines)
    assert len(events) == 5
    replay.forget()


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
    replay.remember(exchange(), "/", structs.replace(REPRESENTATION, fresh_until=clock.monotonic() + 10))
    clock.advance(9)
    assert answered(replay)
    clock.advance(1)
    assert not answered(replay)


@pytest.mark.parametrize(("size", "apart"), [(64 << 10, [True, False, True]), ((64 << 10) - 1, [False] * 3)])
def test_call__head_of_a_long_body(replay: Replay, clock: SteppedClock, size: int, apart: list[bool]) -> None:
    """It leaves before the body where nothing else was answered just now."""
    body = bytes(size)
    replay.remember(exchange(), "/", structs.replace(REPRESENTATION, body=body))
    line = Line()
    clock.advance(1)
    assert [answered(replay, line), answered(replay, line)] == [True, True]
    clock.advance(1)
    assert answered(replay, line)
    assert line.apart == apart


@pytest.mark.parametrize(("size", "by_file"), [((16 << 10) - 1, False), (16 << 10, True), (100 << 10, True)])
def test_call__often(replay: Replay, clock: SteppedClock, size: int, by_file: bool) -> None:
    """A body that is not short leaves from a file in memory then, with the head of this second; the next ones, too."""
    replay.remember(exchange(), "/", structs.replace(REPRESENTATION, body=b"page" * (size // 4) + bytes(size % 4)))
    line, files = Line(), by_file and hasattr(os, "memfd_create")
    for second in range(3):
        clock.advance(1)
        line.written.clear()
        line.files.clear()
        assert all(answered(replay, line) for _ in range(20))
        assert line.files[1] == (line.written[1] if files and second else None)
        assert line.files[-1] == (line.written[-1] if files else None)


@pytest.mark.parametrize(
    ("query", "framing"),
    [
        (structs.replace(QUERY, method="HEAD"), FRAMING),
        (structs.replace(QUERY, span=Span(0, 1)), FRAMING),
        (QUERY, structs.replace(FRAMING, keep_alive=False)),
        (QUERY, structs.replace(FRAMING, version=(1, 0))),
    ],
)
def test_remember__no_unusual_request(replay: Replay, query: Query[object], framing: Framing) -> None:
    """Only a plain GET on a connection that stays."""
    replay.remember(exchange(query, framing), "/", REPRESENTATION)
    assert not answered(replay)


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.METADATA])
@pytest.mark.parametrize(
    ("outcome", "source"),
    [
        (Outcome.MISS, Source.UPSTREAM),
        (Outcome.SHARED, Source.SHARED),
        (Outcome.REVALIDATED, Source.CACHE),
    ],
)
def test_remember__what_upstream_just_gave(
    replay: Replay, events: Events, clock: SteppedClock, kind: Kind, outcome: Outcome, source: Source
) -> None:
    """It is the hit that it is the next time: by its head, by its age, and in the figures."""
    replay.remember(exchange(), "/", structs.replace(REPRESENTATION, kind=kind, outcome=outcome, source=source))
    clock.advance(5)
    line = Line()
    assert answered(replay, line)
    assert b"\r\nX-Cache: hit\r\n" in line.written[0]
    assert b"\r\nAge: 5\r\n" in line.written[0]
    (event,) = events
    assert isinstance(event, Served)
    assert (Outcome.HIT, {Source.CACHE: 4}) == (event.outcome, event.sent)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.STALE, Kind.PAGE),
        (Outcome.ERROR, Kind.PAGE),
        (Outcome.MISS, Kind.FILE),
        (Outcome.REVALIDATED, Kind.OTHER),
    ],
)
def test_remember__not_what_may_be_no_hit(replay: Replay, outcome: Outcome, kind: Kind) -> None:
    """What upstream did not confirm, and files that may not be whole, are looked up again."""
    replay.remember(exchange(), "/", structs.replace(REPRESENTATION, outcome=outcome, kind=kind))
    assert not answered(replay)


def test_call__other_programs(replay: Replay, events: Events) -> None:
    """One answer is for all of them; each is counted under its own name, and what it says of its build."""
    replay.remember(exchange(head=named("pip/1.0")), "/", REPRESENTATION, UserAgent("pip", "1.0"))
    lines = [Line(), Line(), Line()]
    for line, said in zip(lines, ["pip/1.0", "uv/2.0", 'pip/3.0 {"user_data": "job 7"}'], strict=True):
        assert answered(replay, line, named(said))
    assert 1 == len({bytes(line.written[0]) for line in lines})
    expected = [UserAgent("pip", "1.0"), UserAgent("uv", "2.0"), UserAgent("pip", "3.0", "job 7")]
    assert expected == [event.agent for event in events if isinstance(event, Served)]


def test_call__other_programs_of_builds(replay: Replay, events: Events) -> None:
    """Who asks by the name that builds have is a build, unless it says which."""
    replay.remember(exchange(head=named("pip/1.0")), "/", REPRESENTATION, UserAgent("pip", "1.0"), in_build=True)
    for said in ("uv/2.0", 'pip/3.0 {"user_data": "job 7"}'):
        assert answered(replay, head=named(said))
    assert [DOCKER_BUILD, "job 7"] == [event.agent.build for event in events if isinstance(event, Served)]


def test_call__browsers(replay: Replay) -> None:
    """What was answered to a program is not for browsers, which may be refused."""
    replay.remember(exchange(head=named("pip/1.0")), "/", REPRESENTATION)
    assert not answered(replay, head=named("Mozilla/5.0"))


def test_call__program_that_says_nothing(replay: Replay, events: Events) -> None:
    """It gets what others get, and has no name of theirs."""
    replay.remember(exchange(head=named("pip/26.3")), "/", REPRESENTATION, UserAgent("pip", "26.3"))
    assert answered(replay, head=named(""))
    assert isinstance(events[0], Served)
    assert UserAgent() == events[0].agent


def test_call__by_another_address(replay: Replay) -> None:
    """What is remembered may name the address by which its client reached the cache: others get their own."""
    replay.remember(exchange(), "/", REPRESENTATION)
    assert not answered(replay, Line(reached=b"10.0.0.1:3142 "))
    assert not answered(replay, Line(reached=b""))
    assert answered(replay)


def test_remember__two_names(replay: Replay) -> None:
    """Nobody knows which of them counts."""
    head = named("pip/1.0").replace(b"\r\nHost", b"\r\nuser-agent: pip/2.0\r\nHost")
    replay.remember(exchange(head=head), "/", REPRESENTATION)
    assert not answered(replay, head=head)


def test_remember__only_whole_heads(replay: Replay) -> None:
    """A request that did not come alone in one piece has no head to remember."""
    replay.remember(exchange(head=None), "/", REPRESENTATION)
    assert not answered(replay)


def test_remember__who_has_it(replay: Replay, events: Events) -> None:
    """Who asks whether it has changed is told so again, without a body."""
    asked = structs.replace(QUERY, if_none_match='"other", "tag"')
    replay.remember(exchange(asked, status=304), "/", structs.replace(REPRESENTATION, age=3.0))
    line = Line()
    assert answered(replay, line)
    (raw,) = line.written
    assert raw.startswith(b"HTTP/1.1 304 ")
    assert raw.endswith(b"Age: 3\r\n\r\n")
    assert b'\r\nETag: "tag"\r\n' in raw
    (event,) = events
    assert isinstance(event, Served)
    assert (304, {}, Outcome.HIT) == (event.status, event.sent, event.outcome)


@pytest.mark.parametrize("status", [206, 302, 304, 404])
def test_remember__no_other_status(replay: Replay, status: int) -> None:
    """Only whole answers; of a 304, only one to a client that names what it has."""
    replay.remember(exchange(structs.replace(QUERY, if_modified_since="x"), status=status), "/", REPRESENTATION)
    assert not answered(replay)


def look(replay: Replay, status: int, body: bytes | None, *, head: bytes = HEAD, held: bool = True) -> None:
    """The page of the program is looked at."""
    answer = SharedAnswer(status, body, {"Server": "pullthrough", "ETag": '"a"'}, lambda: held)
    replay.remember_shared(exchange(head=head), "/?view=live", answer, UserAgent("Mozilla"), in_build=False)


@pytest.mark.parametrize(("status", "body"), [(200, b"page"), (304, None)])
def test_remember_shared(replay: Replay, events: Events, status: int, body: bytes | None) -> None:
    """The next look is answered with the same, and counted as one of the program's own pages."""
    look(replay, status, body)
    line = Line()
    assert answered(replay, line)
    (raw,) = line.written
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert (1, 1) == (raw.count(b"Server: pullthrough\r\n"), raw.count(b'ETag: "a"\r\n'))
    assert raw.endswith(b"\r\n\r\n" + (body or b""))
    assert (b"Content-Length: 4\r\n" in raw) is (status == 200)
    (event,) = events
    assert isinstance(event, Served)
    assert ("-", Kind.OTHER, Outcome.HIT, status, {}) == (
        event.upstream, event.kind, event.outcome, event.status, event.sent,
    )  # fmt: skip
    replay.forget()
    assert not answered(replay)


def test_remember_shared__while_it_stands(replay: Replay) -> None:
    """Older facts are not shown."""
    look(replay, 200, b"page", held=False)
    assert not answered(replay)


def test_remember_shared__few(replay: Replay) -> None:
    """Each look may be another one: the last ones stay."""
    heads = [HEAD.replace(b"a\r\n", b"%d\r\n" % number) for number in range(100)]
    for head in heads:
        look(replay, 200, b"page", head=head)
    assert [False] * 36 + [True] * 64 == [answered(replay, head=head) for head in heads]


def test_call__look_ahead_is_told(replay: Replay) -> None:
    """Of each client that says for what it installs, as the usual way does."""
    told: list[tuple[Query[Any], Representation, str]] = []
    asked = structs.replace(QUERY, user_agent=agent(), client=Client("10.0.0.9   someone"))
    replay.remember(
        exchange(asked, head=named(agent())), "/", REPRESENTATION, told=lambda *telling: told.append(telling)
    )
    for said in (agent(), agent(user_data="job 7")):
        assert answered(replay, Line(), named(said))
    (first, shown, name), (_, _, other) = told
    assert (asked, Kind.PAGE, Outcome.HIT) == (first, shown.kind, shown.outcome)
    assert name_of("127.0.0.1", CIMultiDictProxy(CIMultiDict({"User-Agent": agent()}))) == name != other


@pytest.mark.parametrize(
    "asked",
    [
        structs.replace(QUERY, user_agent="pip/24.0"),
        structs.replace(QUERY, user_agent=agent(), client=Client("10.0.0.9 10.0.0.1  pip", shared=True)),
    ],
)
def test_call__nobody_is_told(replay: Replay, asked: Query[object]) -> None:
    """Of a program that does not say it, or for which a proxy stands: that one has a head of its own."""

    def tell(*_: object) -> None:
        raise AssertionError("it installs nothing")

    head = named(str(asked.user_agent))
    replay.remember(exchange(asked, head=head), "/", REPRESENTATION, told=tell)
    assert answered(replay, head=head)
