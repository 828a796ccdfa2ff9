"""`python -m bench.docker`: builds of a model image, direct against cached, and the README's table of them.

Direct is a Dockerfile as people write it first, straight from the internet. Cached is Dockerfile.cached by
`pullthrough build`. Both have the same requirements, base image, engine, and link to the internet (`bench.link`). The
engine's whole build cache is pruned several times, so that the engine must be one that nobody needs: `--prune` says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.docker_table import BEGIN, CODE, EMPTY, END, FIRST, PRUNED, REQUIREMENTS, Figures, table
from bench.link import MEGABIT, Link
from bench.results import say
from bench.summary import placed
from proxy.builds.engine import Engine
from proxy.builds.secret_files import NAME
from tests.e2e.clients import clean_environment, serving
from tests.e2e.engine import DOCKER

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parent.parent
_BUILD = _ROOT / "build" / "bench"
_REQUIREMENTS = "torch==2.7.1\nopenvino==2025.2.0\ntransformers==4.46.3\n"
_ADDED = "python-dateutil==2.9.0.post0\n"
_CODE = "import torch\n\nprint(torch.__version__)\n"
# As people write it first. The environment is there since Debian's own Python takes no packages (PEP 668).
_PLAIN = """\
FROM python:3.12-slim
WORKDIR /app
COPY . .
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -r requirements.txt
CMD ["/opt/venv/bin/python", "main.py"]
"""
_STEPS = _BUILD / "docker-steps.log"
_TAG = "pullthrough-bench"
_REPETITIONS = 3  # of builds with nothing to do


@dataclass(slots=True)
class Ground:
    """Where builds run: the project's folder, a home for processes, the link's address, what is to be installed."""

    folder: Path
    home: Path
    link: str
    requirements: str
    environ: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        reaching = {name: os.environ[name] for name in ("DOCKER_HOST", "DOCKER_CONTEXT") if name in os.environ}
        path = f"{Path(DOCKER).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "DOCKER_BUILDKIT": "1", "PYTHONPATH": str(_ROOT), "XDG_RUNTIME_DIR": str(self.home)}
        self.environ = clean_environment(self.home) | reaching | own

    def begin(self) -> None:
        """The project as it is before the first build, and an engine that has built nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "requirements.txt").write_text(self.requirements, encoding="utf-8")
        (self.folder / "main.py").write_text(_CODE, encoding="utf-8")
        (self.folder / "Dockerfile").write_text(_PLAIN, encoding="utf-8")
        shutil.copy(_ROOT / "Dockerfile.cached", self.folder)
        # Dockerfiles are no part of either image.
        (self.folder / ".dockerignore").write_text("Dockerfile*\n.dockerignore\n", encoding="utf-8")
        self.empty()

    def prune(self) -> None:
        """Empty the engine's build cache, as Docker's garbage collection does: the image stays."""
        self.run([DOCKER, "builder", "prune", "-af"])
        os.sync()

    def empty(self) -> None:
        """An engine that knows nothing of the project, as on a new machine."""
        subprocess.run([DOCKER, "image", "rm", "--force", _TAG], env=self.environ, capture_output=True, check=False)
        self.prune()

    def change(self, name: str, text: str) -> None:
        """Add a line to a file of the project."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def run(self, command: Sequence[str], **variables: str) -> tuple[float, str]:
        """The seconds that a command took, and its standard output. Raises RuntimeError if it failed.

        What it said on standard error, as BuildKit does of its steps, is kept behind what others said.
        """
        begin = time.monotonic()
        with subprocess.Popen(
            command,
            env=self.environ | variables,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                out, err = process.communicate()
            except BaseException:
                process.terminate()  # and not kill: it ends its own build first
                raise
        seconds = time.monotonic() - begin
        with _STEPS.open("ab") as log:
            log.write(f"\n== {' '.join(command)}: {seconds:.1f} s\n".encode() + err)
        if process.returncode:
            said = (out + err).decode(errors="replace")
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-4000:]}")
        return seconds, out.decode()


class Direct:
    """The plain Dockerfile, straight from the internet. The link comes by arguments that are in no layer's key."""

    name = "direct"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def build(self) -> Figures:
        names = ("http_proxy", "https_proxy")
        proxied = [word for name in names for word in ("--build-arg", f"{name}={self._ground.link}")]
        seconds, _ = self._ground.run([DOCKER, "build", "--progress=plain", "--tag", _TAG, *proxied, "."])
        return Figures(seconds)


class Cached:
    """Dockerfile.cached by `pullthrough build`, through a cache that fetches over the link."""

    def __init__(self, ground: Ground, port: int, installer: str) -> None:
        self._ground = ground
        self._port = port
        self._installer = installer

    @property
    def name(self) -> str:
        """The column."""
        return f"cached, {self._installer}"

    def build(self) -> Figures:
        seconds, said = self._ground.run(
            [sys.executable, "-m", "proxy", "build", "--json", *self._arguments], PULLTHROUGH_PORT=str(self._port)
        )
        report = json.loads(said)
        if report["cache"] is None:
            raise RuntimeError(f"the build went without the cache: {report['notes']}")
        archives = report["upstreams"].get("apt", {}).get("from_upstream", 0)
        return Figures(seconds, report["from_upstream"] - archives, archives)

    def overhead(self) -> float:
        """Seconds that `pullthrough build` takes longer than `docker build` with nothing to do; medians."""
        plain = [DOCKER, "build", "--add-host", f"{NAME}:127.0.0.1", "--file", "Dockerfile.cached", *self._arguments]
        bare, ours = [], []
        for _ in range(_REPETITIONS):
            bare.append(self._ground.run(plain)[0])
            ours.append(self.build().seconds)
        return sorted(ours)[_REPETITIONS // 2] - sorted(bare)[_REPETITIONS // 2]

    @property
    def _arguments(self) -> list[str]:
        return ["--progress=plain", "--tag", _TAG, "--build-arg", f"INSTALLER={self._installer}", "."]


def measure(ground: Ground, way: Direct | Cached) -> dict[str, Figures]:
    """All rows of one way, by their titles."""

    def built(row: str) -> None:
        rows[row] = way.build()
        say(f"{row}: {way.name}  {rows[row]}")

    rows: dict[str, Figures] = {}
    ground.begin()
    built(FIRST)
    ground.change("main.py", "print('changed')\n")
    built(CODE)
    if isinstance(way, Direct):
        # It copies the code first, and has no cache: each change means the same work again.
        return rows | {REQUIREMENTS: rows[CODE], PRUNED: rows[FIRST], EMPTY: rows[FIRST]}
    ground.change("requirements.txt", _ADDED)
    built(REQUIREMENTS)
    ground.prune()
    built(PRUNED)
    ground.empty()
    built(EMPTY)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the README's table. Gives 0 when it ran to its end, whatever it measured."""
    options = _options(arguments)
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not options.prune:
        say("error: this removes the whole build cache of the engine, several times. If that may be, add --prune;")
        say("else start a dockerd of its own for it, and name its socket in DOCKER_HOST")
        return 2
    wanted = options.requirements.read_text("utf-8") if options.requirements else _REQUIREMENTS
    _BUILD.mkdir(parents=True, exist_ok=True)
    _STEPS.unlink(missing_ok=True)
    place = Path(tempfile.mkdtemp(prefix="docker-", dir=_BUILD))
    try:
        ways, overhead = _measured(place, options, wanted)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    text = table(ways, overhead, options.rate, wanted.split())
    say(text)
    if options.output or options.requirements:
        output: Path = options.output or _BUILD / "docker.md"
        output.write_text(text, encoding="utf-8")
    else:
        readme = _ROOT / "README.md"
        readme.write_text(placed(readme.read_text("utf-8"), text, BEGIN, END), encoding="utf-8")
    return 0


def _measured(
    place: Path, options: argparse.Namespace, wanted: str
) -> tuple[dict[str, dict[str, Figures]], dict[str, float]]:
    """The figures by way and row, and by way the seconds that a build with nothing to do takes longer."""
    ways: dict[str, dict[str, Figures]] = {}
    overhead: dict[str, float] = {}
    with Engine.connect(os.environ) as engine:
        gateway = engine.bridge_gateway() or "127.0.0.1"
    with Link(gateway, options.rate * MEGABIT, place / "link.log") as link:
        ground = Ground(place / "model", place, link.url, wanted)
        for installer in options.installers.split(","):
            data = place / f"data-{installer}"
            port = _free_port(gateway)
            started = ("--host", f"127.0.0.1,{gateway}", "--port", str(port), "--proxy", link.url)
            with serving(data, place, options=started) as server:
                cached = Cached(ground, port, installer)
                ways[cached.name] = measure(ground, cached)
                overhead[cached.name] = cached.overhead()
                (_BUILD / f"docker-{installer}.log").write_text(server.log, encoding="utf-8")
            shutil.rmtree(data)
        direct = Direct(ground)
        ways[direct.name] = measure(ground, direct)
        ground.empty()
    return ways, overhead


def _free_port(host: str) -> int:
    """One that is free at this address, and at loopback in all likelihood."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.docker", description=__doc__)
    parser.add_argument("--prune", action="store_true", help="the engine's build cache may go")
    parser.add_argument("--rate", type=int, default=100, help="megabits a second of the link; default 100")
    parser.add_argument("--installers", default="pip,uv", help="which of pip and uv; default pip,uv")
    parser.add_argument("--requirements", type=Path, help="another list than the README's; its table is not written")
    parser.add_argument("--output", type=Path, help="write the table there, and leave the README alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
