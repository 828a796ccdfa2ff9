"""Which file of the build's folder is at a path of an image: by COPY, ADD and the mounts of a RUN.

Reads names only. A path that a RUN makes is in no folder, and is not found.
"""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from proxy.builds.dockerfile import Instruction
from proxy.warming.shell_commands import filled, unknown


@dataclass(frozen=True, slots=True)
class Placed:
    """What is at a path. `stage`: whose files `source` is among; None: those of the build's folder.

    `into`: the path is a folder, and what is copied keeps its name in it.
    """

    path: str
    source: str
    stage: str | None = None
    into: bool = False


@dataclass(slots=True)
class ImageFiles:
    """The files of the stages of one Dockerfile, as far as its text says. `folder`: that of the build."""

    folder: Path
    stages: dict[str, list[Placed]] = field(default_factory=dict)

    def begin(self, stage: str, begins: str) -> None:
        """Begin a stage with the files of another one, or with those of an image that nobody knows."""
        self.stages[stage] = list(self.stages.get(begins, ()))

    def add(self, stage: str, copied: Instruction, workdir: str, variables: Mapping[str, str]) -> None:
        """Take in a COPY or an ADD."""
        words = _words(filled(copied.text, variables))
        if len(words) < 2 or any(map(unknown, words)):  # noqa: PLR2004 from and to
            return
        target = posixpath.join(workdir, words[-1])
        into = words[-1].endswith(("/", ".")) or len(words) > 2  # noqa: PLR2004 several go into a folder
        of = dict(copied.flags).get("from")
        for source in words[:-1]:
            self.stages[stage].append(Placed(posixpath.normpath(target), source, of and filled(of, variables), into))

    def found(self, stage: str, run: Instruction, workdir: str, path: str) -> Path | None:
        """The file of the build's folder that a RUN has at `path`."""
        mounted = [
            Placed(_target(mount, workdir), mount.get("source") or mount.get("src") or ".", mount.get("from"))
            for mount in run.mounts
            if mount.get("type", "bind") == "bind"
        ]
        sought = posixpath.normpath(posixpath.join(workdir, path))
        return next(self._at([*self.stages.get(stage, ()), *mounted], sought, len(self.stages) + 1), None)

    def _at(self, placed: list[Placed], sought: str, depth: int) -> Iterator[Path]:
        """What is there, the last that came first. `depth`: stages that may take from each other."""
        for one in reversed(placed) if depth else ():
            for source in _sources(one, sought):
                if one.stage is None:
                    yield from self._in_folder(source)
                else:
                    among = self.stages.get(one.stage.lower(), ())
                    yield from self._at(list(among), posixpath.normpath(posixpath.join("/", source)), depth - 1)

    def _in_folder(self, source: str) -> Iterator[Path]:
        """Files of the build's folder, by a pattern; nothing outside of it."""
        pattern = posixpath.normpath(source.lstrip("/"))
        if pattern.startswith("..") or pattern == ".":
            return
        try:
            yield from (path for path in sorted(self.folder.glob(pattern)) if path.is_file())
        except (ValueError, NotImplementedError):
            return  # no pattern of Python's: who looked for a file there says that it is missing


def _sources(placed: Placed, sought: str) -> Iterator[str]:
    """The paths that may be at `sought` because of this: the thing itself, or something in it."""
    name = posixpath.basename(sought)
    if sought == placed.path and not placed.into:
        yield placed.source
    elif posixpath.dirname(sought) == placed.path and fnmatchcase(name, posixpath.basename(placed.source)):
        # Without a slash at its end, too: `COPY requirements.txt /app` where that folder is there.
        yield posixpath.join(posixpath.dirname(placed.source), name)
    if sought.startswith(placed.path.rstrip("/") + "/"):
        yield posixpath.join(placed.source, posixpath.relpath(sought, placed.path))


def _target(mount: Mapping[str, str], workdir: str) -> str:
    target = mount.get("target") or mount.get("dst") or mount.get("destination") or "/"
    return posixpath.normpath(posixpath.join(workdir, target))


def _words(text: str) -> list[str]:
    """The words of an instruction, also of the form that is a JSON list."""
    try:
        if text.startswith("["):
            return [str(word) for word in json.loads(text)]
        return shlex.split(text.partition("\n")[0])
    except (ValueError, RecursionError):
        return []
