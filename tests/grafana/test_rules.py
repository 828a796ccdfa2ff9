"""What Prometheus makes of the metrics: every alert can be acted on, and names only what the cache counts.

That the rules do what they say is tested by promtool, in `tests/e2e/test_prometheus.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_RULES = (ROOT / "grafana/rules.yml").read_text("utf-8")
_ALERTS = dict(re.findall(r"- alert: (\w+)\n(.*?)(?=\n\n|\Z)", _RULES, re.DOTALL))
_RUNBOOK = (ROOT / "docs/operations.md").read_text("utf-8")


def test_alerts__are_read() -> None:
    """The tests below look at all of them."""
    assert _RULES.count("alert:") == len(_ALERTS) > 0


@pytest.mark.parametrize("name", _ALERTS)
def test_alert__can_be_acted_on(name: str) -> None:
    """It says how bad and what it is, and where the steps are."""
    alert = _ALERTS[name]

    assert name.startswith("Pullthrough")
    assert re.search(r"severity: (critical|warning|info)\b", alert)
    assert re.search(r'summary: ".+\."', alert)
    assert f"runbook_url: docs/operations.md#{name.lower()}\n" in f"{alert}\n"
    steps = _RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "\n1. " in steps


def test_runbook__has_no_other_sections() -> None:
    """An alert that is gone leaves nothing behind."""
    assert list(_ALERTS) == re.findall(r"^## (\w+)$", _RUNBOOK, re.MULTILINE)


def test_rules__are_explained() -> None:
    """Whoever writes a query finds what is recorded."""
    for name in re.findall(r"record: (\S+)", _RULES):
        assert f"`{name}`" in _RUNBOOK


def test_rules__name_metrics_that_are_documented() -> None:
    """A metric that is renamed takes its rules along."""
    documented = (ROOT / "docs/metrics.md").read_text("utf-8")
    recorded = set(re.findall(r"record: (\S+)", _RULES))
    named = set(re.findall(r"(?<![\w:])pullthrough_\w+(?!:)", re.sub(r"[\w]+:pullthrough_\w+:\w+", "", _RULES)))

    assert recorded
    for name in named:
        assert f"\n## {re.sub('_(bucket|count|sum)$', '', name)}\n" in documented, name
