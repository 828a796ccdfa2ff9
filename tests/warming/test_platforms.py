"""Platforms by the names that pip and uv have for them."""

from __future__ import annotations

import platform

import pytest
from packaging import tags

from proxy.errors import WrongUsage
from proxy.warming import platforms


def best(name: str, python: str = "3.12") -> str:
    """The best platform tag."""
    (found,) = platforms.wanted([name], [python])
    ranks = found.environment.ranks
    return min(ranks, key=lambda tag: ranks[tag]).platform


@pytest.mark.parametrize(
    ("name", "has", "for_uv"),
    [
        ("linux", "manylinux_2_28_x86_64", "linux"),
        ("x86_64-unknown-linux-gnu", "manylinux_2_28_x86_64", "x86_64-unknown-linux-gnu"),
        ("aarch64-manylinux_2_36", "manylinux_2_36_aarch64", "aarch64-manylinux_2_36"),
        ("manylinux_2_31_x86_64", "manylinux_2_31_x86_64", "x86_64-manylinux_2_31"),
        ("manylinux2014_aarch64", "manylinux2014_aarch64", "aarch64-manylinux_2_17"),
        ("x86_64-manylinux2014", "manylinux2014_x86_64", "x86_64-manylinux2014"),
        ("linux_x86_64", "linux_x86_64", "x86_64-unknown-linux-gnu"),
        ("musllinux_1_1_x86_64", "musllinux_1_1_x86_64", "x86_64-unknown-linux-musl"),
        ("aarch64-unknown-linux-musl", "musllinux_1_2_aarch64", "aarch64-unknown-linux-musl"),
        ("macos", "macosx_13_0_arm64", "macos"),
        ("macosx_14_0_arm64", "macosx_14_0_arm64", "aarch64-apple-darwin"),
        ("x86_64-apple-darwin", "macosx_13_0_x86_64", "x86_64-apple-darwin"),
        ("windows", "win_amd64", "windows"),
        ("win_amd64", "win_amd64", "x86_64-pc-windows-msvc"),
        ("win32", "win32", "i686-pc-windows-msvc"),
        ("win_arm64", "win_arm64", "aarch64-pc-windows-msvc"),
        ("aarch64-pc-windows-msvc", "win_arm64", "aarch64-pc-windows-msvc"),
        ("riscv64-unknown-linux", "manylinux_2_28_riscv64", "riscv64-unknown-linux"),
        ("macosx_11_0_universal2", "macosx_11_0_universal2", "aarch64-apple-darwin"),
        ("linux/amd64", "manylinux_2_28_x86_64", "x86_64-unknown-linux-gnu"),
        ("linux/arm64", "manylinux_2_28_aarch64", "aarch64-unknown-linux-gnu"),
    ],
)
def test_wanted__names(name: str, has: str, for_uv: str) -> None:
    """Each name of pip and uv means its tags."""
    (found,) = platforms.wanted([name], ["3.12"])
    assert has in {tag.platform for tag in found.environment.ranks}
    assert for_uv == platforms.for_uv(name)


@pytest.mark.parametrize(
    ("name", "machine"), [("win_arm64", "ARM64"), ("aarch64-pc-windows-msvc", "ARM64"), ("win_amd64", "AMD64")]
)
def test_wanted__machine(name: str, machine: str) -> None:
    """Markers have it as Python says it there."""
    (found,) = platforms.wanted([name], ["3.12"])
    assert machine == found.environment.markers["platform_machine"]


def test_wanted__each_with_each() -> None:
    """Several platforms and several versions."""
    found = platforms.wanted(["linux", "macos"], ["3.11", "3.12.4"])
    assert ["3.11.0", "3.12.4"] * 2 == [one.environment.markers["python_full_version"] for one in found]
    assert ["linux", "linux", "darwin", "darwin"] == [one.environment.markers["sys_platform"] for one in found]
    assert 4 == len({one.name for one in found})


def test_wanted__this_machine() -> None:
    """Without a name it is this one, where sources can be built."""
    (found,) = platforms.wanted([], [])
    assert found.own
    assert set(tags.platform_tags()) <= {tag.platform for tag in found.environment.ranks}
    assert platform.python_version() == found.environment.markers["python_full_version"]


def test_wanted__of_this_kind() -> None:
    """A platform that is named may be of this machine's kind, too."""
    kinds = {one.own for one in platforms.wanted(["linux", "macos", "windows"], ["3.12"])}
    assert False in kinds


@pytest.mark.parametrize("name", ["", "amiga", "manylinux_x86_64", "win_", "x86_64", "linux; rm -rf /"])
def test_wanted__unknown(name: str) -> None:
    """It is said what may be written."""
    with pytest.raises(WrongUsage, match="--platform"):
        platforms.wanted([name], [])


@pytest.mark.parametrize("version", ["2.7", "three", "", "4", "3." + "9" * 5000])
def test_wanted__no_python(version: str) -> None:
    """It is said what may be written."""
    with pytest.raises(WrongUsage, match="--python-version"):
        platforms.wanted([], [version])


def test_best() -> None:
    """What is preferred comes first."""
    assert "linux_x86_64" == best("linux")


def test_of_images() -> None:
    """Alpine's wheels are others; those of other Linuxes are this machine's, if it is one."""
    (musl,) = platforms.of_images(musl=True)
    (found,) = platforms.wanted([musl], ["3.12"])
    assert found.own is (platform.system() == "Linux")
    assert any("musllinux" in tag.platform for tag in found.environment.ranks)
    usual = platforms.of_images(musl=False)
    assert (platform.system() == "Linux") is (usual == ())
    assert all(platforms.wanted([name], ["3.12"])[0].environment.markers["sys_platform"] == "linux" for name in usual)
