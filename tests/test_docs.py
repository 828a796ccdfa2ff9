"""The documents say what the program does."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.naming import flag, key, settings_fields, variable
from proxy.config.reference import reference
from proxy.config.upstreams import UpstreamSettings

_ROOT = Path(__file__).parent.parent
_CONFIGURATION = _ROOT / "docs" / "configuration.md"


def test_configuration__is_what_the_definitions_give() -> None:
    """`make docs` was run after the last change of a setting."""
    assert reference() == _CONFIGURATION.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [path for path, _ in settings_fields()], ids=key)
def test_configuration__names_each_setting(path: tuple[str, ...]) -> None:
    """Key, flag and variable of each setting stand in its row."""
    text = _CONFIGURATION.read_text(encoding="utf-8")

    assert f"| `{key(path)}` | `{flag(path)}` | `{variable(path)}` |" in text


@pytest.mark.parametrize("name", UpstreamSettings.model_fields)
def test_configuration__names_each_key_of_an_upstream(name: str) -> None:
    """Each key of `[[upstream]]` has a row."""
    assert f"\n| `{name}` |" in _CONFIGURATION.read_text(encoding="utf-8")


def test_documents__are_there() -> None:
    """A newcomer finds what every project has."""
    names = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "docs/ARCHITECTURE.md"]

    assert [] == [name for name in names if not (_ROOT / name).is_file()]
