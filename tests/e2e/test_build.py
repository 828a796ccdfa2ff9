"""`pullthrough build` and `doctor` with the real engine: what a RUN sees, what stays in the image, what is rebuilt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.builds.candidates import GATEWAY_ALIAS, Candidate
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine import Engine
from proxy.builds.probe import Ground, prove
from proxy.builds.running_cache import answers_at
from tests.e2e.clients import Server, clean_environment, serving
from tests.e2e.engine import DOCKER, must
from tests.origin import Origin
from tests.wheels import wheel

pytestmark = pytest.mark.e2e

_LIMIT = 300  # seconds: only for what hangs
_PIP = "--mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444"
_CACHED = f"""\
FROM {{base}}
RUN {_PIP} : {{image}} && /venv/bin/pip install --no-cache-dir demo && cat /etc/hosts
RUN true
COPY code /code
"""


@dataclass(frozen=True, slots=True)
class Built:
    """How `pullthrough build` ended, and all that it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, object]:
        """What `--json` printed."""
        read: dict[str, object] = json.loads(self.stdout)
        return read


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a Dockerfile, and somebody who builds it."""

    folder: Path
    home: Path
    image: str

    def write(self, dockerfile: str, code: str = "1") -> None:
        """Write the Dockerfile and the code beside it."""
        (self.folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        (self.folder / "code").write_text(code, encoding="utf-8")

    def environ(self, port: int) -> dict[str, str]:
        """The variables of somebody whose cache has this port."""
        path = f"{Path(DOCKER).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "PULLTHROUGH_PORT": str(port), "XDG_RUNTIME_DIR": str(self.home)}
        return clean_environment(self.home) | own | {"PYTHONPATH": str(Path(__file__).parents[2])}

    async def run(self, verb: str, port: int, *arguments: str, **variables: str) -> Built:
        """Run a verb in the folder."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", verb, *arguments),
            cwd=self.folder,
            env=self.environ(port) | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(_LIMIT):
            out, err = await process.communicate()
        assert process.returncode is not None
        assert [] == self.secrets_left
        return Built(process.returncode, out.decode(), err.decode())

    async def build(self, port: int, *arguments: str) -> Built:
        """Build it, and print the report as JSON."""
        return await self.run("build", port, "--json", "--progress=plain", "-t", self.image, *arguments, ".")

    @property
    def secrets_left(self) -> list[str]:
        """What builds left in the folder of their secret files."""
        return [path.name for path in self.home.iterdir() if path.name.startswith("pullthrough-secrets-")]


@pytest.fixture
def project(tmp_path: Path, engine: None) -> Iterator[Project]:
    """An empty one; its image is removed in the end."""
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    made = Project(folder, home, f"pullthrough-test-build-{uuid.uuid4().hex[:8]}")
    yield made
    subprocess.run([DOCKER, "image", "rm", "--force", made.image], capture_output=True, check=False)


@pytest.fixture(scope="session")
def venv_base(python_base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a base image that has a virtual environment, too: to make one takes longer than all the rest."""
    folder = tmp_path_factory.mktemp("venv")
    (folder / "Dockerfile").write_text(f"FROM {python_base}\nRUN python3 -m venv /venv\n", encoding="utf-8")
    name = "pullthrough-test-venv"
    must("build", "--tag", name, str(folder))
    yield name
    must("image", "rm", "--force", name)


@contextlib.asynccontextmanager
async def _cache(tmp_path: Path, origin: Origin, bridge: str, name: str = "data") -> AsyncIterator[tuple[Server, int]]:
    """The program on loopback and the bridge, at a free port of both, in front of a local index."""
    settings = tmp_path / f"{name}.toml"
    settings.write_text(f'[[upstream]]\nmount = "pypi"\nurl = "{origin.url}/"\nindex = "simple/"\n', encoding="utf-8")
    with socket.socket() as free:
        free.bind((bridge, 0))
        port = free.getsockname()[1]
    options = ("--host", f"127.0.0.1,{bridge}", "--port", str(port))
    with contextlib.ExitStack() as stack:
        server = await asyncio.to_thread(
            stack.enter_context, serving(tmp_path / name, tmp_path, settings, options=options)
        )
        yield server, port
        await asyncio.to_thread(stack.close)


async def test_build__first_and_again(
    project: Project, venv_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """The second build on an empty layer cache fetches nothing from upstream; nothing of the cache is in the image."""
    origin.publish(wheel("demo", "1.0", padding=500_000))
    project.write(_CACHED.format(base=venv_base, image=project.image))
    async with _cache(tmp_path, origin, bridge) as (_, port):
        first = await project.build(port)
        again = await project.build(port, "--no-cache")

    assert (0, 0) == (first.status, again.status), first.stderr + again.stderr
    assert "trying how builds reach the cache" in first.stderr
    assert "trying how builds reach the cache" not in again.stderr
    assert f"{bridge}:{port}" == first.report["reached_at"]
    assert int(str(first.report["from_upstream"])) > 500_000
    assert 0 == again.report["from_upstream"]
    assert int(str(again.report["saved"])) > 500_000
    traces = must("history", "--no-trunc", project.image) + must("image", "inspect", project.image)
    files = must(
        "run", "--rm", project.image, "sh", "-c", "cat /etc/hosts /etc/pip.conf 2>&1; ls -A /etc/uv 2>&1; true"
    )
    assert [] == [trace for trace in (str(port), bridge, "pullthrough:") if trace in traces + files]


async def test_build__what_changes_no_layer(
    project: Project, venv_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """Another port of the cache, or no cache at all: every RUN is taken from the layer cache."""
    origin.publish(wheel("demo", "1.0"))
    project.write(_CACHED.format(base=venv_base, image=project.image))
    async with _cache(tmp_path, origin, bridge) as (_, port):
        assert 0 == (await project.build(port)).status
    async with _cache(tmp_path, origin, bridge, "other") as (_, other):
        elsewhere = await project.build(other)
        fetched = origin.count()
        project.write(_CACHED.format(base=venv_base, image=project.image), code="2")
        changed = await project.build(other)
    without = await project.build(port)

    for built in (elsewhere, changed, without):
        assert 0 == built.status
        assert 2 <= built.stderr.count("CACHED"), built.stderr
        assert "Collecting demo" not in built.stderr
    assert fetched == origin.count()
    assert f"no cache answers at port {port} of 127.0.0.1" in without.stderr
    assert without.report["cache"] is None


async def test_build__after_a_prune(
    project: Project, venv_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """BuildKit's cache is gone and the image is there: nothing is run again, and only changed code is copied."""
    origin.publish(wheel("demo", "1.0"))
    project.write(_CACHED.format(base=venv_base, image=project.image))
    with Engine.connect({"PATH": ""}) as connected:
        before = {record.id for record in connected.usage().records}
        async with _cache(tmp_path, origin, bridge) as (_, port):
            assert 0 == (await project.build(port)).status
            made = [record for record in connected.usage().records if record.id not in before]
            # A record that another one is made of goes after it.
            while sum(connected.prune(record) for record in made):
                made = [record for record in connected.usage().records if record.id not in before]
            project.write(_CACHED.format(base=venv_base, image=project.image), code="2")
            again = await project.build(port)

    assert 0 == again.status, again.stderr
    assert "Collecting demo" not in again.stderr
    assert 2 <= again.stderr.count("CACHED"), again.stderr
    assert (0, 0) == (again.report["from_upstream"], again.report["from_cache"])
    assert "2" == must("run", "--rm", project.image, "cat", "/code")


async def test_build__foreign_dockerfile(
    project: Project, python_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """apt asks the cache by `http_proxy`, which stands in no layer; what of pip goes past it is told."""
    project.write(
        f"FROM {python_base}\n"
        f"RUN : {project.image}; echo proxy=$http_proxy without=$no_proxy, as for apt-get update\n"
        "RUN echo pip install demo\n"
    )
    async with _cache(tmp_path, origin, bridge) as (_, port):
        built = await project.build(port)

    assert 0 == built.status
    assert f"proxy=http://pullthrough:{port} without=localhost,127.0.0.1,::1,pullthrough" in built.stderr
    assert "pullthrough: line 3: pip goes past the cache." in built.stderr
    assert "http_proxy=" not in must("history", "--no-trunc", project.image)


async def test_build__run_that_fails(
    project: Project, python_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """The exit status is the build's own, and the way is proved anew next time."""
    project.write(f"FROM {python_base}\nRUN {_PIP} grep pullthrough /etc/pip.conf && exit 7\n")
    async with _cache(tmp_path, origin, bridge) as (_, port):
        first = await project.build(port)
        again = await project.build(port)

    assert (1, 1) == (first.status, again.status)
    assert f"index-url = http://pullthrough:{port}/pypi/simple/" in first.stderr
    assert "trying how builds reach the cache" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_build__interrupted(project: Project, busybox: str, number: signal.Signals) -> None:
    """As by Ctrl-C in the middle of a RUN: the build ends, no secret stays, and no image is made."""
    project.write(f"FROM {busybox}\nRUN echo it has be''gun; sleep {_LIMIT}\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "build", "--no-cache", "--progress=plain", "-t", project.image, "."),
        cwd=project.folder,
        env=project.environ(9),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    async with asyncio.timeout(_LIMIT / 2):
        async for line in process.stderr:
            if b"it has begun" in line:
                break
        os.killpg(process.pid, number)
        await process.communicate()

    assert 128 + number == process.returncode
    assert [] == project.secrets_left
    assert "" == must("image", "ls", "--quiet", project.image)


@pytest.mark.parametrize("removed", ["", "/usr/bin/python3*", "/usr/lib/apt/apt-helper", "/usr/bin/bash"])
async def test_probe__by_what_the_image_has(
    python_base: str, origin: Origin, tmp_path: Path, bridge: str, removed: str
) -> None:
    """The proof is by Python, by apt, by bash or by Perl; the alias of the host is looked up on the way."""
    everything = ["/usr/bin/python3*", "/usr/lib/apt/apt-helper", "/usr/bin/bash"]
    gone = everything[: everything.index(removed) + 1] if removed else []
    name = f"pullthrough-test-probe-{len(gone)}"
    (tmp_path / "Dockerfile").write_text(f"FROM {python_base}\nRUN rm -f /none {' '.join(gone)}\n", encoding="utf-8")
    must("build", "--tag", name, str(tmp_path))
    environ = clean_environment(tmp_path) | {"PATH": str(Path(DOCKER).parent)}
    command = DockerCommand.find(environ)
    async with _cache(tmp_path, origin, bridge) as (_, port):
        started = await asyncio.to_thread(answers_at, "127.0.0.1", port)
        assert started is not None
        places = [Candidate("127.0.0.1", port), Candidate(GATEWAY_ALIAS, port)]
        found = await asyncio.to_thread(prove, command, places, Ground(name), started)
        other = await asyncio.to_thread(prove, command, [Candidate(bridge, port)], Ground(name), "1.0")

    assert ("", Candidate(bridge, port)) == (found.problem, found.address)
    assert (None, (f"{bridge}:{port}",)) == (other.address, other.other)
    must("image", "rm", name)


@pytest.mark.parametrize("triggers", [None, True])
async def test_probe__base_with_triggers(
    python_base: str, origin: Origin, tmp_path: Path, bridge: str, triggers: bool | None
) -> None:
    """ONBUILD of the base image wants files of the project, which the probe has not."""
    name = f"pullthrough-test-triggers-{triggers}".lower()
    (tmp_path / "Dockerfile").write_text(f"FROM {python_base}\nONBUILD COPY requirements.txt /\n", encoding="utf-8")
    must("build", "--tag", name, str(tmp_path))
    environ = clean_environment(tmp_path) | {"PATH": str(Path(DOCKER).parent)}
    async with _cache(tmp_path, origin, bridge) as (_, port):
        started = await asyncio.to_thread(answers_at, "127.0.0.1", port)
        assert started is not None
        ground = Ground(name, triggers=triggers)
        places = [Candidate(bridge, port)]
        found = await asyncio.to_thread(prove, DockerCommand.find(environ), places, ground, started)

    assert ("", Candidate(bridge, port)) == (found.problem, found.address)
    with Engine.connect({"PATH": ""}) as engine:
        assert engine.has_triggers(name)
    must("image", "rm", name)


async def test_doctor__nothing_is_wrong(
    project: Project, venv_base: str, origin: Origin, tmp_path: Path, bridge: str
) -> None:
    """Everything is looked at: Docker, the cache, the way from inside a build, a page and a file."""
    origin.publish(wheel("six", "1.0"), fmt="json")
    project.write(_CACHED.format(base=venv_base, image=project.image))
    async with _cache(tmp_path, origin, bridge) as (_, port):
        found = await project.run("doctor", port, "--json", PULLTHROUGH_DATA=str(tmp_path / "data"))

    rows: list[Mapping[str, str]] = json.loads(found.stdout)
    assert (0, []) == (found.status, [row for row in rows if row["health"] not in ("ok", "look")]), found.stdout
    assert {"docker", "engine", "builder", "way", "page", "file", "base image"} <= {row["subject"] for row in rows}


async def test_doctor__cache_on_loopback_alone(
    project: Project, venv_base: str, origin: Origin, tmp_path: Path
) -> None:
    """Builds cannot reach it: the line has the command that mends it."""
    project.write(_CACHED.format(base=venv_base, image=project.image))
    async with _cache(tmp_path, origin, "127.0.0.2") as (_, port):
        found = await project.run("doctor", port, PULLTHROUGH_DATA=str(tmp_path / "data"))

    assert 1 == found.status
    assert "wrong way: builds of the builder default (driver docker) do not reach the cache" in found.stdout
    assert "pullthrough serve --host 127.0.0.1," in found.stdout
