"""Requirements → a lock file, by uv against the cache, or by pip where there is no uv (ADR 20)."""

from __future__ import annotations

import contextlib
import json
import os
import platform as own_platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock

from proxy.errors import PullthroughError
from proxy.warming import lock_files
from proxy.warming.platforms import for_uv
from proxy.warming.requirement_files import Requirements

_KEPT = 4000  # characters of what uv said that are shown
# They lead to upstream, and nobody but the cache is asked.
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy"})


class Unresolved(PullthroughError):
    """No set of versions was found, or nobody is there to look for one. The text says why."""


def resolve(  # noqa: PLR0913 - what a resolution depends on
    requirements: Requirements,
    index: str,
    platform: str | None,
    python: str,
    environ: Mapping[str, str],
    *,
    fetching: bool = True,
) -> Pylock:
    """The versions that uv, else pip, chooses for a platform (None: this one). `index`: the cache's.

    `fetching`: whether files may be fetched for it. Raises Unresolved.
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
    if uv is None and not fetching:
        raise Unresolved(
            "Without uv requirements are resolved by pip, which fetches the files that it chooses. Install uv with: "
            "pip install uv. Or name a lock file, with --no-tools"
        )
    with _temporary() as folder:
        (folder / "requirements.txt").write_text("\n".join(requirements.lines) + "\n", encoding="utf-8")
        (folder / "constraints.txt").write_text("\n".join(requirements.constraints) + "\n", encoding="utf-8")
        indexes, options = [requirements.index or index, *requirements.indexes], requirements.options
        # As pip, whose files these usually are: the best version of all indexes.
        strategy = ["--index-strategy", "first-index" if requirements.first else "unsafe-best-match"]
        if uv is not None:
            lock = _by_uv([*uv, "pip", "compile", *strategy, *options], folder, indexes, platform, python, environ)
        else:
            assert pip is not None, "looked at above"
            own = ["--pre" if one == "--prerelease" else one for one in options if one != "allow"]
            lock = _by_pip([*pip, "install", *own], folder, indexes, environ)
    return replace(lock, packages=[_allowed(one, requirements.hashes.get(one.name)) for one in lock.packages])


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    """A folder to resolve in. Raises Unresolved where there is no room for it."""
    try:
        with tempfile.TemporaryDirectory(prefix="pullthrough-") as made:
            yield Path(made)
    except OSError as error:
        raise Unresolved(
            f"There is no room to resolve in {tempfile.gettempdir()}: {error.strerror}. TMPDIR names another folder."
        ) from error


def _allowed(package: Package, hashes: set[str] | None) -> Package:
    """The package with the files that have one of these hashes: pip takes no others."""
    if not hashes:
        return package
    kinds = {one.partition(":")[0] for one in hashes}

    def fits(file: PackageWheel | PackageSdist) -> bool:
        common = {f"{kind}:{value}" for kind, value in file.hashes.items() if kind in kinds}
        return not common or not common.isdisjoint(hashes)

    sdist = package.sdist if package.sdist is not None and fits(package.sdist) else None
    return replace(package, wheels=[one for one in package.wheels or () if fits(one)] or None, sdist=sdist)


def _by_uv(  # noqa: PLR0913, PLR0917 - what a resolution depends on
    compiling: list[str],
    folder: Path,
    indexes: list[str],
    platform: str | None,
    python: str,
    environ: Mapping[str, str],
) -> Pylock:
    made = folder / "pylock.toml"
    command = [*compiling, str(folder / "requirements.txt")]
    command += ["--constraints", str(folder / "constraints.txt"), "--output-file", str(made)]
    command += ["--format", "pylock.toml", "--quiet", "--no-config", "--no-header"]
    command += ["--python-version", python, "--default-index", indexes[0]]
    command += [word for further in indexes[1:] for word in ("--index", further)]
    command += ["--python-platform", for_uv(platform)] if platform is not None else []
    command += [] if _has_cache(environ) else ["--cache-dir", str(folder / "cache")]
    _run("uv", command, environ)
    return Pylock.from_dict(tomllib.loads(made.read_text(encoding="utf-8")))


def _by_pip(installing: list[str], folder: Path, indexes: list[str], environ: Mapping[str, str]) -> Pylock:
    """What pip would install here (its installation report)."""
    made = folder / "report.json"
    command = [*installing, "--dry-run", "--ignore-installed", "--quiet", "--no-input", "--report", str(made)]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--requirement", str(folder / "requirements.txt")]
    command += ["--constraint", str(folder / "constraints.txt"), "--index-url", indexes[0]]
    command += [word for further in indexes[1:] for word in ("--extra-index-url", further)]
    command += ["--trusted-host", urlsplit(indexes[0]).netloc]
    _run("pip", command, {**environ, "PYTHONWARNINGS": "ignore"})
    report = json.loads(made.read_text(encoding="utf-8"))
    return lock_files.of_report(report["install"], indexes)


def _run(program: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("UV_", "PIP_")) and name.lower() not in _PROXIES
    }
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


def _has_cache(environ: Mapping[str, str]) -> bool:
    """Whether uv's usual cache can be written: it does nothing without one. A unit may write its data folder alone."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/", ".cache")
    usual = Path(base, "uv").absolute()
    there = next(one for one in (usual, *usual.parents) if os.path.exists(one))  # noqa: PTH110 - a user may not look
    return os.access(there, os.W_OK | os.X_OK)


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
