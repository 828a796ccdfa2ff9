"""Questions of the API: what is read out of a query, and who answers."""

from __future__ import annotations

import pytest

from proxy.cache.forecast import Forecast, Verdict
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.protocol import PulledFiles, PullWish, Stats
from proxy.web.questions import ANSWERS, NAMES, Questions, described

_STATS = Stats("1", "", None, 0, 0, 1, None, 0, (), ())
_EXPLANATION = Explanation(Forecast(kind="own", verdict=Verdict.OWN, why=()))


class Knowing:
    """Answers, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def who(self, wish: PullWish) -> PulledFiles | None:
        self.asked.append(wish)
        return PulledFiles((), more=False)

    async def stats(self, largest: int) -> Stats | None:
        self.asked.append(largest)
        return _STATS

    async def explain(self, wish: ExplainWish) -> Explanation | None:
        self.asked.append(wish)
        return _EXPLANATION

    @property
    def questions(self) -> Questions:
        return Questions(self.who, self.stats, self.explain)


@pytest.mark.parametrize(
    ("name", "query", "asked", "answer"),
    [
        ("who", {"what": "six"}, PullWish("six", most=100), PulledFiles((), more=False)),
        (
            "who",
            {"what": "lite*", "version": "1.*", "since": "7", "client": "10.0.0.1", "most": "5"},
            PullWish("lite*", "1.*", 7.0, "10.0.0.1", 5),
            PulledFiles((), more=False),
        ),
        ("who", {"what": "six", "most": "999999"}, PullWish("six", most=1000), PulledFiles((), more=False)),
        ("stats", {}, 10, _STATS),
        ("stats", {"largest": "0"}, 0, _STATS),
        ("stats", {"largest": "999999"}, 1000, _STATS),
        ("explain", {"url": "/pypi/"}, ExplainWish("/pypi/"), _EXPLANATION),
    ],
)
async def test_answer(name: str, query: dict[str, str], asked: object, answer: object) -> None:
    """Each question has its fields; what is too much is bounded."""
    knowing = Knowing()
    assert answer == await knowing.questions.answer(name, query)
    assert [asked] == knowing.asked


@pytest.mark.parametrize(
    ("name", "query", "words"),
    [
        ("who", {}, "name a project"),
        ("who", {"what": "*****"}, "at most"),
        ("who", {"what": "six", "since": "yesterday"}, "since: a number"),
        ("who", {"what": "six", "since": "-1"}, "since: a number"),
        ("who", {"what": "six", "most": "\u0663"}, "most: a number"),
        ("who", {"what": "six", "most": "0"}, "most"),
        ("stats", {"largest": ""}, "largest: a number"),
        ("stats", {"largest": "1" * 13}, "largest: a number"),
        ("explain", {}, "url"),
        ("explain", {"url": "x" * 9000}, "url"),
    ],
)
async def test_answer__wrong(name: str, query: dict[str, str], words: str) -> None:
    """The text says which field; nobody is asked."""
    knowing = Knowing()
    with pytest.raises(ValueError, match=words):
        await knowing.questions.answer(name, query)
    assert [] == knowing.asked


def test_described__all_of_them() -> None:
    """In the order in which their answers are given to the document."""
    assert (NAMES, len(NAMES)) == (tuple(described()), len(ANSWERS))
