"""Grafana's own description of dashboards takes ours: its names, its values, and what must be there.

Grafana publishes it for each version as types of TypeScript, with the options of each kind of panel. The compiler finds
a name that is not in them, too. No Grafana runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from grafana import dashboards

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_PACKAGES = ("@grafana/schema@11.6.0", "typescript@5.8.3")
_TYPES = "./node_modules/@grafana/schema/dist/esm/raw"
_OPTIONS = {"stat": "Stat", "heatmap": "Heatmap", "timeseries": "TimeSeries"}
_TEXTS = dashboards.texts()
# Enums are written as their values.
_PLAIN = """
type Plain<T> =
  T extends string ? `${T}`
  : T extends number ? (number extends T ? T : T | (`${T}` extends `${infer N extends number}` ? N : never))
  : T extends Array<infer U> ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
"""


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Grafana's types and the compiler are installed."""
    if shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip("there is no npm: apt-get install npm")
    folder = tmp_path_factory.mktemp("types")
    _run(folder, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *_PACKAGES)
    return folder


def _run(folder: Path, *command: str) -> str:
    """What it says. Raises AssertionError with that where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def _compile(folder: Path, board: dict[str, Any]) -> None:
    """Have a dashboard and the options of its panels compared with the types."""
    lines = [_PLAIN, f'import type {{ Dashboard }} from "{_TYPES}/dashboard/x/dashboard_types.gen.d.ts";']
    for kind, name in _OPTIONS.items():
        path = f"composable/{kind}/panelcfg/x/{name}PanelCfg_types.gen.d.ts"
        lines.append(f'import type * as {kind} from "{_TYPES}/{path}";')
    lines.append(f"export const board: Plain<Dashboard> = {json.dumps(board)};")
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        number, kind = panel["id"], panel["type"]
        custom = panel["fieldConfig"]["defaults"].get("custom")
        lines.append(f"export const options{number}: Plain<{kind}.Options> = {json.dumps(panel['options'])};")
        if custom is not None:
            lines.append(f"export const custom{number}: Plain<{kind}.FieldConfig> = {json.dumps(custom)};")
    (folder / "board.ts").write_text("\n".join(lines), "utf-8")
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler")
    _run(folder, "node_modules/.bin/tsc", *options, "--target", "es2022", "--allowImportingTsExtensions", "board.ts")


@pytest.mark.parametrize("name", _TEXTS)
def test_dashboard__is_what_grafana_describes(compiler: Path, name: str) -> None:
    """Names, values, what must be there; of the options of each panel, too."""
    _compile(compiler, json.loads(_TEXTS[name]))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ((), "colour", "red"),
        (("panels", 1), "gridPos", {"x": 0}),
        (("panels", 1, "options"), "textMode", "loud"),
        (("panels", 1, "fieldConfig", "defaults"), "units", "s"),
        (("templating", "list", 0), "type", "guess"),
    ],
)
def test_dashboard__a_mistake_is_found(compiler: Path, place: tuple[str | int, ...], name: str, value: object) -> None:
    """What is not described is refused, wherever it is: else the test above would say nothing."""
    board = part = json.loads(_TEXTS["savings.json"])
    for step in place:
        part = part[step]
    part[name] = value

    with pytest.raises(AssertionError, match=r"board\.ts"):
        _compile(compiler, board)
