"""Options that several verbs share."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer

from proxy import options
from proxy.config.loading import ConfigError
from proxy.config.naming import settings_fields


def test_with_settings__an_option_for_each() -> None:
    """Each setting is a parameter beside the command's own; texts, and None where it is not given."""

    def verb(*, own: str = "", **flags: str | None) -> None: ...

    parameters = inspect.signature(options.with_settings(verb)).parameters
    assert ["own", *(options.option_name(path) for path, _ in settings_fields())] == list(parameters)
    assert {None} == {parameters[options.option_name(path)].default for path, _ in settings_fields()}


def test_resolved__wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each fault is a line, and the status is that of wrong configuration."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.Exit) as end:
        options.resolved({"HOME": str(tmp_path)}, port="none", disk="much")
    assert 2 == end.value.exit_code
    said = capsys.readouterr().err.splitlines()
    assert 2 == len(said)
    assert all(line.startswith("pullthrough: ") for line in said)


def test_working_folder__removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is gone is an error of the configuration."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert gone == options.working_folder()
    gone.rmdir()
    with pytest.raises(ConfigError, match="removed"):
        options.working_folder()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("given", "offline"), [(True, True), (False, False), (None, False), ("true", True)])
def test_resolved__switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, offline: bool) -> None:
    """`--offline` and `--no-offline` take no value."""
    monkeypatch.chdir(tmp_path)
    assert offline is options.resolved({"HOME": str(tmp_path)}, offline=given).settings.offline
