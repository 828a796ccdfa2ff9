"""The verbs that look after a store are verbs of the program, each with the options that say which store is meant."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from proxy.cli import cli
from proxy.store_verbs import verbs

_NAMES = ["clean", "explain", "import", "stats", "verify", "who"]


def test_verbs__all_of_them() -> None:
    """Each is there once."""
    found = [command.name or command.callback.__name__ for command in verbs.registered_commands if command.callback]
    assert _NAMES == sorted(found)


@pytest.mark.parametrize("name", _NAMES)
def test_verbs__help(name: str) -> None:
    """Its help names the folder, JSON, and the exit statuses."""
    result = CliRunner().invoke(cli, [name, "--help"], env={"COLUMNS": "200"})
    assert 0 == result.exit_code
    assert {"--data", "--config", "--json"} <= set(result.output.split())
    assert "EXIT STATUS: 0 done" in result.output
