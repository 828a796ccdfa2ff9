"""For what a client installs: markers and tags, read from its User-Agent. Pure.

pip and uv describe their Python and their system in the User-Agent, as JSON behind their own name. What cannot be read
for certain gives no environment, and then nothing is foreseen. A User-Agent may lie: that costs its own client a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
from packaging import tags
from packaging.tags import Tag
from packaging.version import Version

_LONGEST = 4096  # characters of a User-Agent that is read
_CPU = re.compile(r"[a-z0-9_]{1,20}")
# What a lie makes long is cut here. macOS 10 ended with 10.16, which is 11.
_NEWEST = {"minor": 99, "glibc": 199, "musl": 99, "macos": 99, "macos 10": 16}
_OLDEST_GLIBC = 17  # manylinux2014;
_OLDEST_GLIBC_OF = {"x86_64": 5, "i686": 5}  # manylinux1
_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MUSL = "1.2"  # where a system does not say it
_WINDOWS = {"amd64": "win_amd64", "x86": "win32", "arm64": "win_arm64"}
_LOCKING = {("pip", "compile"), ("lock",), ("tree",), ("export",)}  # subcommands of uv
_ANY, _SOME = "any", "some"  # the platform of wheels for all of them, and what stands for one platform
_SYSTEMS = {"Linux": ("linux", "posix"), "Darwin": ("darwin", "posix"), "Windows": ("win32", "nt")}


@dataclass(frozen=True)
class Ranks(Mapping[Tag, int]):
    """The place of each wheel tag in the order of preference, the best first (PEP 425).

    All tags are all `kinds` with all `platforms`: some of them, and not the many thousand that they make, are kept.
    `kinds`: interpreter, ABI, and whether it is for any platform; each with its place, as each platform.
    """

    kinds: Mapping[tuple[str, str, bool], int]
    platforms: Mapping[str, int]

    @classmethod
    def of(cls, python: Version, platforms: Iterable[str]) -> Ranks:
        """Those of CPython of a version; `platforms`: the platform tags that its system takes, the best first."""
        version, interpreter = (python.major, python.minor), f"cp{python.major}{python.minor}"
        ordered = [*tags.cpython_tags(version, [interpreter], [_SOME])]
        ordered += tags.compatible_tags(version, interpreter, [_SOME])
        kinds = dict.fromkeys((tag.interpreter, tag.abi, tag.platform != _SOME) for tag in ordered)
        return cls(
            {kind: place for place, kind in enumerate(kinds)},
            {name: place for place, name in enumerate(dict.fromkeys(platforms))},
        )

    def __getitem__(self, tag: Tag) -> int:
        anywhere = tag.platform == _ANY
        kind = self.kinds[tag.interpreter, tag.abi, anywhere]
        return kind * (len(self.platforms) + 1) + (0 if anywhere else self.platforms[tag.platform])

    def __iter__(self) -> Iterator[Tag]:
        for interpreter, abi, anywhere in self.kinds:
            yield from (Tag(interpreter, abi, name) for name in ((_ANY,) if anywhere else self.platforms))

    def __len__(self) -> int:
        return sum(1 if anywhere else len(self.platforms) for _, _, anywhere in self.kinds)


@dataclass(frozen=True, slots=True)
class Environment:
    """What requirements and wheels are held against: variables of markers (PEP 508), Python's version, wheel tags.

    `locks`: its program resolves and installs nothing, as it says of itself.
    """

    markers: Mapping[str, str]
    python: Version
    ranks: Ranks
    locks: bool = False


class _Software(msgspec.Struct):
    name: str = ""
    version: str = ""


class _Installer(msgspec.Struct):
    subcommand: tuple[str, ...] | None = None


class _Libc(msgspec.Struct):
    lib: str = ""
    version: str = ""


class _Distro(msgspec.Struct):
    id: str = ""
    name: str = ""
    version: str = ""
    libc: _Libc | None = None


class _Agent(msgspec.Struct):
    python: str
    cpu: str
    implementation: _Software
    system: _Software
    distro: _Distro | None = None
    installer: _Installer | None = None


@lru_cache(maxsize=128)
def of_agent(user_agent: str | None) -> Environment | None:
    """The environment that a User-Agent describes; None where it describes none that wheels could be chosen for."""
    if user_agent is None or len(user_agent) > _LONGEST:
        return None
    _, brace, described = user_agent.partition("{")
    try:
        agent = msgspec.json.decode(brace + described, type=_Agent)
        python = Version(agent.python)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # InvalidVersion, and half a character, too
        return None
    cpu = agent.cpu.lower()
    known = agent.system.name in _SYSTEMS and _CPU.fullmatch(cpu) and agent.implementation.name == "CPython"
    if not known or python.major != 3 or python.minor > _NEWEST["minor"]:  # noqa: PLR2004
        return None
    found = environment(python, agent.system.name, agent.cpu, _platforms(agent, cpu))
    subcommand = agent.installer.subcommand if agent.installer is not None else None
    return replace(found, locks=subcommand in _LOCKING)


def environment(python: Version, system: str, machine: str, platforms: Iterable[str]) -> Environment:
    """CPython of a version on a system (`Linux`, `Darwin`, `Windows`), with these platform tags, the best first."""
    sys_platform, os_name = _SYSTEMS[system]
    markers = {
        "implementation_name": "cpython",
        "implementation_version": str(python),
        "os_name": os_name,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": str(python),
        "python_version": f"{python.major}.{python.minor}",
        "sys_platform": sys_platform,
    }
    return Environment(markers, python, Ranks.of(python, platforms))


def _platforms(agent: _Agent, cpu: str) -> Iterator[str]:
    """The platform tags that a system takes, the best first."""
    distro = agent.distro or _Distro()
    match agent.system.name:
        case "Linux":
            yield from _linux(distro, cpu)
        case "Darwin":
            major, minor = _two(distro.version)
            if 10 <= major <= _NEWEST["macos"]:  # noqa: PLR2004 macOS 10 is the first
                yield from tags.mac_platforms((major, min(minor, _NEWEST["macos 10"])), cpu)
        case _ if cpu in _WINDOWS:
            yield _WINDOWS[cpu]


def _linux(distro: _Distro, cpu: str) -> Iterator[str]:
    libc = distro.libc or _Libc()
    if distro.id == "alpine" and not libc.lib:  # pip says nothing of musl
        libc = _Libc("musl", _MUSL)
    major, minor = _two(libc.version)
    yield from linux_tags(cpu, libc.lib if (libc.lib, major) in {("glibc", 2), ("musl", 1)} else "", minor)


def linux_tags(cpu: str, libc: str, minor: int) -> Iterator[str]:
    """The platform tags of Linux with glibc 2.`minor` or musl 1.`minor`, or a C library that is not known."""
    yield f"linux_{cpu}"
    if libc == "glibc":
        for older in range(min(minor, _NEWEST["glibc"]), _OLDEST_GLIBC_OF.get(cpu, _OLDEST_GLIBC) - 1, -1):
            yield f"manylinux_2_{older}_{cpu}"
            if older in _ALIASES:
                yield f"{_ALIASES[older]}_{cpu}"
    elif libc == "musl":
        for older in range(min(minor, _NEWEST["musl"]), -1, -1):
            yield f"musllinux_1_{older}_{cpu}"


def _two(version: str) -> tuple[int, int]:
    """The first two numbers of a version; zeros where there are none."""
    match = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?", version, re.ASCII)
    return (int(match[1]), int(match[2] or 0)) if match is not None else (0, 0)


def described(user_agent: str) -> bytes:
    """The part of a User-Agent that `of_agent` goes by: the same bytes mean the same environment. Empty: none."""
    _, brace, rest = user_agent.partition("{")
    try:
        return msgspec.json.encode(msgspec.json.decode(brace + rest, type=_Agent))
    except (msgspec.MsgspecError, ValueError, RecursionError):  # half a character, too
        return b""
