"""The documents say what the program does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from proxy.clients import apt_lines
from proxy.config.builtin import builtin
from proxy.config.naming import flag, key, settings_fields, variable
from proxy.config.reference import reference
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.model import Target
from proxy.python.routes import FlatPage, ProjectPage, classify
from tests.e2e.locking import WAYS, Keeps, Way
from tests.e2e.ways import prefixed
from tests.live.known import documented

_ROOT = Path(__file__).parent.parent
_CONFIGURATION = _ROOT / "docs" / "configuration.md"
_INDEXES = _ROOT / "docs" / "indexes.md"


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


def test_indexes__settings_are_valid() -> None:
    """All settings that the page of indexes gives can stand in one file; those of built-in indexes are true."""
    given = Settings.model_validate({"data": _ROOT, "upstreams": documented("upstream"), "groups": documented("group")})

    assert len(given.upstreams) > 10
    by_mount = {upstream.mount: upstream for upstream in given.upstreams}
    others = [upstream for upstream in builtin() if upstream.mount != "pypi"]
    assert others == [by_mount[upstream.mount] for upstream in others]


def test_indexes__addresses_lead_somewhere() -> None:
    """Each address on the page is a flat page of its mount, or has the pages of projects below it."""
    given = Settings.model_validate({"data": _ROOT, "upstreams": documented("upstream"), "groups": documented("group")})
    sites = {site.mount: site for site in (upstream.site() for upstream in given.with_builtin().upstreams)}
    groups = {f"{group.mount}/simple/" for group in given.groups}
    found = set(re.findall(r"http://cache\.example:3142/([a-z]+)(/[\w./+-]*)", _INDEXES.read_text(encoding="utf-8")))

    assert len(found) > len(sites)
    for mount, path in found:
        if f"{mount}{path}" not in groups:
            flat = sites[mount].flat or path.endswith(".html")
            at = Target(mount, None, path[1:] if flat else f"{path[1:].rstrip('/')}/demo/".removeprefix("/"))
            assert isinstance(classify(at, sites[mount]), FlatPage if flat else ProjectPage), (mount, path)


def test_documents__are_there() -> None:
    """A newcomer finds what every project has."""
    names = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "docs/ARCHITECTURE.md",
        "docs/indexes.md",
    ]

    assert [] == [name for name in names if not (_ROOT / name).is_file()]


_ROW = re.compile(r"^\| (.+?) \| `(.+?)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def test_clients__table_is_what_the_tests_know() -> None:
    """Of each client's lock file the document says what the tests that run the clients find."""
    text = (_ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    needs = {True: "any index: another cache, or PyPI", False: "that cache"}

    assert _ROW.findall(text) == [
        (way.client, way.lock, way.keeps.value, needs[way.keeps is Keeps.NOTHING]) for way in WAYS
    ]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.client)
def test_clients__each_way_is_explained(way: Way) -> None:
    """A client has its section, with the variables that the tests set, and what the lock file looks like."""
    text = (_ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    client = re.split(r"[, 3]", way.client)[0]
    (section,) = re.findall(rf"^## {client}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)

    assert [] == [name for name in (*way.variables, *way.trusting) if f"export {name}=" not in section]
    assert f"\n# {way.lock}, {way.client}\n" in section


def test_install__names_what_the_makefile_needs() -> None:
    """What a bare Debian or Ubuntu lacks stands in the README, and is what the continuous integration installs."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    script = (_ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert "$ sudo apt-get install make python3-venv " in readme
    assert [] == [name for name in ("make", "python3-venv") if f"missing+=({name})" not in script]


def test_apt__lines_are_those_of_the_program() -> None:
    """What the document says of settings is what the cache itself gives out, and its sources are tested."""
    text = (_ROOT / "docs" / "apt.md").read_text(encoding="utf-8")
    base = "http://cache.example:3142"
    archives = ("http://mirror.example/debian", "https://download.docker.com/linux/debian")

    assert "\n".join(apt_lines(base)) in text
    assert [] == [archive for archive in archives if f"URIs: {prefixed(archive, base)}\n" not in text]


def test_apt__settings_are_valid() -> None:
    """All settings that the page of apt gives can stand in one file."""
    text = (_ROOT / "docs" / "apt.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)

    given = Settings.model_validate({"data": _ROOT, "archives": tomllib.loads("\n".join(blocks))["archive"]})

    assert {"env:GITLAB_APT", ""} == {archive.credentials for archive in given.archives}


def test_compose__names_each_variable() -> None:
    """Each variable of compose.yaml has a row with its default, and no row is about another one."""
    text = (_ROOT / "compose.yaml").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(PULLTHROUGH_\w+)` \| (\S.*?) \|", (_ROOT / "docs/compose.md").read_text("utf-8"), re.MULTILINE
    )
    used = dict(re.findall(r"\$\{(PULLTHROUGH_\w+):-((?:\$\{[^}]*\}|[^}])*)\}", text))

    assert used == {name: default.strip("`") if "`" in default else "" for name, default in rows}
