"""Platforms by the names that pip and uv have for them. Pure, but for this machine's own.

pip names the tag of a wheel (`manylinux_2_28_x86_64`), uv a triple (`x86_64-unknown-linux-gnu`) or a system (`linux`).
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence

from packaging import markers, tags
from packaging.version import Version

from proxy.errors import WrongUsage
from proxy.foresight.environments import Environment, environment, linux_tags
from proxy.warming.choice import Platform

# What uv takes for a system without more words.
_SYSTEMS = {
    "linux": "x86_64-unknown-linux-gnu",
    "macos": "aarch64-apple-darwin",
    "windows": "x86_64-pc-windows-msvc",
}
# What Docker calls them.
_OF_IMAGES = {"linux/amd64": "x86_64-unknown-linux-gnu", "linux/arm64": "aarch64-unknown-linux-gnu"}
_GLIBC, _MUSL, _MACOS = 28, 2, (13, 0)  # that uv takes where a triple does not say it
_TAG = re.compile(
    r"(?:manylinux_2_(?P<glibc>\d{1,3})|(?P<old>manylinux2014|manylinux2010|manylinux1)|musllinux_1_(?P<musl>\d{1,3})"
    r"|macosx_(?P<macos>\d{1,2}_\d{1,2})|(?P<windows>win)|linux)_(?P<cpu>[a-z0-9_]+)|(?P<win32>win32)"
)
_TRIPLE = re.compile(
    r"(?P<cpu>[a-z0-9_]+)-(?:unknown-linux(?:-(?P<libc>gnu|musl))?|manylinux_2_(?P<glibc>\d{1,3})|(?P<old>manylinux2014)"
    r"|(?P<macos>apple-darwin)|(?P<windows>pc-windows-msvc))"
)
_OLD = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
_MACHINES = {
    "Darwin": {"aarch64": "arm64", "universal2": "arm64"},  # whose tags have the universal ones
    "Windows": {"x86_64": "AMD64", "amd64": "AMD64", "i686": "x86", "aarch64": "ARM64", "arm64": "ARM64"},
}


def wanted(names: Sequence[str], versions: Sequence[str]) -> list[Platform]:
    """Each platform with each version of Python; this machine's own where none is named. Raises WrongUsage."""
    pythons = [_python(version) for version in versions] or [Version(platform.python_version())]
    if not names:
        return [Platform(f"this machine, Python {python}", _here(python), own=True) for python in pythons]
    return [
        Platform(f"{name}, Python {python}", _named(name, python), own=_own(name))
        for name in names
        for python in pythons
    ]


def of_images(*, musl: bool) -> tuple[str, ...]:
    """The platform of images that are built on this machine; empty: it is this machine's own. `musl`: as of Alpine."""
    machine = platform.machine().lower()
    cpu = {"arm64": "aarch64", "amd64": "x86_64"}.get(machine, machine)
    if musl:
        return (f"musllinux_1_{_MUSL}_{cpu}",)
    return () if platform.system() == "Linux" else (f"{cpu}-unknown-linux-gnu",)


def for_uv(name: str) -> str:
    """What uv calls a platform, that was named as pip or uv name it."""
    match = _TAG.fullmatch(name)
    if match is None:
        return _OF_IMAGES.get(name, name)
    cpu = {"arm64": "aarch64", "amd64": "x86_64", "universal2": "aarch64"}.get(
        match["cpu"] or "", match["cpu"] or "i686"
    )
    if match["glibc"]:
        return f"{cpu}-manylinux_2_{match['glibc']}"
    if match["old"]:
        return f"{cpu}-manylinux_2_{_OLD[match['old']]}"
    if match["musl"]:
        return f"{cpu}-unknown-linux-musl"
    if match["macos"]:
        return f"{cpu}-apple-darwin"
    return f"{cpu}-pc-windows-msvc" if match["windows"] or match["win32"] else f"{cpu}-unknown-linux-gnu"


def _python(text: str) -> Version:
    try:
        version = Version(text)
    except ValueError:  # InvalidVersion, and more digits than Python reads
        version = Version("0")
    if version.major != 3:  # noqa: PLR2004 the only one
        raise WrongUsage(f"--python-version {text}: write a version of Python, such as 3.12")
    return version if len(version.release) > 2 else Version(f"{version}.0")  # noqa: PLR2004 three numbers


def _here(python: Version) -> Environment:
    system = platform.system()
    found = environment(python, system, platform.machine(), tags.platform_tags())
    own = {name: str(value) for name, value in markers.default_environment().items() if name.startswith("platform_")}
    return Environment({**found.markers, "platform_release": own["platform_release"]}, found.python, found.ranks)


def _own(name: str) -> bool:
    """Whether a platform is of this machine's kind, so that what is built here fits there."""
    system, machine, _ = _read(name)
    return (system, machine.lower()) == (platform.system(), platform.machine().lower())


def _named(name: str, python: Version) -> Environment:
    system, machine, found = _read(name)
    return environment(python, system, machine, found)


def _read(name: str) -> tuple[str, str, list[str]]:
    """System, machine, and platform tags. Raises WrongUsage."""
    text = {**_SYSTEMS, **_OF_IMAGES}.get(name, name)
    match = _TAG.fullmatch(text) or _TRIPLE.fullmatch(text)
    if match is None:
        raise WrongUsage(
            f"--platform {name}: write what pip or uv calls a platform, such as manylinux_2_28_x86_64, linux, "
            "aarch64-apple-darwin or win_amd64"
        )
    part = match.groupdict()
    cpu = part["cpu"] or "x86"
    if part.get("windows") or part.get("win32"):
        machine = _MACHINES["Windows"].get(cpu, cpu)
        return "Windows", machine, ["win32" if machine == "x86" else f"win_{machine.lower()}"]
    if part["macos"]:
        machine = _MACHINES["Darwin"].get(cpu, cpu)
        major, minor = _MACOS if part["macos"] == "apple-darwin" else map(int, part["macos"].split("_"))
        return "Darwin", machine, list(tags.mac_platforms((major, minor), machine))
    return "Linux", cpu, list(_of_linux(part, cpu))


def _of_linux(part: dict[str, str | None], cpu: str) -> Iterator[str]:
    musl, glibc, old = part.get("musl"), part.get("glibc"), part.get("old")
    if musl or part.get("libc") == "musl":
        return linux_tags(cpu, "musl", int(musl) if musl else _MUSL)
    return linux_tags(cpu, "glibc", int(glibc) if glibc else _OLD[old] if old else _GLIBC)
