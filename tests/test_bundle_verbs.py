"""The verbs that carry what is stored to another place are verbs of the program."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.bundle_verbs import verbs
from proxy.cli import cli


@pytest.mark.parametrize(
    "options",
    [
        ("--platform", "linux"),
        ("--python-version", "3.12"),
        ("--apt-source", "http://mirror.example/debian bookworm main"),
        ("--apt-architecture", "arm64"),
        ("--no-install-recommends",),
        ("--no-tools", "--index", "pypi"),
    ],
)
def test_export__options_of_no_build(tmp_path: Path, options: tuple[str, ...]) -> None:
    """How a build is says nothing where none is named: it would be passed over, and all be packed."""
    bundle = tmp_path / "b.tar"

    result = CliRunner().invoke(cli, ["export", str(bundle), "--data", str(tmp_path), *options])

    assert (2, False) == (result.exit_code, bundle.exists())
    assert f"{options[0]}: only with --for or --apt" in result.output


def test_verbs__all_of_them() -> None:
    """Each is there once."""
    found = [command.callback.__name__ for command in verbs.registered_commands if command.callback is not None]
    assert len(found) == len(set(found))
    assert {"export", "diff"} <= set(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (
            "export",
            {
                "--for",
                "--platform",
                "--python-version",
                "--index",
                "--project",
                "--newer-than",
                "--since",
                "--data",
                "--config",
            },
        ),
        ("diff", {"--json"}),
    ],
)
def test_verbs__help(name: str, options: set[str]) -> None:
    """Its help names its options, and the exit statuses."""
    result = CliRunner().invoke(cli, [name, "--help"], env={"COLUMNS": "200"})
    assert 0 == result.exit_code
    assert options <= set(result.output.split())
    assert "EXIT STATUS: 0 done" in result.output
    assert "--wish" not in result.output
