"""The reference of all settings, and what `--print-config` shows."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.config.loading import ConfigError, Resolved, resolve
from proxy.config.proxy_selection import KnownProxies
from proxy.config.reference import listing as listing_of
from proxy.config.reference import reference

_HOME = {"HOME": "/home/somebody"}
_TOML = (
    '[[upstream]]\nmount = "torch"\nurl = "http://files.example/"\nindex = ""\nhosts = ["b.example", "a.example:81"]\n'
)


def listing(resolved: Resolved, environ: Mapping[str, str] = _HOME) -> str:
    """The listing, with the proxies that settings and surroundings give."""
    return listing_of(resolved, KnownProxies.find(resolved.settings, environ))


def test_listing__names_each_origin(tmp_path: Path) -> None:
    """Every line ends with the place that its value came from, by the name that was written there."""
    file = tmp_path / "pullthrough.toml"
    file.write_text(_TOML, encoding="utf-8")
    flags = {"disk": "2 GB"}

    lines = listing(resolve(flags, {**_HOME, "PULLTHROUGH_FETCH_RETRIES": "0"}, tmp_path)).splitlines()

    shown = [" ".join(line.split()) for line in lines if line]
    assert 'disk = "2 GB" # flag --disk' in shown
    assert "retries = 0 # environment PULLTHROUGH_FETCH_RETRIES" in shown
    assert "port = 3142 # default" in shown
    assert f'mount = "torch" # file {file}: upstream' in shown
    assert 'mount = "pypi" # default' in shown
    assert (
        shown.index("[fetch]")
        < shown.index("retries = 0 # environment PULLTHROUGH_FETCH_RETRIES")
        < shown.index("[serve]")
    )


def test_listing__is_a_settings_file(tmp_path: Path) -> None:
    """Saved and loaded, it gives the same settings, the built-in upstream written out."""
    (tmp_path / "pullthrough.toml").write_text(_TOML, encoding="utf-8")
    flags = {"disk": "1234567", "fetch.connect_timeout": "500ms", "serve.idle_timeout": "2h", "page_limit": "3 KiB"}
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
proxy = "http://10.0.0.9:3128/"
volatile = ["nightly", ""]
keep_removed = false
honour_no_store = true
forbidden_is_missing = true

[[upstream]]
mount = "links"
url = "http://127.0.0.1:9/"
kind = "flat"
proxy = ""

[[group]]
mount = "all"
members = ["house", "pytorch/whl/cu126", "pypi"]
pins = {"Torch*" = "pytorch/whl/cu126", "my_lib.*" = "house"}

[[group]]
mount = "few"
members = ["nvidia"]

[[archive]]
url = "https://deb.example/debian"
credentials = "auth.conf:/etc/apt/auth.conf.d/90-corp"
client_credentials = true
paths = ["*.json", "a/*"]
window = "90s"
user_agent = "corp"

[[archive]]
url = "10.0.0.7:8080"
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

    shown = [" ".join(line.split()) for line in lines if line]
    file = f"# file {tmp_path / 'pullthrough.toml'}: group"
    few = shown[shown.index(f'mount = "few" {file}') :]
    assert ["[[group]]", "[[group]]"] == [line for line in shown if line == "[[group]]"]
    assert [f'mount = "few" {file}', f'members = ["nvidia"] {file}', "pins = {} # default"] == few[:3]


def test_listing__shows_no_secret(tmp_path: Path) -> None:
    """The variable is named; nobody looks into it."""
    (tmp_path / "pullthrough.toml").write_text(_EVERYTHING, encoding="utf-8")

    shown = listing(resolve({}, {**_HOME, "HOUSE_INDEX": "user:hunter2"}, tmp_path))

    assert ("env:HOUSE_INDEX" in shown, "hunter2" in shown) == (True, False)


def test_listing__proxies_of_the_environment(tmp_path: Path) -> None:
    """What variables name is shown in comments, with their names; neither user nor password is."""
    (tmp_path / "pullthrough.toml").write_text(_EVERYTHING, encoding="utf-8")
    environ = {
        **_HOME,
        "https_proxy": "http://user:hunter2@secure.example:3128",
        "HTTP_PROXY": "plain.example:8080",
        "NO_PROXY": "pypi.nvidia.com",
    }

    text = listing(resolve({}, environ, tmp_path), environ)

    shown = [" ".join(line.split()) for line in text.splitlines() if line]
    start = shown.index('proxy = "environment" # default')
    assert [
        '# for http = "http://plain.example:8080" # the variable HTTP_PROXY',
        '# for https = "http://***@secure.example:3128" # the variable https_proxy',
    ] == shown[start + 1 : start + 3]
    assert [
        '# proxy = "http://***@secure.example:3128" # the variable https_proxy',  # PyPI
        '# proxy = "http://***@secure.example:3128" # the variable https_proxy',  # PyTorch
        '# proxy = "direct" # default',  # NVIDIA
        '# proxy = "http://***@secure.example:3128" # the variable https_proxy',  # Astral
        f'proxy = "http://10.0.0.9:3128" # file {tmp_path / "pullthrough.toml"}: upstream',
        f'proxy = "direct" # file {tmp_path / "pullthrough.toml"}: upstream',
    ] == [line for line in shown if "proxy = " in line and shown.index(line) > start]
    assert not [secret for secret in ("hunter2", "user:", "user@") if secret in text]


def test_listing__proxy_with_a_password(tmp_path: Path) -> None:
    """A password is not shown, and what is shown in its place is not taken for one."""
    resolved = resolve({"proxy": "http://user:hunter2@proxy.example:3128"}, _HOME, tmp_path)

    text = listing(resolved)

    assert 'proxy = "http://***@proxy.example:3128" # flag --proxy' in [" ".join(x.split()) for x in text.splitlines()]
    assert "hunter2" not in text
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"again\.toml: proxy: .* write them again"):
        resolve({"config": "again.toml"}, _HOME, tmp_path)


def test_reference__defaults() -> None:
    """Defaults read as one would write them; those that depend on the machine are described."""
    text = reference()

    assert "| `PULLTHROUGH_FETCH_SEGMENT` | `16 MiB` |" in text
    assert "| `PULLTHROUGH_SERVE_THREADS` | the number of CPUs, at most 4 |" in text
    assert "\n| `url` | (required) |" in text
    assert "\n| `hosts` | (none) |" in text


def test_reference__tables_are_whole() -> None:
    """Every row of a table has as many cells as its head."""
    cells = [line.count("|") for line in reference().splitlines() if line.startswith("|")]

    assert {6, 4} == set(cells)
