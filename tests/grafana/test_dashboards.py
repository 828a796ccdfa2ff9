"""The dashboards are what their program writes, and every panel explains itself.

That each expression gives data is tested with the real Prometheus, in `tests/e2e/test_prometheus.py`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import dashboards
from tests.grafana.test_rules import ROOT

_TEXTS = dashboards.texts()
_PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, text in _TEXTS.items()
    for panel in json.loads(text)["panels"]
    if panel["type"] != "row"
]


def test_files__are_what_the_program_writes() -> None:
    """`python -m grafana.dashboards` was run after the last change."""
    written = {path.name: path.read_text("utf-8") for path in dashboards.FOLDER.glob("*.json")}

    assert _TEXTS == written


@pytest.mark.parametrize("name", _TEXTS)
def test_dashboard__is_of_the_schema(name: str) -> None:
    """The SDK's types of Grafana 11.6 take it, and nothing of it is lost on the way.

    Grafana's own description is asked in `tests/e2e/test_dashboards.py`.
    """
    read = json.loads(_TEXTS[name])
    taken = json.loads(json.dumps(Dashboard.from_json(read), cls=JSONEncoder))

    assert read == _common(taken, read)
    assert {"instance", "upstream"} <= {variable["name"] for variable in read["templating"]["list"]}


def _common(taken: Any, read: Any) -> Any:
    """What was taken, without what was not there before."""
    if isinstance(read, dict):
        return {key: _common(taken.get(key), value) for key, value in read.items()}
    if isinstance(read, list) and len(read) == len(taken):
        return [_common(*both) for both in zip(taken, read, strict=True)]
    return taken


@pytest.mark.parametrize(("name", "panel"), _PANELS)
def test_panel__explains_itself(name: str, panel: dict[str, Any]) -> None:
    """It has a description, a unit, a text for no data, and asks the provisioned source for what is chosen."""
    defaults = panel["fieldConfig"]["defaults"]
    uid = re.search(r"uid: (\S+)", (ROOT / "grafana/provisioning/datasources/pullthrough.yaml").read_text("utf-8"))

    assert panel["description"].endswith(".")
    assert defaults.get("unit") or panel["options"]["yAxis"]["unit"]
    assert defaults["noValue"]
    assert uid is not None
    for target in panel["targets"]:
        assert uid[1] == target["datasource"]["uid"] == panel["datasource"]["uid"]
        for selector in re.findall(r"(?<!\$)\{([^{}]*)\}", target["expr"]):
            assert 'instance=~"$instance"' in selector


def test_panels__name_what_is_counted() -> None:
    """A metric or a rule that is renamed takes its panels along."""
    documents = [(ROOT / f"docs/{name}.md").read_text("utf-8") for name in ("metrics", "operations")]
    for text in _TEXTS.values():
        for name in re.findall(r"(?:\w+:)?pullthrough_\w+(?::\w+)?(?=[\[{,])", text):
            plain = name if ":" in name else re.sub("_(bucket|count|sum)$", "", name)
            assert f"\n## {plain}\n" in documents[0] or f"`{plain}`" in documents[1], name


def test_panels__times_of_clients_alone() -> None:
    """A time that a client waited is of a page or a file: not of the cache's own pages, nor of a tunnel."""
    selectors = [
        selector
        for text in _TEXTS.values()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", ())
        for selector in re.findall(r"pullthrough_(?:request|first_byte)_seconds_\w+\{([^{}]*)\}", target["expr"])
    ]

    assert selectors
    assert [] == [selector for selector in selectors if 'kind!="other"' not in selector]
