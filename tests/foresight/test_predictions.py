"""Being wrong is bounded and counted."""

from __future__ import annotations

import pytest

from proxy.events import Event, Foreseen
from proxy.foresight.predictions import Prediction, Predictions
from proxy.model import Kind, Target


class Seen(list[Event]):
    """The events so far."""

    def __call__(self, event: Event, /) -> None:
        self.append(event)

    @property
    def outcomes(self) -> list[tuple[str, int]]:
        """What was told of predictions."""
        return [(event.outcome, event.size) for event in self if isinstance(event, Foreseen)]


@pytest.fixture
def seen() -> Seen:
    """Nothing yet."""
    return Seen()


@pytest.fixture
def predictions(seen: Seen) -> Predictions:
    """An empty record."""
    return Predictions(seen)


def page(number: int) -> Target:
    """A page's address."""
    return Target("pypi", None, f"simple/p{number}/")


def foresee(predictions: Predictions, number: int, now: float = 0.0, client: str = "a") -> Prediction:
    """Foresee a page, which comes."""
    made = predictions.begin(page(number), Kind.PAGE, client, now)
    assert made is not None
    predictions.ended(made, 10)
    return made


def test_asked(predictions: Predictions, seen: Seen) -> None:
    """What a client asks for was used, once."""
    foresee(predictions, 1)
    assert predictions.asked(page(1), 1.0)
    assert not predictions.asked(page(1), 2.0)
    assert [("fetched", 10), ("used", 10)] == seen.outcomes


def test_asked__before_it_came(predictions: Predictions, seen: Seen) -> None:
    """The bytes are counted when they are known."""
    made = predictions.begin(page(1), Kind.PAGE, "a", 0.0)
    assert made is not None
    assert predictions.asked(page(1), 1.0)
    assert [] == seen.outcomes
    predictions.ended(made, 10)
    assert [("fetched", 10), ("used", 10)] == seen.outcomes


def test_begin__twice(predictions: Predictions) -> None:
    """What was foreseen for one client is not foreseen again for another."""
    foresee(predictions, 1)
    assert predictions.begin(page(1), Kind.PAGE, "b", 0.0) is None


def test_ended__nothing_came(predictions: Predictions, seen: Seen) -> None:
    """What was here before does not count."""
    made = predictions.begin(page(1), Kind.PAGE, "a", 0.0)
    assert made is not None
    predictions.ended(made, None)
    assert not predictions.asked(page(1), 0.0)
    assert [] == seen.outcomes


@pytest.mark.parametrize(("kind", "soon", "late"), [(Kind.PAGE, 59.0, 61.0), (Kind.FILE, 599.0, 601.0)])
def test_may__unused(predictions: Predictions, seen: Seen, kind: Kind, soon: float, late: float) -> None:
    """What nobody asked for in time was of no use; files have more time."""
    made = predictions.begin(page(1), kind, "a", 0.0)
    assert made is not None
    predictions.ended(made, 7)
    predictions.may("a", soon)
    assert [("fetched", 7)] == seen.outcomes
    predictions.may("a", late)
    assert [("fetched", 7), ("unused", 7)] == seen.outcomes


def test_may__too_many_open(predictions: Predictions) -> None:
    """A client that asks for nothing of it gets no more; others do."""
    for number in range(128):
        assert predictions.may("a", 0.0)
        foresee(predictions, number)
    assert not predictions.may("a", 0.0)
    assert predictions.may("b", 0.0)
    predictions.asked(page(5), 0.0)
    assert predictions.may("a", 0.0)


def test_may__too_many_of_all(predictions: Predictions) -> None:
    """Names of clients are free: all of them together have a bound, too, until what is open is judged."""
    for number in range(4096):
        foresee(predictions, number, client=f"client {number}")
    assert not predictions.may("another", 0.0)
    assert predictions.may("another", 61.0)


def test_ended__when_it_is_foreseen_again(predictions: Predictions, seen: Seen) -> None:
    """What was asked for before it came, and came to nothing, leaves the next prediction of it alone."""
    first = predictions.begin(page(1), Kind.PAGE, "a", 0.0)
    assert first is not None
    assert predictions.asked(page(1), 1.0)
    foresee(predictions, 1, client="b")
    predictions.ended(first, None)
    assert predictions.asked(page(1), 2.0)
    assert [("fetched", 10), ("used", 10)] == seen.outcomes


def test_may__score_that_was_forgotten(predictions: Predictions) -> None:
    """A client that others have displaced has no more room than before."""
    for number in range(128):
        foresee(predictions, number)
    for number in range(256):
        foresee(predictions, 1000 + number, client=f"client {number}")
    for number in range(128):
        predictions.asked(page(number), 0.0)
    for number in range(2000, 2128):
        assert predictions.may("a", 0.0)
        foresee(predictions, number)
    assert not predictions.may("a", 0.0)


@pytest.mark.parametrize(("used", "goes_on"), [(16, True), (15, False)])
def test_may__goes_elsewhere(predictions: Predictions, used: int, goes_on: bool) -> None:
    """Less than half of the last ones were used: nothing for two minutes, and then a new chance."""
    for number in range(32):
        foresee(predictions, number)
    for number in range(used):
        predictions.asked(page(number), 1.0)
    assert goes_on is predictions.may("a", 61.0)
    assert predictions.may("b", 61.0)
    assert predictions.may("a", 61.0 + 121.0)
