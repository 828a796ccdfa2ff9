"""Environments are read from User-Agents as pip and uv send them; whatever else comes gives none."""

from __future__ import annotations

import platform
import sys
import sysconfig
from typing import Any

import pytest
from packaging import markers, tags

from proxy.foresight.environments import described, of_agent
from tests.foresight.agents import agent


def platforms(user_agent: str) -> list[str]:
    """The platform tags of an environment, the best first."""
    environment = of_agent(user_agent)
    assert environment is not None
    ordered = sorted(environment.ranks, key=lambda tag: environment.ranks[tag])
    return [tag.platform for tag in ordered if tag.abi == tag.interpreter]


def test_of_agent__linux() -> None:
    """Markers, and the tags of the C library, the best first."""
    environment = of_agent(agent())
    assert environment is not None
    assert ("3.11", "linux", "x86_64") == tuple(
        environment.markers[name] for name in ("python_version", "sys_platform", "platform_machine")
    )
    found = platforms(agent())
    assert ["linux_x86_64", "manylinux_2_36_x86_64", "manylinux_2_35_x86_64"] == found[:3]
    assert ["manylinux_2_5_x86_64", "manylinux1_x86_64"] == found[-2:]
    assert "manylinux2014_x86_64" in found


@pytest.mark.skipif(
    not sys.platform.startswith("linux")
    or platform.python_implementation() != "CPython"
    or platform.libc_ver()[0] != "glibc"
    or bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="the tags of CPython on Linux with glibc are compared",
)
def test_of_agent__as_packaging_finds_it_here() -> None:
    """What is read for this very system is what the library finds by looking at it."""
    here = markers.default_environment()
    libc, version = platform.libc_ver()
    environment = of_agent(
        agent(
            cpu=platform.machine(),
            distro={"libc": {"lib": libc, "version": version}},
            implementation={"name": "CPython", "version": platform.python_version()},
            python=platform.python_version(),
        )
    )
    assert environment is not None
    assert list(tags.sys_tags()) == sorted(environment.ranks, key=lambda tag: environment.ranks[tag])
    told = {name: value for name, value in here.items() if name not in {"platform_release", "platform_version"}}
    assert told == {name: environment.markers[name] for name in told}


@pytest.mark.parametrize(
    ("changed", "has", "has_not"),
    [
        ({"distro": {"id": "alpine", "version": "3.20"}}, "musllinux_1_2_x86_64", "manylinux2014_x86_64"),
        ({"distro": {"libc": {"lib": "musl", "version": "1.1"}}}, "musllinux_1_1_x86_64", "musllinux_1_2_x86_64"),
        ({"cpu": "aarch64"}, "manylinux2014_aarch64", "manylinux1_aarch64"),
        ({"distro": None}, "linux_x86_64", "manylinux2014_x86_64"),
        (
            {"system": {"name": "Darwin"}, "cpu": "arm64", "distro": {"name": "macOS", "version": "14.5"}},
            "macosx_11_0_arm64",
            "macosx_15_0_arm64",
        ),
        ({"system": {"name": "Windows"}, "cpu": "AMD64", "distro": None}, "win_amd64", "linux_x86_64"),
    ],
)
def test_of_agent__other_systems(changed: dict[str, Any], has: str, has_not: str) -> None:
    """Alpine, ARM, macOS, Windows."""
    found = platforms(agent(**changed))
    assert has in found
    assert has_not not in found


def test_of_agent__uv() -> None:
    """uv's fields are those of pip, with nulls where it has nothing to say."""
    assert of_agent(agent("uv/0.9.0", ci=None, openssl_version=None)) == of_agent(agent())


@pytest.mark.parametrize(
    ("installer", "locks"),
    [
        ({"name": "uv", "subcommand": ["pip", "compile"]}, True),
        ({"name": "uv", "subcommand": ["lock"]}, True),
        ({"name": "uv", "subcommand": ["pip", "install"]}, False),
        ({"name": "uv", "subcommand": ["sync"]}, False),
        ({"name": "uv", "subcommand": None}, False),
        ({"name": "pip", "version": "26.3"}, False),
        (None, False),
    ],
)
def test_of_agent__who_locks(installer: dict[str, Any] | None, locks: bool) -> None:
    """uv says by which command it was started; some of them install nothing."""
    environment = of_agent(agent(installer=installer))
    assert environment is not None
    assert locks is environment.locks


@pytest.mark.parametrize(
    "user_agent",
    [
        None,
        "",
        "curl/8.5.0",
        "poetry/2.1 CPython/3.11",
        "pip/26.3 {",
        "pip/26.3 {}",
        "pip/26.3 " + "[" * 4000,
        "pip/26.3 \udc80{",
        agent(python="three"),
        agent(python="2.7.18"),
        agent(python="3.100.0"),
        agent(python=None),
        agent(cpu=None),
        agent(cpu="x86 64"),
        agent(cpu=7),
        agent(implementation={"name": "PyPy", "version": "7.3"}),
        agent(system={"name": "Plan 9"}),
        agent(installer={"name": "uv", "subcommand": "lock"}),
        agent(filler="x" * 8000),
    ],
)
def test_of_agent__nothing_to_go_by(user_agent: str | None) -> None:
    """No environment."""
    assert of_agent(user_agent) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"distro": {"libc": {"lib": "glibc", "version": "2." + "9" * 300}}},
        {"distro": {"libc": {"lib": "glibc", "version": "2.9999"}}},
        {"distro": {"libc": {"lib": "musl", "version": "1.9999"}}},
        {"distro": {"libc": {"lib": "glibc", "version": "2.9999"}}, "python": "3.99.0"},
        {"system": {"name": "Darwin"}, "cpu": "arm64", "distro": {"name": "macOS", "version": "9999.9999"}},
        {"system": {"name": "Darwin"}, "cpu": "arm64", "distro": {"version": "99.9999"}, "python": "3.99.0"},
        {"system": {"name": "Darwin"}, "cpu": "x86_64", "distro": {"version": "10.9999"}, "python": "3.99.0"},
    ],
)
def test_of_agent__lie_makes_nothing_long(changed: dict[str, Any]) -> None:
    """Little is kept of any system, and no more is worked out for it."""
    environment = of_agent(agent(**changed))
    assert environment is not None
    assert len(environment.ranks.kinds) + len(environment.ranks.platforms) < 1000


@pytest.mark.parametrize("version", ["10.4", "10.16", "11.2", "14.5"])
@pytest.mark.parametrize("cpu", ["x86_64", "arm64"])
def test_of_agent__as_packaging_orders_it(version: str, cpu: str) -> None:
    """The order of all tags of another system is the library's, and none is missing."""
    environment = of_agent(agent(system={"name": "Darwin"}, cpu=cpu, distro={"version": version}, python="3.13.1"))
    assert environment is not None
    major, minor = map(int, version.split("."))
    names = list(tags.mac_platforms((major, minor), cpu))
    ordered = [*tags.cpython_tags((3, 13), ["cp313"], names), *tags.compatible_tags((3, 13), "cp313", names)]
    assert ordered == sorted(environment.ranks, key=lambda tag: environment.ranks[tag])
    assert len(ordered) == len(environment.ranks)


def test_described() -> None:
    """The same bytes for what describes the same environment; none for what describes no system."""
    same = [agent(), agent("uv/0.9"), agent(user_data="job 7", system={"name": "Linux", "release": "6.18"})]
    assert 1 == len({described(one) for one in same})
    assert described(agent()) == described(described(agent()).decode()) != b""
    assert described(agent()) != described(agent(python="3.12.1"))
    assert [b""] * 4 == [described(one) for one in ("", "pip/24.0", "pip/24.0 {", "{}")]
