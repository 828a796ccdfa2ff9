"""Requirements → a lock file, by uv against the cache, or by pip where there is no uv (ADR 20).

A requirements file is read here only as far as it says where to look: index lines would lead uv past the cache.
"""

from __future__ import annotations

import json
import os
import platform as own_platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from packaging.pylock import Pylock

from proxy.errors import PullthroughError
from proxy.warming import lock_files, text_files
from proxy.warming.platforms import for_uv
from proxy.warming.text_files import UnreadableFile

_DEEPEST = 10  # requirements files that name others
_INDEX = ("-i", "--index-url", "--extra-index-url")
_PAST = ("-f", "--find-links", "-e", "--editable")
_INCLUDED = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
_KEPT = 4000  # characters of what uv said that are shown


class Unresolved(PullthroughError):
    """No set of versions was found, or nobody is there to look for one. The text says why."""


@dataclass(slots=True)
class Requirements:
    """Requirements as text, what bounds them, and the addresses of further indexes, on the cache."""

    lines: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)

    def add(self, path: Path, on_cache: Callable[[str], str | None]) -> None:
        """Take a requirements file in. `on_cache`: where the cache has an index, or None. Raises UnreadableFile."""
        self.take(path, on_cache, bounds=False)

    def take(self, path: Path, on_cache: Callable[[str], str | None], *, bounds: bool) -> None:
        """As `add`, or take its lines as `bounds` of what is wanted."""
        self._add(path, on_cache, self.constraints if bounds else self.lines, _DEEPEST)

    def _add(self, path: Path, on_cache: Callable[[str], str | None], to: list[str], depth: int) -> None:
        if not depth:
            raise UnreadableFile(f"{path}: requirements files that name each other")
        for line in _lines(path):
            word, _, rest = line.replace("=", " ", 1).partition(" ") if line.startswith("--") else line.partition(" ")
            rest = rest.strip()
            if word in _INCLUDED:
                there = self.constraints if _INCLUDED[word] else to
                self._add(path.parent / rest, on_cache, there, depth - 1)
            elif word in _INDEX:
                index = on_cache(rest)
                if index is None:
                    raise UnreadableFile(
                        f"{path}: {word} {rest} is not behind the cache. Add an [[upstream]] with this url to it."
                    )
                self.indexes.append(index)
            elif word in _PAST or " @ " in line:
                raise UnreadableFile(f"{path}: the cache cannot have what comes from elsewhere than an index: {line}")
            elif not word.startswith("-"):
                to.append(line)


def resolve(
    requirements: Requirements, index: str, platform: str | None, python: str, environ: Mapping[str, str]
) -> Pylock:
    """The versions that uv, else pip, chooses for a platform (None: this one). `index`: the cache's.

    Raises Unresolved.
    """
    uv = _uv(environ)
    pip = _pip(environ) if uv is None else None
    if uv is None and pip is None:
        raise Unresolved("Requirements are resolved by uv, which is not installed. Install it with: pip install uv")
    if uv is None and (platform is not None or python != own_platform.python_version()):
        raise Unresolved(
            f"Without uv requirements are resolved by pip, which can do so for this machine and Python "
            f"{own_platform.python_version()} alone. Install uv with: pip install uv"
        )
    with tempfile.TemporaryDirectory(prefix="pullthrough-") as made:
        folder = Path(made)
        (folder / "requirements.txt").write_text("\n".join(requirements.lines) + "\n", encoding="utf-8")
        (folder / "constraints.txt").write_text("\n".join(requirements.constraints) + "\n", encoding="utf-8")
        if uv is not None:
            return _by_uv(uv, folder, [index, *requirements.indexes], platform, python, environ)
        assert pip is not None, "looked at above"
        return _by_pip(pip, folder, [index, *requirements.indexes], environ)


def _by_uv(  # noqa: PLR0913, PLR0917 - what a resolution depends on
    uv: list[str], folder: Path, indexes: list[str], platform: str | None, python: str, environ: Mapping[str, str]
) -> Pylock:
    made = folder / "pylock.toml"
    command = [*uv, "pip", "compile", str(folder / "requirements.txt")]
    command += ["--constraints", str(folder / "constraints.txt"), "--output-file", str(made)]
    command += ["--format", "pylock.toml", "--quiet", "--no-config", "--no-header"]
    command += ["--python-version", python, "--default-index", indexes[0]]
    command += [word for further in indexes[1:] for word in ("--index", further)]
    command += ["--python-platform", for_uv(platform)] if platform is not None else []
    _run("uv", command, environ)
    return Pylock.from_dict(tomllib.loads(made.read_text(encoding="utf-8")))


def _by_pip(pip: list[str], folder: Path, indexes: list[str], environ: Mapping[str, str]) -> Pylock:
    """What pip would install here (its installation report)."""
    made = folder / "report.json"
    command = [*pip, "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input", "--report", str(made)]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--requirement", str(folder / "requirements.txt")]
    command += ["--constraint", str(folder / "constraints.txt"), "--index-url", indexes[0]]
    command += [word for further in indexes[1:] for word in ("--extra-index-url", further)]
    command += ["--trusted-host", urlsplit(indexes[0]).netloc]
    _run("pip", command, {**environ, "PYTHONWARNINGS": "ignore"})
    report = json.loads(made.read_text(encoding="utf-8"))
    return lock_files.of_report(report["install"], indexes)


def _run(program: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
    kept = {name: value for name, value in environ.items() if not name.startswith(("UV_", "PIP_"))}
    try:
        ended = subprocess.run(  # noqa: S603 - no shell reads it
            command,
            env={**kept, "PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise Unresolved(f"{program} could not be run: {error.strerror}.") from error
    if ended.returncode:
        raise Unresolved(f"{program} found no set of versions:\n{ended.stderr.strip()[-_KEPT:]}")


def _uv(environ: Mapping[str, str]) -> list[str] | None:
    """How uv is run; None if it is not here."""
    found = shutil.which("uv", path=environ.get("PATH", os.defpath))
    if found is not None:
        return [found]
    return [sys.executable, "-m", "uv"] if find_spec("uv") is not None else None


def _pip(environ: Mapping[str, str]) -> list[str] | None:
    """How pip is run for this program's Python; None if it is not here."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = next((name for name in ("pip", "pip3") if shutil.which(name, path=environ.get("PATH", os.defpath))), None)
    return [found, "--python", sys.executable] if found is not None else None


def _lines(path: Path) -> Iterator[str]:
    """The lines of a requirements file that say something, those that go on in the next one joined."""
    for line in text_files.read(path).replace("\\\n", " ").splitlines():
        said = "" if line.lstrip().startswith("#") else line.partition(" #")[0].strip()
        if said:
            yield said
