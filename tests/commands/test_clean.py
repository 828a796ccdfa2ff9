"""`pullthrough clean`: as a process on a folder and on a running cache; Docker is played."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.builds.docker_caches import BuilderCache, DockerCaches
from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord
from proxy.builds.store_access import DataPlace
from proxy.commands import output
from proxy.commands.clean import CleanFlags, amount, removed, show, show_docker, wish
from proxy.control.protocol import Amount, CleanEnd, CleanPlan, NamedFile, Wish
from proxy.errors import WrongUsage
from tests import fake_engine
from tests.commands.stored import FILES, GOLDEN, Machine, file_of, fill, filled
from tests.conftest import MakeProxy
from tests.fake_engine import FakeEngine
from tests.origin import Origin
from tests.storage.disk import fixed, opened

_TORCH = [key for key in FILES if ":torch:" in key]
_OLD = "file:pypi:torch::packages/aa/torch-2.7.1-cp312-none-any.whl"
_PLAN = CleanPlan(
    files=2,
    size=1_392_000_000,
    addresses=1,
    broken_off=4_000_000,
    left=398_000_000,
    amounts=(Amount("pypi", "file", 2, 1_392_000_000),),
    largest=(
        NamedFile("torch-2.7.1-cp312-none-any.whl", "pypi", "file", 821_000_000, "torch", "2.7.1", 900_000.0),
        NamedFile("nvidia_cudnn_cu12-9.5.1.17-py3-none-any.whl", "pypi", "file", 571_000_000),
    ),
)
_USAGE = {
    "BuildCache": [
        {"ID": "a", "Type": CACHE_MOUNT, "Size": 2_000_000, "InUse": False, "Description": 'x with id "/p-pip"'},
        {"ID": "b", "Type": CACHE_MOUNT, "Size": 3_000_000, "InUse": True},
    ]
}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine with two cache mounts, of which a build uses one."""
    with fake_engine.running() as started:
        started.answer("GET", "/system/df", _USAGE)
        started.answer("POST", "/build/prune", {"SpaceReclaimed": 2_000_000})
        yield started


def _printed(stream: io.StringIO) -> str:
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def test_show__golden_text() -> None:
    """What would go, the question, and what went; then the same of Docker."""
    stream = io.StringIO()
    where = output.console(stream)
    show(_PLAN, where)
    lines = [f"Remove {amount(_PLAN)}?", removed(CleanEnd(2, 1_396_000_000, 1)), removed(CleanEnd(1, 10, 0)), ""]
    output.lines(stream, lines)
    mounts = (CacheRecord("a", CACHE_MOUNT, 2_000_000_000, False, False, 'x with id "/pullthrough-pip"'),)
    show_docker(DockerCaches(0, 0, (BuilderCache("docker", mounts),), ()), where)

    assert (GOLDEN / "clean.txt").read_text(encoding="utf-8") == _printed(stream)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--project", "Torch"], _TORCH),
        (["--project", "torch", "--version", "2.7.1"], [_OLD]),
        (["--index", "apt"], [key for key in FILES if key.startswith("apt:")]),
        (["--project", "hello"], [key for key in FILES if "hello" in key]),
        (["--older-than", "30d"], [_OLD]),
        (["--larger-than", "80kB"], [_OLD]),
        (["--index", "pypi", "--larger-than", "60kB"], _TORCH),
        (["--down-to", "170kB"], [_OLD]),
        (["--all"], list(FILES)),
    ],
)
async def test_clean__folder_of_no_running_cache(machine: Machine, options: list[str], gone: list[str]) -> None:
    """What the conditions mean goes, and nothing else."""
    await filled(machine.data)

    result = await machine.run("clean", *options, "--yes")

    assert (0, "") == (result.status, result.err)
    assert f"Removed {len(gone)} file" in result.out
    async with opened(machine.data) as store:
        assert sorted(set(FILES) - set(gone)) == store.keys("")
    assert [key not in gone for key in FILES] == [file_of(machine.data, key).exists() for key in FILES]


async def test_clean__running_cache(machine: Machine, make_proxy: MakeProxy, origin: Origin) -> None:
    """The cache itself removes it, and is asked over its socket."""
    running = await make_proxy(origin.url)
    await fill(running.store)

    result = await machine.run("clean", "--project", "torch", "--yes")

    assert (0, "") == (result.status, result.err)
    assert "Removed 2 files, 170.0 kB." == result.out.splitlines()[-1]
    assert [] == [key for key in running.store.keys("") if key in _TORCH]
    assert not any(file_of(machine.data, key).exists() for key in _TORCH)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--larger-than", "50kB"], False),
        (["--larger-than", "1GB"], True),
        (["--down-to", "1kB"], False),
        (["--index", "pypi", "--older-than", "90d", "--larger-than", "50MB"], True),
    ],
)
async def test_clean__sizes_and_times_of_a_running_cache(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, options: list[str], *, left: bool
) -> None:
    """They mean the same over its socket."""
    running = await make_proxy(origin.url)
    await fill(running.store)

    result = await machine.run("clean", *options, "--yes")

    assert (0, "") == (result.status, result.err)
    assert left == all(file_of(machine.data, key).exists() for key in _TORCH)


@pytest.mark.parametrize(("typed", "left", "status"), [("y\n", False, 0), ("n\n", True, 1), ("", True, 130)])
async def test_clean__asks(machine: Machine, typed: str, left: bool, status: int) -> None:
    """On a terminal it asks; only yes is yes, and Ctrl-C ends it with nothing removed."""
    await filled(machine.data)
    keyboard, screen = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "proxy", "clean", "--all"],
            env=machine.environ | {"TERM": "dumb"},
            cwd=machine.home,
            stdin=screen,
            stdout=screen,
            stderr=screen,
        ) as process:
            seen = b""
            while b"[y/N]" not in seen:
                seen += os.read(keyboard, 1 << 16)
            if typed:
                os.write(keyboard, typed.encode())
            else:
                process.send_signal(signal.SIGINT)
    finally:
        os.close(keyboard)
        os.close(screen)

    assert (status, left) == (process.returncode, file_of(machine.data, _OLD).exists())


async def test_clean__nobody_to_ask(machine: Machine) -> None:
    """What would go is shown, and nothing is removed: status 2."""
    await filled(machine.data)

    result = await machine.run("clean", "--all")

    assert 2 == result.status
    assert "torch-2.7.1-cp312-none-any.whl" in result.out
    assert "Add --yes" in result.err
    async with opened(machine.data) as store:
        assert len(FILES) == len(store.keys(""))


async def test_clean__as_json(machine: Machine) -> None:
    """Without --yes the plan alone; with it a line for each step, the end last."""
    await filled(machine.data)

    plan = json.loads((await machine.run("clean", "--project", "torch", "--json")).out)
    result = await machine.run("clean", "--project", "torch", "--json", "--yes")

    assert (2, 170_000, 88_700) == (plan["files"], plan["size"], plan["left"])
    end = {"type": "CleanEnd", "files": 2, "size": 170_000, "addresses": 0, "undeleted": 0, "reason": None}
    assert end == json.loads(result.out.splitlines()[-1])


@pytest.mark.parametrize("as_json", [False, True])
async def test_clean__what_cannot_be_deleted(machine: Machine, as_json: bool) -> None:
    """The verb fails, and says what was removed and why the rest was not."""
    await filled(machine.data)

    with fixed(file_of(machine.data, _OLD).parent):
        result = await machine.run("clean", "--project", "torch", "--yes", *(["--json"] if as_json else []))

    assert 1 == result.status
    if as_json:
        end = json.loads(result.out.splitlines()[-1])
        assert (1, 1) == (end["files"], end["undeleted"])
    else:
        assert "Removed 1 file, " in result.out
        assert "1 file could not be deleted: " in result.err
    assert file_of(machine.data, _OLD).exists()


async def test_clean__nothing_is_meant(machine: Machine) -> None:
    """No question, no failure."""
    await filled(machine.data)

    result = await machine.run("clean", "--project", "nothing")

    assert (0, "Nothing to remove.\n", "") == (result.status, result.out, result.err)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "say what to remove: --index, --project, --older-than, --larger-than, --down-to, --all or --docker"),
        (["--version", "1"], "a version is one of a project: name that, too"),
        (["--all", "--project", "x"], "everything is everything: give no other condition"),
        (["--older-than", "soon"], "--older-than soon: must be a time such as 30s, 10m or 1h, or a number of seconds"),
        (["--docker", "--json"], "--json and --docker: one at a time; `stats --docker --json` shows what Docker takes"),
    ],
)
async def test_clean__wrong_usage(machine: Machine, options: list[str], line: str) -> None:
    """Status 2, and why; the folder is not touched."""
    result = await machine.run("clean", *options)

    assert (2, "", f"pullthrough: {line}\n") == (result.status, result.out, result.err)
    assert not machine.data.exists()


def test_wish__units(tmp_path: Path) -> None:
    """Times and sizes as in the settings."""
    flags = CleanFlags(DataPlace(tmp_path, 1, chosen=True), older_than="1.5h", larger_than="100 MB", down_to="2GiB")

    assert Wish(older_than=5400.0, larger_than=100_000_000, down_to=2 << 30) == wish(flags)


@pytest.mark.parametrize("size", ["much", "-1", "0", "true", "1,5 TB", "1,000 GB", "20GB/day", ".", "1.5.0 GB"])
def test_wish__no_size(tmp_path: Path, size: str) -> None:
    """The option is named."""
    with pytest.raises(WrongUsage, match=rf"^--down-to {re.escape(size)}: "):
        wish(CleanFlags(DataPlace(tmp_path, 1, chosen=True), down_to=size))


async def test_clean__docker_alone(machine: Machine, engine: FakeEngine) -> None:
    """The mounts that no build uses; the cache is not needed for it."""
    shown = await machine.run("clean", "--docker", **engine.environ)
    assert 2 == shown.status
    assert [] == engine.asked("POST", "/build/prune")

    result = await machine.run("clean", "--docker", "--yes", **engine.environ)

    assert (0, "") == (result.status, result.err)
    assert ["  size  builder  id", "2.0 MB  docker   p-pip"] == [line.rstrip() for line in result.out.splitlines()[1:3]]
    assert "Removed cache mounts of Docker, 2.0 MB." == result.out.splitlines()[-1]
    assert {"type": [CACHE_MOUNT]} == engine.asked("POST", "/build/prune")[0].filters


async def test_clean__docker_with_nothing(machine: Machine, engine: FakeEngine) -> None:
    """No question."""
    engine.answer("GET", "/system/df", {})

    result = await machine.run("clean", "--docker", **engine.environ)

    assert (0, "Docker has no cache mounts that could be removed.\n", "") == (result.status, result.out, result.err)
