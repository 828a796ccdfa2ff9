"""A Dockerfile as instructions: enough to know its stages, their base images, and what each RUN mounts and says.

Pure. It reads what BuildKit's front end reads (comments, continuation lines, the escape directive, here-documents), and
never decides whether a file is right: that is the builder's work. `dockerfile_advice` reads the result.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(r"^#\s*([a-z]+)\s*=\s*(\S+)\s*$", re.IGNORECASE)
_FLAG = re.compile(r"^--([a-z-]+)(?:=(\S+))?\s+")
_WORD = re.compile(r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|\\.|[^\s\"'\\])+")
_HERE = re.compile(r"\d*<<(-?)([^<]+)")  # a whole word of the shell, as in BuildKit
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `line`: its first, from 1; `text`: without flags, in one line, here-documents behind it."""

    line: int
    name: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()

    @property
    def shell(self) -> str:
        """The text as words of a shell, also of the form that is a JSON list."""
        if not self.text.startswith("["):
            return self.text
        try:
            return shlex.join(json.loads(self.text))
        except (ValueError, TypeError, RecursionError):
            return self.text  # no list of texts: the builder takes it for a shell's command, too

    @property
    def mounts(self) -> list[dict[str, str]]:
        """The mounts of a RUN, their options by name; an option without a value has an empty one."""
        return [
            {part.partition("=")[0]: part.partition("=")[2] for part in value.split(",")}
            for name, value in self.flags
            if name == "mount"
        ]

    @property
    def assigned(self) -> dict[str, str]:
        """What ENV or ARG sets, an ARG without a default to an empty text."""
        words = _WORD.findall(self.text)
        if self.name == "ENV" and words and "=" not in words[0]:  # the old form: one name, and all else is its value
            name, _, value = self.text.partition(" ")
            return {name: value.strip()}
        return {name: value.strip("\"'") for name, _, value in (word.partition("=") for word in words)}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage. `base`: the image that it begins with, arguments filled in; None if it begins with another stage.

    `begins`: the name of that stage, else empty.
    """

    base: str | None
    name: str
    instructions: tuple[Instruction, ...] = field(default=())
    begins: str = ""

    def of(self, name: str) -> list[Instruction]:
        """The instructions of one kind."""
        return [one for one in self.instructions if one.name == name]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile as stages. `arguments`: the values of the ARGs before the first FROM; `given`: build arguments."""

    stages: tuple[Stage, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, build_args: Mapping[str, str | None] | None = None, platform: str = "") -> Dockerfile:
        """Read a file's text; `build_args` take the place of the defaults of ARGs before the first FROM.

        `platform`: that is built for, as in "linux/arm64"; BuildKit has arguments for it that no ARG has to name.
        """
        given = {name: value for name, value in (build_args or {}).items() if value is not None}
        arguments: dict[str, str] = {}
        automatic = _of_platform(platform)
        stages: list[tuple[str | None, str, list[Instruction], str]] = []
        for one in _instructions(text):
            if one.name == "FROM":
                words = one.text.split()
                base = _filled(words[0], {**automatic, **arguments}) if words else ""
                earlier = {name for _, name, _, _ in stages}
                named = words[2].lower() if len(words) > 2 and words[1].lower() == "as" else ""  # noqa: PLR2004
                known = base.lower() in earlier or base.lower() == "scratch" or not base
                begins = base.lower() if base.lower() in earlier else ""
                stages.append((None if known else base, named, [], begins))
            elif stages:
                stages[-1][2].append(one)
            elif one.name == "ARG":
                arguments |= {name: given.get(name, _filled(value, arguments)) for name, value in one.assigned.items()}
        made = (Stage(base, name, tuple(listed), begins) for base, name, listed, begins in stages)
        return cls(tuple(made), arguments, given)

    @property
    def runs(self) -> list[Instruction]:
        """The RUNs of all stages."""
        return [run for stage in self.stages for run in stage.of("RUN")]

    @property
    def bases(self) -> list[str]:
        """The images that stages begin with, those of stages with a RUN first, without repetition."""
        ordered = sorted(self.stages, key=lambda stage: not stage.of("RUN"))
        return list(dict.fromkeys(stage.base for stage in ordered if stage.base))

    @property
    def run_bases(self) -> list[str]:
        """The images in which RUNs run, also by way of other stages, without repetition: each has a shell."""
        roots: dict[str, str | None] = {}
        found = []
        for stage in self.stages:
            root = stage.base or roots.get(stage.begins)
            if stage.name:
                roots[stage.name] = root
            if root and stage.of("RUN"):
                found.append(root)
        return list(dict.fromkeys(found))


def _instructions(text: str) -> Iterator[Instruction]:
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    position = 0
    while position < len(lines):
        start, joined = position, ""
        while position < len(lines):
            line = lines[position]
            position += 1
            stripped = line.strip()
            if stripped.startswith("#") or (not stripped and joined):  # a comment, also within an instruction
                continue
            body = line.rstrip()
            if body.endswith(escape):
                joined += body[:-1] + " "
                continue
            joined += body
            break
        words = joined.strip().split(None, 1)
        if not words:
            continue
        name, rest = words[0].upper(), words[1] if len(words) > 1 else ""
        flags = []
        while found := _FLAG.match(rest + " "):
            flags.append((found[1], found[2] or ""))
            rest = rest[found.end() :].lstrip()
        if _has_here_documents(name, rest):
            for here in filter(None, map(_HERE.fullmatch, _WORD.findall(rest))):
                end, ended, body_lines = _unquoted(here[2]), False, []
                while position < len(lines) and not ended:
                    line = lines[position]
                    position += 1
                    ended = (line.lstrip("\t") if here[1] else line) == end
                    body_lines += [] if ended else [line]
                rest += "\n" + "\n".join(body_lines)
        yield Instruction(_line(lines, start), name, rest.strip(), tuple(flags))


def _has_here_documents(name: str, rest: str) -> bool:
    """Whether the instruction may have any; ONBUILD has those of its own instruction."""
    if name == "ONBUILD":
        name = rest.partition(" ")[0].upper()
    return name in {"RUN", "COPY", "ADD"}


def _unquoted(word: str) -> str:
    return re.sub(r"[\"'\\]", "", word)


def _line(lines: list[str], start: int) -> int:
    """The line of an instruction's first word: comments and empty lines may stand before it."""
    for offset, line in enumerate(lines[start:]):
        if line.strip() and not line.strip().startswith("#"):
            return start + offset + 1
    return start + 1


def _escape(lines: list[str]) -> str:
    """The character that continues a line: a directive at the very top may say which."""
    for line in lines:
        found = _DIRECTIVE.match(line)
        if found is None:
            break
        if found[1].lower() == "escape":
            return found[2]
    return "\\"


def _of_platform(platform: str) -> dict[str, str]:
    """The arguments that hold for each FROM; a build is for the machine that it runs on."""
    if not platform:
        return {}
    system, _, rest = (platform if "/" in platform else f"linux/{platform}").partition("/")
    machine, _, variant = rest.partition("/")
    parts = {"PLATFORM": f"{system}/{rest}", "OS": system, "ARCH": machine, "VARIANT": variant}
    return {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in parts.items()}


def _filled(text: str, arguments: Mapping[str, str]) -> str:
    """The text with the values of its arguments."""

    def value(found: re.Match[str]) -> str:
        known = arguments.get(found[1] or found[4], "")
        if (found[2] or "").endswith("+"):
            return found[3] if known else ""
        return known or found[3] or ""

    return _VARIABLE.sub(value, text).strip("\"'")
