"""The settings of `[[warm]]`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.settings import Settings
from proxy.config.warming import WarmSettings


def test_arguments() -> None:
    """The words behind the verb; what is named stands after all options, whatever it begins with."""
    whole = WarmSettings(
        name="all",
        what=("-x", "demo"),
        platforms=("linux",),
        python_versions=("3.11", "3.12"),
        index="own",
        tools=False,
        apt=("curl jq",),
        apt_sources=("http://mirror.example/debian stable main",),
        apt_architecture="arm64",
    )
    expected = [
        "--json",
        "--index",
        "own",
        "--platform",
        "linux",
        "--python-version",
        "3.11",
        "--python-version",
        "3.12",
        "--apt",
    ]
    expected += ["curl jq", "--apt-source", "http://mirror.example/debian stable main"]
    assert [*expected, "--apt-architecture", "arm64", "--no-tools", "--", "-x", "demo"] == whole.arguments()
    assert ["--json", "--index", "pypi", "--", "demo"] == WarmSettings(name="one", what=("demo",)).arguments()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "Upper", "what": ["demo"]}, "lower-case"),
        ({"name": "one"}, "names nothing"),
        ({"name": "one", "what": ["demo"], "every": "5s"}, "60"),
        ({"name": "one", "what": ["demo"], "more": 1}, "more"),
    ],
)
def test_entry__wrong(entry: dict[str, Any], said: str) -> None:
    """It is said what is."""
    with pytest.raises(ValidationError, match=said):
        WarmSettings(**entry)


def test_entries__of_one_name() -> None:
    """The log and the API know them by their names."""
    entry = {"name": "one", "what": ["demo"]}
    with pytest.raises(ValidationError, match="one is there twice"):
        Settings(data="/data", warms=[entry, entry])
    assert 86400.0 == Settings(data="/data", warms=[entry]).warms[0].every
