"""What `--print-config` shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from proxy.config import resolve
from proxy.config.listing import listing

_HOME = {"HOME": "/home/somebody"}
_TOML = (
    '[[upstream]]\nmount = "torch"\nurl = "http://files.example/"\nindex = ""\nhosts = ["b.example", "a.example:81"]\n'
)


def test_listing__names_each_origin(tmp_path: Path) -> None:
    """Every line ends with the place that its value came from, by the name that was written there."""
    file = tmp_path / "pullthrough.toml"
    file.write_text(_TOML, encoding="utf-8")
    flags = {"disk": "2 GB"}

    lines = listing(resolve(flags, {**_HOME, "PULLTHROUGH_FETCH_RETRIES": "0"}, tmp_path)).splitlines()

    told = [" ".join(line.split()) for line in lines if line]
    assert 'disk = "2 GB" # flag --disk' in told
    assert "retries = 0 # environment PULLTHROUGH_FETCH_RETRIES" in told
    assert "port = 3142 # default" in told
    assert f'mount = "torch" # file {file}: upstream' in told
    assert 'mount = "pypi" # default' in told
    assert (
        told.index("[fetch]")
        < told.index("retries = 0 # environment PULLTHROUGH_FETCH_RETRIES")
        < told.index("[serve]")
    )


def test_listing__is_a_settings_file(tmp_path: Path) -> None:
    """Saved and loaded, it gives the same settings, the built-in upstream written out."""
    (tmp_path / "pullthrough.toml").write_text(_TOML, encoding="utf-8")
    flags = {"disk": "12345", "fetch.connect_timeout": "500ms", "serve.idle_timeout": "2h", "page_limit": "3 KiB"}
    resolved = resolve(flags, _HOME, tmp_path)

    (tmp_path / "again.toml").write_text(listing(resolved), encoding="utf-8")

    assert resolved.settings.with_builtin() == resolve({"config": "again.toml"}, _HOME, tmp_path).settings


_EVERYTHING = r"""
[[upstream]]
mount = "house"
url = "https://index.example/root/"
index = ""
ttl = "90s"
hosts = ["files.example:81", "[::1]:82"]
siblings = ["https://one.example/", "https://two.example/a"]
credentials = "env:HOUSE_INDEX"
volatile = ["nightly", ""]
keep_removed = false
honour_no_store = true
forbidden_is_missing = true

[[upstream]]
mount = "links"
url = "http://127.0.0.1:9/"
kind = "flat"

[[group]]
mount = "all"
members = ["house", "pytorch/whl/cu126", "pypi"]
pins = {"Torch*" = "pytorch/whl/cu126", "my_lib.*" = "house"}

[[group]]
mount = "few"
members = ["nvidia"]
"""


@pytest.mark.parametrize("variable", [False, True])
def test_listing__everything_can_be_read_back(tmp_path: Path, variable: bool) -> None:
    """Upstreams with all that can be set, and groups, from a file and from the environment."""
    environ = dict(_HOME)
    if variable:
        tree = tomllib.loads(_EVERYTHING)
        environ |= {f"PULLTHROUGH_{key.upper()}S": json.dumps(entries) for key, entries in tree.items()}
    else:
        (tmp_path / "pullthrough.toml").write_text(_EVERYTHING, encoding="utf-8")
    resolved = resolve({"data": '/with space/\\ and "quote"'}, environ, tmp_path)
    assert 2 == len(resolved.settings.groups)

    (tmp_path / "again.toml").write_text(listing(resolved), encoding="utf-8")
    again = resolve({"config": "again.toml"}, _HOME, tmp_path).settings

    assert resolved.settings.with_builtin() == again
    assert (resolved.settings.sites(), resolved.settings.index_groups()) == (again.sites(), again.index_groups())


def test_listing__groups_name_their_origin(tmp_path: Path) -> None:
    """What a group's entry says is from the file; what it does not is the default."""
    (tmp_path / "pullthrough.toml").write_text(_EVERYTHING, encoding="utf-8")

    lines = listing(resolve({}, _HOME, tmp_path)).splitlines()

    told = [" ".join(line.split()) for line in lines if line]
    file = f"# file {tmp_path / 'pullthrough.toml'}: group"
    few = told[told.index(f'mount = "few" {file}') :]
    assert ["[[group]]", "[[group]]"] == [line for line in told if line == "[[group]]"]
    assert [f'mount = "few" {file}', f'members = ["nvidia"] {file}', "pins = {} # default"] == few


def test_listing__shows_no_secret(tmp_path: Path) -> None:
    """The variable is named; nobody looks into it."""
    (tmp_path / "pullthrough.toml").write_text(_EVERYTHING, encoding="utf-8")

    shown = listing(resolve({}, {**_HOME, "HOUSE_INDEX": "user:hunter2"}, tmp_path))

    assert ("env:HOUSE_INDEX" in shown, "hunter2" in shown) == (True, False)
