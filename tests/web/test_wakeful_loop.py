"""The event loop stays awake for a moment, for whoever asks back to back, and for nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import aiohttp
import pytest

from proxy import app
from proxy.config.settings import Settings
from proxy.web.wakeful_loop import MOMENT, Turn, WakefulLoop, WakefulSelector, current_turn

LONG = 5.0  # seconds; a test that sleeps for so long has failed


class Scene:
    """A selector that waits for one socket, and the clock by which it waits: each look at it takes `step` seconds."""

    def __init__(self, *, alone: bool = False) -> None:
        self.reader, self.writer = socket.socketpair()
        self.selector = WakefulSelector(self.now, alone=alone)
        self.selector.register(self.reader, selectors.EVENT_READ)
        self.looks = 0
        self.step = MOMENT / 10
        self.comes_at = 0  # the look at which bytes come; 0: never
        self._time = 0.0

    def now(self) -> float:
        """Monotonic seconds."""
        self.looks += 1
        self._time += self.step
        if self.looks == self.comes_at:
            self.writer.send(b"next")
        return self._time

    def wait(self, timeout: float | None = LONG, *, step: float = MOMENT / 10, comes_at: int = 0) -> tuple[bool, int]:
        """Whether bytes came, and how often the clock was looked at."""
        self.looks, self.step, self.comes_at = 0, step, comes_at
        came = bool(self.selector.select(timeout))
        if came:
            self.reader.recv(100)
        return came, self.looks

    def ask_back_to_back(self) -> None:
        """A client gets an answer, and its next request is there before a moment has passed."""
        self.selector.turn.expecting = True
        assert self.wait(comes_at=1) == (True, 2)

    def close(self) -> None:
        """Close all."""
        self.selector.close()
        self.reader.close()
        self.writer.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Nobody has asked yet."""
    made = Scene()
    yield made
    made.close()


def test_select__nobody_is_expected(scene: Scene) -> None:
    """It is the library's wait: no look at a clock."""
    assert scene.wait(0.001) == (False, 0)
    scene.writer.send(b"request")
    assert scene.wait() == (True, 0)


def test_select__the_first_request(scene: Scene) -> None:
    """Nobody has asked back to back yet: it sleeps."""
    scene.selector.turn.expecting = True
    assert scene.wait(0.001, step=MOMENT) == (False, 1)


def test_select__back_to_back(scene: Scene) -> None:
    """It stays awake: what comes while it looks is there without a sleep, time after time."""
    scene.ask_back_to_back()
    for _ in range(3):
        scene.selector.turn.expecting = True
        assert scene.wait(comes_at=4) == (True, 4)


def test_select__nobody_came_within_a_moment(scene: Scene) -> None:
    """It sleeps after that, and the next time from the start."""
    scene.ask_back_to_back()
    scene.selector.turn.expecting = True
    came, looks = scene.wait(0.001, step=MOMENT / 4)
    assert (came, 2 < looks < 10) == (False, True)
    scene.selector.turn.expecting = True
    assert scene.wait(0.001) == (False, 1)


def test_select__a_timer_comes_first(scene: Scene) -> None:
    """It looks no longer than the loop has time."""
    scene.ask_back_to_back()
    scene.selector.turn.expecting = True
    came, looks = scene.wait(MOMENT / 100, step=MOMENT / 100)
    assert (came, looks < 5) == (False, True)


def test_select__only_a_timer_came(scene: Scene) -> None:
    """A short wait that ends without a request is none of a client's: the next one is slept through, too."""
    for _ in range(2):
        scene.selector.turn.expecting = True
        assert scene.wait(MOMENT / 100, step=MOMENT / 100) == (False, 1)


def test_select__other_work_is_left(scene: Scene) -> None:
    """A loop with work only looks, and stays awake once that is done."""
    scene.ask_back_to_back()
    scene.selector.turn.expecting = True
    assert scene.wait(0) == (False, 0)
    assert scene.wait(comes_at=4) == (True, 4)


def test_select__one_processor() -> None:
    """The client needs it."""
    scene = Scene(alone=True)
    for _ in range(2):
        scene.writer.send(b"request")
        scene.selector.turn.expecting = True
        assert scene.wait() == (True, 0)
    scene.close()


def test_select__how_many_are_ready(scene: Scene) -> None:
    """The turn knows, however it was waited for."""
    other, its_end = socket.socketpair()
    scene.selector.register(other, selectors.EVENT_READ)
    scene.writer.send(b"request")
    its_end.send(b"request")
    for expecting in (False, True, True):
        scene.selector.turn.expecting = expecting
        scene.selector.select(LONG)
        assert scene.selector.turn.ready == 2
    other.recv(100)
    assert scene.wait() == (True, 0)
    assert scene.selector.turn.ready == 1
    assert scene.wait(0) == (False, 0)
    assert scene.selector.turn.ready == 0
    other.close()
    its_end.close()


class CountingTurn(Turn):
    """Counts how often somebody was expected."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "expecting" and value is True:
            self.times += 1


def test_current_turn__after_answers_that_are_replayed(tmp_path: Path) -> None:
    """The program tells its loop of them, and of no others."""

    async def ask() -> None:
        async with contextlib.AsyncExitStack() as stack:
            running = await app.start(Settings(port=0, data=tmp_path))
            stack.push_async_callback(running.close)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            for _ in range(5):
                async with session.get(f"{running.url}/api/v1/now") as answer:
                    assert answer.status == HTTPStatus.OK

    with asyncio.Runner(loop_factory=WakefulLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WakefulLoop)
        loop.turn = turn = CountingTurn()
        runner.run(ask())
        assert 0 < turn.times < 5  # the first answer was not remembered


async def test_current_turn__another_loop() -> None:
    """Nothing is known of it."""
    turn = current_turn()
    await asyncio.sleep(0)
    assert (turn.ready, turn.expecting) == (0, False)
