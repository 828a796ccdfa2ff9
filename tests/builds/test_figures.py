"""The figures of a cache, and what it gave between two looks at them."""

from __future__ import annotations

import pytest

from proxy.builds.figures import Figures, Saving, between, read_figures

_TEXT = """\
# HELP pullthrough_sent_bytes_total Body bytes sent.
pullthrough_sent_bytes_total{upstream="pypi",kind="file",source="cache"} 100.0
pullthrough_sent_bytes_total{upstream="pypi",kind="page",source="cache"} 20.0
pullthrough_sent_bytes_total{upstream="pypi",kind="file",source="upstream"} 3.0
pullthrough_start_time_seconds 1.7e+09
pullthrough_build_info{version="0.1.0",python="3.11"} 1.0
process_open_fds 7.0
"""
_SENT = "pullthrough_sent_bytes_total"
_FETCHED = "pullthrough_fetched_bytes_total"


def test_figures__sums_by_a_label() -> None:
    """Over all other labels, or with some of them fixed."""
    figures = read_figures(_TEXT)

    assert figures is not None
    assert ("1.7e+09", "0.1.0") == (figures.started, figures.version)
    assert {"pypi": 123.0} == figures.sums("pullthrough_sent_bytes_total", "upstream")
    assert {"pypi": 120.0} == figures.sums("pullthrough_sent_bytes_total", "upstream", source="cache")
    assert {} == figures.sums("pullthrough_fetched_bytes_total", "upstream")


@pytest.mark.parametrize("text", ["", "process_open_fds 7.0\n", "pullthrough_start_time_seconds 1.0\n", "<html>"])
def test_figures__of_another_program(text: str) -> None:
    """Only this program's metrics count."""
    assert read_figures(text) is None


def _figures(*samples: tuple[str, dict[str, str], float], started: str = "1") -> Figures:
    return Figures(started, "0.1.0", samples)


def _sent(upstream: str, source: str, value: float, kind: str = "file") -> tuple[str, dict[str, str], float]:
    return _SENT, {"upstream": upstream, "kind": kind, "source": source}, value


def test_between__only_what_grew() -> None:
    """By upstream, and summed up; what an earlier build got does not count, nor the metrics themselves."""
    before = _figures(
        _sent("pypi", "cache", 100), _sent("-", "cache", 5, "other"), (_FETCHED, {"upstream": "pypi"}, 70)
    )
    after = _figures(
        _sent("pypi", "cache", 1100),
        _sent("pypi", "shared", 30),
        _sent("pypi", "upstream", 200),
        _sent("pypi", "cache", 7, "page"),
        _sent("apt", "cache", 0),
        _sent("-", "cache", 5000, "other"),
        (_FETCHED, {"upstream": "pypi"}, 300),
        (_FETCHED, {"upstream": "apt"}, 0),
    )

    savings = between(before, after)

    assert savings is not None
    assert {"pypi": Saving(from_cache=1037, from_upstream=230, sent=1237)} == savings.upstreams
    assert (1037, 230, 1007) == (savings.total.from_cache, savings.total.from_upstream, savings.total.saved)


def test_between__fetched_but_not_sent() -> None:
    """What the build broke off counts against the saving: the metrics say so, too."""
    savings = between(_figures(), _figures((_FETCHED, {"upstream": "apt"}, 10)))

    assert savings is not None
    assert -10 == savings.total.saved


def test_between__cache_started_anew() -> None:
    """Its figures began again: there is no difference to tell."""
    assert between(_figures(started="1"), _figures(started="2")) is None
