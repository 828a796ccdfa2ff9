"""Dockerfile.cached with the real engine: through the cache and without it, by pip and by uv, as root and as nobody."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.clients import apt_lines, pip_configuration, uv_configuration
from tests.e2e.clients import Failed, Server, Uv, clean_environment, run, serving, tree
from tests.e2e.engine import docker, image_files, must
from tests.origin import Origin
from tests.wheels import wheel

_ROOT = Path(__file__).parents[2]
_FILE = _ROOT / "Dockerfile.cached"
_BRIDGE = "bridge"
_NAME = "pullthrough"
# What has to run, for pip and uv: small, with a dependency and a package that only builds from its source.
_REQUIREMENTS = "python-dateutil==2.9.0.post0\n"
_CODE = "import dateutil\nprint('dateutil', dateutil.__version__)\n"

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("python_base")]


@dataclass
class Project:
    """A project to build, in a folder of its own, under a tag of its own."""

    folder: Path
    tag: str
    secrets: dict[str, Path] = field(default_factory=dict)
    address: str = ""
    packages: str = ""  # of apt; most tests need none

    def knows(self, server: Server, gateway: str) -> None:
        """From now on builds go through the cache."""
        base = f"http://{_NAME}:{server.url.rpartition(':')[2]}"
        texts = {
            "pip": pip_configuration(base),
            "uv": uv_configuration(base),
            "apt": "".join(f"{line}\n" for line in apt_lines(base)),
        }
        place = self.folder.parent / f"secrets-{uuid.uuid4().hex}"
        place.mkdir(mode=0o700)
        for name, text in texts.items():
            (place / name).write_text(text, encoding="utf-8")
        self.secrets = {name: place / name for name in texts}
        self.address = gateway

    def build(self, *options: str) -> str:
        """Build the image; gives what BuildKit said. Raises Failed."""
        reaching = ["--add-host", f"{_NAME}:{self.address}"] if self.address else []
        secrets = [option for name, path in self.secrets.items() for option in ("--secret", f"id={name},src={path}")]
        command = ["build", "--file", str(_FILE), "--tag", self.tag, "--build-arg", f"SYSTEM_PACKAGES={self.packages}"]
        return must(*command, *reaching, *secrets, *options, str(self.folder))

    def runs(self) -> str:
        """What the image says when it is run without a network."""
        return must("run", "--rm", "--network", "none", self.tag)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A small one."""
    made = Project(tmp_path / "project", f"pullthrough-test-{uuid.uuid4().hex}:latest")
    made.folder.mkdir()
    (made.folder / "main.py").write_text(_CODE, encoding="utf-8")
    # A name that no other test has: none takes another one's layers.
    (made.folder / "requirements.txt").write_text(f"# {made.tag}\n{_REQUIREMENTS}", encoding="utf-8")
    yield made
    docker("image", "rm", "--force", made.tag)


@pytest.fixture(scope="session")
def gateway(engine: None) -> str:
    """The host's address on the default bridge."""
    (first, *_) = json.loads(must("network", "inspect", _BRIDGE))[0]["IPAM"]["Config"]
    return str(first.get("Gateway") or re.sub(r"\.0/\d+$", ".1", first["Subnet"]))


@pytest.fixture
def reachable(tmp_path: Path, home: Path, gateway: str) -> Iterator[Server]:
    """The program in front of PyPI and of apt's archives, where containers reach it."""
    with serving(tmp_path / "data", home, options=["--host", f"127.0.0.1,{gateway}"]) as started:
        yield started


def _layers(output: str) -> dict[str, bool]:
    """The steps that BuildKit named, and whether it had each of them."""
    named = dict(re.findall(r"^#(\d+) (\[.*)$", output, re.MULTILINE))
    had = set(re.findall(r"^#(\d+) CACHED$", output, re.MULTILINE))
    return {text: number in had for number, text in named.items() if "internal" not in text}


def _environment(project: Project) -> list[str]:
    """The digests of the layers with what is large of the environment, and with the rest."""
    digests = json.loads(must("image", "inspect", "--format", "{{json .RootFS.Layers}}", project.tag))
    # Behind the base and the system packages; before the working folder and the code.
    return [str(digest) for digest in digests[-4:-2]]


def _apart() -> tuple[str, str]:
    """An option of a build whose cache mounts are empty, and nobody else's."""
    return "--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={uuid.uuid4().hex}"


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("user", ["0:0", "1000:1000"])
def test_build__without_a_cache(project: Project, installer: str, user: str) -> None:
    """No secret, no cache: it builds straight from the internet, and runs."""
    project.build("--build-arg", f"INSTALLER={installer}", "--build-arg", f"RUN_AS={user}", "--no-cache")

    assert "dateutil 2.9.0.post0\n" == project.runs()
    assert user == must("image", "inspect", "--format", "{{.Config.User}}", project.tag).strip()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_build__through_the_cache(
    project: Project, reachable: Server, gateway: str, tmp_path: Path, installer: str
) -> None:
    """All of it comes through the cache, a second time from its disk alone, and nothing tells of it in the image."""
    project.knows(reachable, gateway)
    project.packages = "libgomp1"
    options = ("--build-arg", f"INSTALLER={installer}", "--no-cache")
    project.build(*options, *_apart())
    sent = {mount: reachable.metric("pullthrough_sent_bytes_total", upstream=mount) for mount in ("pypi", "apt")}
    fetched = reachable.metric("pullthrough_fetched_bytes_total")

    project.build(*options, *_apart())

    assert all(sent.values()), sent
    # The second build revalidates pages and suites at most: no file is fetched again.
    assert reachable.metric("pullthrough_fetched_bytes_total") - fetched < 0.02 * fetched
    assert "dateutil 2.9.0.post0\n" == project.runs()
    port = reachable.url.rpartition(":")[2]
    told = must("history", "--no-trunc", project.tag) + must("image", "inspect", project.tag)
    assert f":{port}" not in told
    assert gateway not in told
    with image_files(project.tag, tmp_path) as root:
        for stub in ("etc/pip.conf", "etc/uv", "etc/apt/apt.conf.d/01pullthrough", "var/cache/pip", "var/cache/uv"):
            assert not (root / stub).exists(), stub
        assert (root / "etc/apt/apt.conf.d/docker-clean").is_file()
        assert [] == list((root / "var/cache/apt/archives").rglob("*.deb"))
        told = f"{_NAME}:{port}|{re.escape(gateway)}:{port}"
        found = subprocess.run(["grep", "-rlE", told, str(root)], capture_output=True, text=True, check=False)
        assert "" == found.stdout


def test_build__from_a_bundle(project: Project, home: Path, tmp_path: Path, gateway: str) -> None:
    """A cache without upstream, which has what a bundle brought, is enough for the same image, file by file."""
    project.packages = "libgomp1"
    options = ("--build-arg", "INSTALLER=uv", "--no-cache")  # pip is what the environment begins with
    host, bundle, inside = ["--host", f"127.0.0.1,{gateway}"], str(tmp_path / "bundle.tar"), str(tmp_path / "inside")
    with serving(tmp_path / "outside", home, options=host) as outside:
        project.knows(outside, gateway)
        project.build(*options, *_apart())
        _verb(home, "export", bundle, "--data", str(tmp_path / "outside"))
    expected = _installed(project, tmp_path / "first")

    with serving(Path(inside), home, options=[*host, "--offline"]) as server:
        _verb(home, "import", bundle, "--data", inside)
        project.knows(server, gateway)
        project.build(*options, *_apart())
        assert 0 == server.metric("pullthrough_fetched_bytes_total")

    found = _installed(project, tmp_path / "second")
    assert [] == sorted(path for path, _ in expected.items() ^ found.items())
    assert "dateutil 2.9.0.post0\n" == project.runs()


def _verb(home: Path, *arguments: str) -> None:
    run([sys.executable, "-m", "proxy", *arguments], home, folder=_ROOT)


def _installed(project: Project, place: Path) -> dict[str, str]:
    """The files of the environment in the image, and its system packages. What venv compiles holds times."""
    place.mkdir()
    with image_files(project.tag, place) as root:
        packages = tree(root / "var" / "lib" / "dpkg")
        files = {path: digest for path, digest in tree(root / "opt" / "venv").items() if not path.endswith(".pyc")}
        return files | {"system packages": packages["status"]}


def test_build__another_address(project: Project, home: Path, tmp_path: Path, gateway: str) -> None:
    """A cache at another port invalidates no layer, nor does a build without it."""
    said = ""
    for number in range(2):
        with serving(tmp_path / f"data{number}", home, options=["--host", f"127.0.0.1,{gateway}"]) as server:
            project.knows(server, gateway)
            said = project.build()
    assert all(had for step, had in _layers(said).items() if "RUN" in step or "COPY" in step), said
    steps = _layers(said)
    assert sum("RUN" in step for step in steps) >= 3, steps


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_build__code_changes(project: Project, installer: str) -> None:
    """Only the last layer is built again."""
    options = ("--build-arg", f"INSTALLER={installer}")
    project.build(*options)
    (project.folder / "main.py").write_text("print('changed')\n", encoding="utf-8")

    steps = _layers(project.build(*options))

    assert ["COPY . /app"] == [step.partition("] ")[2] for step, had in steps.items() if not had and "COPY" in step]
    assert [] == [step for step, had in steps.items() if not had and "RUN" in step]
    assert "changed\n" == project.runs()


def test_build__requirements_change(project: Project, reachable: Server, gateway: str) -> None:
    """pip's own cache mount has what was there before: only what is new is asked of the proxy."""
    project.knows(reachable, gateway)
    apart = _apart()
    project.build(*apart, "--no-cache")
    before = reachable.log
    with (project.folder / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("packaging\n")

    said = project.build(*apart)

    assert "Using cached" in said, said
    asked = [
        line for line in reachable.log[len(before) :].splitlines() if "/~files/" in line and ".metadata" not in line
    ]
    assert asked, reachable.log[len(before) :]
    assert all("packaging" in line for line in asked), asked


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.parametrize("folder", ["", "requirements/", "deploy/image/"])
def test_build__requirements_that_name_others(
    project: Project, reachable: Server, gateway: str, installer: str, folder: str
) -> None:
    """What -r and -c name is there, in whatever folder; another text file of the project installs nothing again."""
    project.knows(reachable, gateway)
    (project.folder / "requirements.txt").unlink()
    place = project.folder / folder
    place.mkdir(parents=True, exist_ok=True)
    above = "../" * folder.count("/")
    (place / "prod.txt").write_bytes(f"# {project.tag}\r\n-r base.txt\r\n-c {above}limits.txt # all\r\n".encode())
    (place / "base.txt").write_text("--requirement=more.txt\n", encoding="utf-8")
    (place / "more.txt").write_text("python-dateutil\n", encoding="utf-8")
    (project.folder / "limits.txt").write_text("python-dateutil==2.9.0.post0\n", encoding="utf-8")
    options = ("--build-arg", f"INSTALLER={installer}", "--build-arg", f"REQUIREMENTS={folder}prod.txt")
    project.build(*options)
    assert "dateutil 2.9.0.post0\n" == project.runs()
    (project.folder / "notes.txt").write_text("another\n", encoding="utf-8")

    steps = _layers(project.build(*options))

    assert [] == [step for step, had in steps.items() if not had and "RUN" in step and "/opt/" in step]
    assert "COPY . /app" in [step.partition("] ")[2] for step, had in steps.items() if not had]


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_build__large_layers_stay(project: Project, reachable: Server, gateway: str, installer: str) -> None:
    """With other requirements, what is large is the same byte for byte, compiled too, and its layer is not made."""
    project.knows(reachable, gateway)
    requirements = project.folder / "requirements.txt"
    requirements.write_text(f"# {project.tag}\npygments==2.18.0\n", encoding="utf-8")
    options = ("--build-arg", f"INSTALLER={installer}", "--build-arg", "LARGE=3")
    project.build(*options)
    large, _ = _environment(project)
    requirements.write_text(f"# {project.tag}\npygments==2.18.0\n{_REQUIREMENTS}", encoding="utf-8")

    steps = _layers(project.build(*options))

    made = [step.partition("] ")[2] for step, had in steps.items() if not had and "COPY --from=installed" in step]
    assert {"COPY --from=installed /opt/venv /opt/venv"} >= set(made)  # none, if an earlier build made the same
    assert large == _environment(project)[0]
    assert "dateutil 2.9.0.post0\n" == project.runs()
    program = "import os, pygments; print(os.path.exists(pygments.__cached__))"
    assert "True\n" == must("run", "--rm", project.tag, "python", "-c", program)


def test_build__uv_lock(project: Project, reachable: Server, gateway: str, uv: Uv, home: Path) -> None:
    """A uv.lock is installed as it is, with its hashes, and through the cache."""
    (project.folder / "requirements.txt").unlink()
    (project.folder / "pyproject.toml").write_text(
        '[project]\nname = "sample"\nversion = "1"\nrequires-python = ">=3.11"\n'
        'dependencies = ["python-dateutil==2.9.0.post0"]\n',
        encoding="utf-8",
    )
    run([str(uv.program), "lock", "--no-config", "--python", sys.executable], home, folder=project.folder)
    project.knows(reachable, gateway)

    project.build("--build-arg", "INSTALLER=uv", "--no-cache")

    assert "dateutil 2.9.0.post0\n" == project.runs()
    assert re.search(r"/~files/.*python_dateutil-2\.9\.0\.post0-py2\.py3-none-any\.whl", reachable.log)


def test_build__torch_index(project: Project, reachable: Server, gateway: str) -> None:
    """PyTorch's channel is asked through the cache where there is one."""
    project.knows(reachable, gateway)
    (project.folder / "requirements.txt").write_text(f"# {project.tag}\nno-such-project-anywhere\n", encoding="utf-8")

    with pytest.raises(Failed, match="no-such-project-anywhere"):
        project.build("--build-arg", "TORCH_INDEX=cpu")

    assert "/pytorch/whl/cpu/no-such-project-anywhere/" in reachable.log


async def test_build__torch_index_with_an_old_copy(
    project: Project, origin: Origin, home: Path, tmp_path: Path, gateway: str
) -> None:
    """PyTorch's channels have old copies of some projects: uv takes a pinned one from the usual index, as pip does."""
    origin.publish(wheel("idna", "3.4"), index="/whl/cpu/", fmt="html")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[[upstream]]\nmount = "pytorch"\nurl = "{origin.url}/"\nindex = "whl/"\n', encoding="utf-8")
    pinned = f"# {project.tag}\n{_REQUIREMENTS}idna==3.10\n"
    (project.folder / "requirements.txt").write_text(pinned, encoding="utf-8")
    with serving(tmp_path / "data", home, settings, options=["--host", f"127.0.0.1,{gateway}"]) as server:
        project.knows(server, gateway)

        await asyncio.to_thread(project.build, "--build-arg", "INSTALLER=uv", "--build-arg", "TORCH_INDEX=cpu")

        assert "/pytorch/whl/cpu/idna/" in server.log
    assert "dateutil 2.9.0.post0\n" == project.runs()


@pytest.mark.parametrize("user", ["0:0", "1000:1000", "4711:4711"])
def test_build__user_without_a_name(project: Project, user: str) -> None:
    """Nobody of that number is known in the image: a program gets a name all the same, and a home that it may write."""
    project.build("--build-arg", f"RUN_AS={user}")

    program = (
        "import getpass, pathlib; getpass.getuser(); (pathlib.Path.home() / 'x').touch(); print(pathlib.Path.home())"
    )
    assert "/home/app\n" == must("run", "--rm", project.tag, "python", "-c", program)


def test_build__base_image_that_forbids_caching(
    project: Project, reachable: Server, gateway: str, python_base: str
) -> None:
    """PIP_NO_CACHE_DIR of a base image does not keep the cache mount empty, nor does its user."""
    project.knows(reachable, gateway)
    base = f"{project.tag.partition(':')[0]}-base"
    text = f"FROM {python_base}\nENV PIP_NO_CACHE_DIR=1\nUSER 1234\n"
    done = docker("build", "--tag", base, "-", standard_input=text.encode())
    assert 0 == done.status, done.output
    try:
        apart = (*_apart(), "--build-arg", f"BASE_IMAGE={base}")
        project.build(*apart, "--no-cache")
        with (project.folder / "requirements.txt").open("a", encoding="utf-8") as file:
            file.write("packaging\n")
        assert "Using cached" in project.build(*apart)
    finally:
        docker("image", "rm", "--force", base)


def test_hadolint() -> None:
    """A linter has nothing to say; each rule that is ignored has its reason beside it."""
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None, "install the group e2e: make e2e does"
    done = subprocess.run(
        [program, str(_FILE)], capture_output=True, text=True, env=clean_environment(_ROOT), check=False
    )
    assert ("", 0) == (done.stdout + done.stderr, done.returncode)
