"""The programs that are measured beside pullthrough: are they there, and which versions.

nginx and wrk are the system's and are only looked for. devpi-server, proxpi and the newest pip and uv are installed
from PyPI, into virtual environments in the build folder, and kept there for the next run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = "clients"
# Environment → what is installed into it.
PACKAGES = {"devpi-server": ["devpi-server"], "proxpi": ["proxpi", "gunicorn"], CLIENTS: ["--upgrade", "pip", "uv"]}
_PACKAGED = ("apt-cacher-ng", "squid")
_DEBIAN = "apt-get install nginx-light wrk"
# The caller's trust and way out are kept, their indexes and constraints are not.
_KEPT = frozenset({"PIP_CERT", "PIP_PROXY"})


class PeerError(Exception):
    """A program is missing or cannot be installed; the text says what to do."""


def require_tools() -> None:
    """Check that wrk is there: without it there is nothing to compare. Raises PeerError."""
    if not shutil.which("wrk"):
        message = f"wrk is missing. On Debian: {_DEBIAN}"
        raise PeerError(message)


def require(package: str, program: str) -> None:
    """Check that a program of Debian's is there. Raises PeerError."""
    if not shutil.which(program):
        message = f"{program} is missing. On Debian: apt-get install {package}"
        raise PeerError(message)


def require_nginx() -> None:
    """Check that nginx is there and can rewrite pages. Raises PeerError."""
    if not shutil.which("nginx"):
        message = f"nginx is missing. On Debian: {_DEBIAN}"
        raise PeerError(message)
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=False).stderr
    if "http_sub_module" not in built:
        message = f"this nginx was built without http_sub_module. On Debian: {_DEBIAN}"
        raise PeerError(message)


def install(name: str, folder: Path) -> None:
    """Make `folder/name` an environment with the packages of `name`, unless it is one. Raises PeerError."""
    home = folder / name
    done = home / "installed"
    if done.exists():
        return
    shutil.rmtree(home, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_") or key in _KEPT}
    environment["PIP_CONFIG_FILE"] = os.devnull
    venv.create(home, with_pip=True)
    command = [str(home / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet", *PACKAGES[name]]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        lines = run.stderr.strip().splitlines()
        message = f"pip could not install it: {lines[-1] if lines else 'no reason given'}"
        raise PeerError(message)
    done.touch()


def versions(names: list[str], folder: Path) -> dict[str, str]:
    """Name and version of each of the servers that can tell theirs."""
    return {name: version for name in names if (version := _version(name, folder))}


def _version(name: str, folder: Path) -> str | None:
    if name == "nginx":
        return _said(["nginx", "-v"], r"nginx/(\S+)")
    if name in _PACKAGED:
        return _said(["dpkg-query", "-W", "-f", "${Version}", name], r"(?:\d+:)?([^-+~]+)")
    home, package = {
        "devpi": (folder / "devpi-server" / "bin" / "python", "devpi-server"),
        "proxpi": (folder / "proxpi" / "bin" / "python", "proxpi"),
        "pip": (folder / CLIENTS / "bin" / "python", "pip"),
        "uv": (folder / CLIENTS / "bin" / "python", "uv"),
    }.get(name, (sys.executable, name))
    question = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _said([str(home), "-c", question], r"(\S+)")


def _said(command: list[str], pattern: str) -> str | None:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    found = re.search(pattern, run.stdout + run.stderr) if not run.returncode else None
    return found[1] if found else None
