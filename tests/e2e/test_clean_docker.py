"""`pullthrough clean --docker` on a real engine: of its own, since all of an engine's cache mounts go."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.builds.engine import Engine
from proxy.builds.engine_answers import CACHE_MOUNT
from tests.e2e.clients import Failed, clean_environment
from tests.e2e.composing import ROOT
from tests.e2e.engine import DOCKER, docker, must

pytestmark = pytest.mark.e2e

_LIMIT = 120.0  # seconds: only for what never happens
_FILE = """\
FROM {base}
RUN --mount=type=cache,id=pullthrough-pip,target=/cache dd if=/dev/zero of=/cache/wheel bs=1000 count=3000
RUN echo done >/done
"""


@contextlib.contextmanager
def _engine(place: Path) -> Iterator[str]:
    """An engine with its own images and caches, and no network; its address. Raises Failed.

    It is in a network namespace of its own: an engine without a bridge takes away the bridge that another one made.
    """
    address = f"unix://{place}/docker.sock"
    folders = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "pid"}
    command = ["unshare", "--net", "dockerd", f"--host={address}", "--bridge=none"]
    command += [f"{option}={place / name}" for option, name in folders.items()]
    command += ["--iptables=false", "--ip6tables=false", "--containerd-namespace=pullthrough-test"]
    command += ["--containerd-plugins-namespace=pullthrough-test-plugins"]
    with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until = time.monotonic() + _LIMIT
            while docker("version", environment={"DOCKER_HOST": address}).status:
                if process.poll() is not None or time.monotonic() > until:
                    raise Failed(f"dockerd does not answer:\n{(place / 'log').read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


@pytest.fixture
def address(engine: None, busybox: str) -> Iterator[str]:
    """The address of an engine that has the smallest image and nothing else."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        reason = "this test starts an engine of its own: it needs dockerd, and root"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="pullthrough-") as name:
        place = Path(name)
        must("save", "--output", str(place / "image.tar"), busybox)
        with _engine(place) as started:
            loaded = docker("load", "--input", str(place / "image.tar"), environment={"DOCKER_HOST": started})
            assert 0 == loaded.status, loaded.output
            yield started


def _mounts(address: str) -> list[str]:
    """The names of the engine's cache mounts."""
    with Engine.connect({"PATH": "", "DOCKER_HOST": address}) as connected:
        return [record.name for record in connected.usage().records if record.kind == CACHE_MOUNT]


def test_clean__cache_mounts(address: str, busybox: str, home: Path, tmp_path: Path) -> None:
    """They are shown, and nothing goes unasked; with --yes they go, and layers and images stay."""
    (tmp_path / "Dockerfile").write_text(_FILE.format(base=busybox), encoding="utf-8")
    variables = {"DOCKER_HOST": address}
    build = ("build", "--network=none", "--tag=made", str(tmp_path))

    def clean(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "proxy", "clean", "--docker", *arguments],
            cwd=tmp_path,
            env=clean_environment(home)
            | variables
            | {"PATH": f"{Path(DOCKER).parent}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )

    first = docker(*build, environment=variables)
    assert 0 == first.status, first.output
    (mount,) = _mounts(address)
    assert mount in {"/cache", "pullthrough-pip"}, "an older engine does not tell the id"

    asked = clean()
    kept = _mounts(address)
    removed = clean("--yes")
    left = _mounts(address)
    nothing = clean("--yes")
    again = docker(*build, environment=variables)

    assert (2, [mount]) == (asked.returncode, kept)
    assert mount in asked.stdout
    assert "Add --yes to remove it" in asked.stderr
    assert (0, "", []) == (removed.returncode, removed.stderr, left)
    assert "Removed cache mounts of Docker, 3.0 MB." in removed.stdout
    assert (0, "Docker has no cache mounts that could be removed.\n") == (nothing.returncode, nothing.stdout)
    assert 0 == again.status, again.output
    assert 2 == again.output.count("CACHED"), again.output
    assert 0 == docker("image", "inspect", "made", environment=variables).status
