"""The facts, for all who look."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.status import Now
from proxy.web import shared_facts
from proxy.web.shared_facts import Facts, SharedAnswer, SharedFacts

_NOW = Now("1", 0.0, 0, 0, 0, 0, 0, 100, None)


class Gathering:
    """Gathers facts that change each time, unless they are `same`, and counts."""

    def __init__(self, *, same: bool = False) -> None:
        self.times = 0
        self._same = same

    async def __call__(self) -> Now:
        self.times += 1
        await asyncio.sleep(0)
        return _NOW if self._same else msgspec.structs.replace(_NOW, sent=self.times)


async def test_get__many_at_once() -> None:
    """They are gathered once, and encoded once."""
    gathering = Gathering()
    facts = SharedFacts(gathering)

    found = await asyncio.gather(*(facts.get() for _ in range(20)))

    assert 1 == gathering.times
    assert all(one is found[0] for one in found)
    assert _NOW.version == msgspec.json.decode(found[0].body)["version"]


async def test_get__later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that are too old are gathered anew; where nothing changed, they are the same object."""
    monkeypatch.setattr(shared_facts, "_LIFE", 0.0)
    changing, same = SharedFacts(Gathering()), SharedFacts(Gathering(same=True))

    first, second = await changing.get(), await changing.get()
    assert (1, 2) == (first.now.sent, second.now.sent)
    assert first.tag != second.tag
    assert await same.get() is await same.get()


async def test_get__who_looked_first_goes_away() -> None:
    """The others get the facts all the same."""
    gathering = Gathering()
    facts = SharedFacts(gathering)
    leaving = asyncio.create_task(facts.get())
    staying = asyncio.create_task(facts.get())
    await asyncio.sleep(0)
    leaving.cancel()

    assert 2 == (await staying).now.sent


async def test_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts are those that the next one gets for as long as nobody gathers anew."""
    facts = SharedFacts(Gathering())
    first = await facts.get()
    assert facts.are(first)
    assert not facts.are(Facts.of(_NOW))
    monkeypatch.setattr(shared_facts, "_LIFE", 0.0)
    changing = SharedFacts(Gathering())
    assert not changing.are(await changing.get())


def test_answer() -> None:
    """Who has it already is told so; it stands for as long as it is said to."""
    stands = [True, False]
    answers = [
        SharedAnswer.of(
            make_mocked_request("GET", "/", headers={"If-None-Match": tag}), b"it", '"a"', {"X-A": "1"}, stands.pop
        )
        for tag in ('"b"', 'W/"b", "a"')
    ]
    assert [(200, b"it"), (304, None)] == [(answer.status, answer.body) for answer in answers]
    assert [('"a"', "1")] * 2 == [(answer.headers["ETag"], answer.headers["X-A"]) for answer in answers]
    assert [False, True] == [answer.stands() for answer in answers]
