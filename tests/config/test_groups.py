"""The groups of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config.builtin import builtin
from proxy.config.groups import GroupSettings, problem, shadowing
from proxy.config.loading import ConfigError, resolve
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.model import Group, Member

_DATA = Path("/data")
_URL = "https://index.example/"
HOUSE = UpstreamSettings(mount="house", url=_URL)
TORCH = Member("pytorch", "whl/cu126/")


def group(**given: Any) -> GroupSettings:
    """A group of the house's index and the built-in ones."""
    return GroupSettings(**{"mount": "all", "members": ("house", "pytorch/whl/cu126", "nvidia", "pypi")} | given)


def test_group__as_the_services_see_it() -> None:
    """A member is a mount's own index, or a path below it; a pin leads to one of them."""
    settings = Settings(data=_DATA, upstreams=(HOUSE,), groups=(group(pins={"torch*": "pytorch/whl/cu126"}),))

    members = (Member("house", "simple/"), TORCH, Member("nvidia", ""), Member("pypi", "simple/"))
    assert (Group("all", members, (("torch*", TORCH),)),) == settings.index_groups()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("Torch*", "torch*"), ("my_lib.*", "my-lib-*"), ("a__b", "a-b"), ("A.-_B*", "a-b*"), ("*", "*")],
)
def test_group__patterns_are_normalised(pattern: str, expected: str) -> None:
    """A pattern in any spelling of a name fits the one that requests are reduced to (PEP 503)."""
    made = group(pins={pattern: "house"}).group({"house": "simple/", "pytorch": "", "nvidia": "", "pypi": ""})

    assert ((expected, Member("house", "simple/")),) == made.pins


@pytest.mark.parametrize(
    "given",
    [
        {"members": ()},
        {"members": ("House",)},
        {"members": ("",)},
        {"members": ("house//x",)},
        {"members": ("house/../x",)},
        {"members": ("house/x?y",)},
        {"members": ("house/%zz",)},
        {"pins": {"": "house"}},
        {"pins": {"torch[12]": "house"}},
        {"pins": {"a b": "house"}},
        {"pins": ["house"]},
        {"mount": "metrics"},
        {"mounts": "all"},
    ],
    ids=str,
)
def test_group__bad_value(given: dict[str, Any]) -> None:
    """What cannot be meant is refused, by the name of its key."""
    with pytest.raises(ValidationError, match=next(iter(given))):
        group(**given)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([group(members=("none",))], "all: there is no upstream with the mount of none; add an"),
        ([group(members=("none/whl",))], "all: there is no upstream with the mount of none/whl; add an"),
        ([group(members=("flat",))], "all: flat is flat: only indexes with a page for each project can be members"),
        ([group(pins={"x*": "pytorch"})], r"all: x\* is pinned to pytorch, which is not one of its members"),
        ([group(mount="house")], "mount house is there twice"),
        ([group(mount="pypi")], "mount pypi is there twice"),
        ([group(), group()], "mount all is there twice"),
        ([group(), group(mount="other", members=("all",))], "other: there is no upstream with the mount of all"),
    ],
)
def test_groups__that_do_not_fit_the_upstreams(groups: list[GroupSettings], said: str) -> None:
    """Each member is an upstream with pages of projects, each mount is there once."""
    flat = UpstreamSettings(mount="flat", url=_URL, kind="flat")

    with pytest.raises(ValidationError, match=said):
        Settings(data=_DATA, upstreams=(HOUSE, flat), groups=tuple(groups))


def test_groups__of_builtin_upstreams() -> None:
    """No entry is needed for what is built in; one that replaces it counts in its place."""
    members = ("pypi", "nvidia")
    mirror = UpstreamSettings(mount="pypi", url=_URL, index="")

    plain = Settings(data=_DATA, groups=(group(members=members),))
    mirrored = Settings(data=_DATA, upstreams=(mirror,), groups=(group(members=members),))

    assert ["simple/", ""] == [member.index for member in plain.index_groups()[0].members]
    assert ["", ""] == [member.index for member in mirrored.index_groups()[0].members]


def test_groups__named_by_what_was_written(tmp_path: Path) -> None:
    """Errors of a file name the entry and the key."""
    toml = '[[group]]\nmount = "all"\nmembers = ["none"]\n'
    (tmp_path / "pullthrough.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigError) as whole:
        resolve({}, {"HOME": "/h"}, tmp_path)
    (tmp_path / "pullthrough.toml").write_text(toml + '[[group]]\nmont = "x"\nmembers = []\n', encoding="utf-8")
    with pytest.raises(ConfigError) as parts:
        resolve({}, {"HOME": "/h"}, tmp_path)

    front = f"{tmp_path / 'pullthrough.toml'}: group"
    (line,) = whole.value.errors
    assert line.startswith(f"{front}: all: there is no upstream")
    assert {
        f"{front} #2: mount: is missing",
        f"{front} #2: mont: no such setting; did you mean mount?",
    } == {line for line in parts.value.errors if "members" not in line}
    assert any(line.startswith(f"{front} #2: members: ") for line in parts.value.errors)


def test_problem__none() -> None:
    """What fits is not complained of."""
    assert problem((group(pins={"torch*": "pytorch/whl/cu126"}),), (HOUSE, *builtin())) is None


def test_shadowing__before_another_or_pinned() -> None:
    """What a group does not take from others: of members before another, and of those that names are pinned to."""
    pinned = group(mount="two", members=("nvidia", "deep/er"), pins={"x*": "deep/er"})

    assert {"house", "pytorch", "nvidia"} == shadowing((group(),))
    assert {"nvidia", "deep"} == shadowing((pinned,))
    assert frozenset() == shadowing((group(members=("pypi",)),))


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ({}, None),
        ({"credentials": "env:X"}, {"index.example:443"}),
        ({"credentials": "netrc", "url": "http://Index.example"}, {"index.example:80", "index.example:443"}),
        ({"credentials": "netrc", "url": "http://[::1]:8080/"}, {"[::1]:8080"}),
        ({"page_hosts": ["other.example"]}, {"index.example:443", "other.example"}),
        ({"credentials": "env:X", "siblings": ["https://two.example:1/"]}, {"index.example:443", "two.example:1"}),
        ({"credentials": "env:X", "hosts": ["files.example"]}, {"index.example:443"}),
    ],
)
def test_site__whose_pages_are_its_own(given: dict[str, Any], own: set[str] | None) -> None:
    """Where it has credentials, only pages of its own host and siblings count, and of hosts that are named for that."""
    site = UpstreamSettings(**{"mount": "house", "url": _URL} | given).site()

    assert (None if own is None else frozenset(own)) == site.own


@pytest.mark.parametrize(
    ("given", "known", "more"),
    [
        ({"credentials": "netrc"}, {"files.example"}, {"files.example"}),
        ({"credentials": "netrc"}, {"index.example:8443", "index.example"}, set()),
        ({"host_credentials": {"index.example:8443": "env:X"}}, {"index.example:8443"}, {"index.example:8443"}),
    ],
)
def test_site__hosts_with_credentials(given: dict[str, Any], known: set[str], more: set[str]) -> None:
    """Hosts with credentials count, too, but no other port of its own host that only a file without ports opens."""
    site = UpstreamSettings(**{"mount": "house", "url": _URL} | given).site(known=frozenset(known))

    assert frozenset({"index.example:443"} | more) == site.own


def test_site__of_a_group() -> None:
    """A member before another counts by its own pages only; the last one, which hides nobody, may be redirected."""
    settings = Settings(data=_DATA, upstreams=(HOUSE,), groups=(group(members=("house", "pypi")),))

    assert {"house"} == {site.mount for site in settings.sites() if site.own is not None}
