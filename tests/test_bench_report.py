"""The document of the bench: verdicts from figures, and what is said of a case that could not be measured."""

from __future__ import annotations

import pytest

from bench.bed import QUICK
from bench.installs import AHEAD
from bench.report import Setting, render
from bench.results import DIRECT, OURS, Results, Row
from bench.shown import CASES
from bench.target import Bound, Target, quotient
from bench.targets import targets

_SETTING = Setting("make bench", "1 core", {OURS: "1.0"})


def _installs(**seconds: float) -> Results:
    """Case (g) with one round; keys as `pip_cold`."""
    results = Results()
    for client in ("pip", "uv"):
        results.add(Row("g", f"{client}, cold", DIRECT), seconds=10.0)
        for state in ("cold", "warm"):
            results.add(Row("g", f"{client}, {state}", OURS), seconds=seconds[f"{client}_{state}"])
    results.add(Row("g", AHEAD, OURS), fetched=90.0, unused=0.0)
    results.add(Row("g", AHEAD, OURS), fetched=10.0, unused=4.0)
    return results


def test_targets__installs() -> None:
    """Each client is held against the same client without a cache; what was never asked for, over all installs."""
    found = targets(_installs(pip_cold=5.0, pip_warm=1.8, uv_cold=9.0, uv_warm=3.5), "g")

    assert pytest.approx([0.5, 0.18, 0.9, 0.35, 4.0]) == [target.value for target in found]
    assert [True, False, True, False, False] == [target.met for target in found]


def test_render__a_case_that_was_left_out() -> None:
    """It has no rows in the verdict, and its section says why."""
    results = Results()
    results.leave_out("g", "PyPI could not be reached: no route")

    text = render(results, cases="g", servers=[OURS], scale=QUICK, setting=_SETTING)

    assert [] == targets(results, "g")
    assert f"## (g) {CASES['g'].title}\n\nNot measured: PyPI could not be reached: no route\n" in text


def test_render__says_how_and_how_long() -> None:
    """A section begins with what was done, and how long it took."""
    results = _installs(pip_cold=5.0, pip_warm=1.0, uv_cold=9.0, uv_warm=1.0)
    results.durations["g"] = 61.4

    text = render(results, cases="g", servers=[OURS], scale=QUICK, setting=_SETTING)

    assert f"{CASES['g'].how} The case took 61 s.\n" in text
    assert "| pip, cold | 10 s | 5 s | - | - |\n" in text


@pytest.mark.parametrize("case", sorted(CASES))
def test_targets__of_a_case_without_figures(case: str) -> None:
    """What was not measured is neither met nor missed."""
    assert {None} >= {target.met for target in targets(Results(), case)}


def test_render__all_cases() -> None:
    """A document has a section for each case, whatever came of it."""
    results = Results()
    for case in CASES:
        results.fail(Row(case, "a variant", OURS), ValueError("it did not start"))

    text = render(results, cases="".join(CASES), servers=[OURS], scale=QUICK, setting=_SETTING)

    assert len(CASES) == text.count("- pullthrough, a variant: failed: it did not start\n")
    assert "0 of 0 measured targets are met" in text


def test_quotient__of_nothing() -> None:
    """A row without figures, or with a figure of zero, gives no ratio."""
    results = Results()
    results.add(Row("g", "pip", OURS), seconds=1.0)
    results.add(Row("g", "pip", DIRECT), seconds=0.0)
    assert quotient(results, Row("g", "pip", OURS), Row("g", "pip", DIRECT), "seconds") is None
    assert quotient(results, Row("g", "uv", OURS), Row("g", "uv", DIRECT), "seconds") is None


@pytest.mark.parametrize(("bound", "met"), [(Bound.LEAST, True), (Bound.MOST, True), (Bound.EXACT, True)])
def test_target__at_its_limit(bound: Bound, met: bool) -> None:
    """A figure that is its limit keeps to it."""
    assert met is Target("it", 1.0, bound, 1.0).met


def test_quotient__of_each_repetition() -> None:
    """The machine was slow in one repetition, for both: that changes nothing."""
    results = Results()
    ours, other = Row("h", "page", OURS), Row("h", "page", "nginx")
    for speed, both in ((1.0, 100.0), (1.1, 100.0), (1.2, 10.0)):
        results.add(ours, rate=speed * both)
        results.add(other, rate=both)

    assert quotient(results, ours, other, "rate") == pytest.approx(1.1)

    results.add(other, rate=100.0)

    assert quotient(results, ours, other, "rate") == pytest.approx(1.0)
