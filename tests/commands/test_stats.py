"""`pullthrough stats`: as a process on a folder and on a running cache, and what it prints."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys

import aiohttp

from proxy.builds.docker_caches import BuilderCache, DockerCaches
from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord
from proxy.commands import output
from proxy.commands.stats import Look, as_json, shown
from proxy.control.protocol import Amount, NamedFile, Stats
from proxy.history import PeriodSum
from tests.commands.stored import FILES, GOLDEN, Machine, fill, filled
from tests.conftest import MakeProxy
from tests.flows.asking import address, get
from tests.origin import Origin
from tests.wheels import wheel

_LOOK = Look(
    Stats(
        version="0.1.0",
        folder="/home/me/.docker-cache",
        since=1_000_000.0,
        files=5,
        size=1_790_000_000,
        limit=100_000_000_000,
        free=250_000_000_000,
        broken_off=4_000_000,
        amounts=(
            Amount("pypi", "file", 3, 1_780_000_000, 1200, 1100, 52_000_000_000),
            Amount("apt", "release", 1, 9_000_000, 4, 0, 0),
            Amount("pypi", "page", 1, 1_000_000, 30, 20, 400_000),
            Amount("pytorch", "file", 0, 0, 1, 1, 821_000_000),
        ),
        largest=(
            NamedFile("torch-2.7.1-cp312-none-any.whl", "pypi", "file", 821_000_000, "torch", "2.7.1", 900_000.0),
            NamedFile("[bold]\x1b[31m", "pypi", "file", 571_000_000),
        ),
        saved=51_000_000_000,
        periods=(
            PeriodSum("today", "2026-01-31", 2_000_000_000, 2_500_000_000, -500_000_000),
            PeriodSum("lifetime", "2025-10-01", 90_000_000_000, 8_000_000_000, 82_000_000_000),
        ),
    ),
    DockerCaches(
        images=12,
        image_layers=9_000_000_000,
        caches=(
            BuilderCache(
                "docker",
                (
                    CacheRecord("a", CACHE_MOUNT, 2_000_000_000, False, False, 'x with id "/pullthrough-pip"'),
                    CacheRecord("b", CACHE_MOUNT, 1_000_000, True, False),
                    CacheRecord("c", "regular", 700_000_000, False, False),
                ),
            ),
            BuilderCache("mine", ()),
        ),
        troubles=("the builder far does not tell its cache: no connection",),
    ),
    now=1_000_000.0 + 3 * 86_400,
)


def test_shown__golden_text() -> None:
    """Tables whose lines can be searched; what came from a client moves no cursor."""
    stream = io.StringIO()
    output.console(stream).print(shown(_LOOK))

    printed = "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())
    assert (GOLDEN / "stats.txt").read_text(encoding="utf-8") == printed


def test_as_json__golden_text() -> None:
    """The same, for programs."""
    assert (GOLDEN / "stats.json").read_text(encoding="utf-8") == output.json_text(as_json(_LOOK))


async def test_stats__folder_of_no_running_cache(machine: Machine) -> None:
    """Files and bytes by index and kind, without what clients got; the folder is free again afterwards."""
    await filled(machine.data)

    assert 0 == (await machine.run("stats")).status
    result = await machine.run("stats")

    assert (0, "") == (result.status, result.err)
    lines = [line.split() for line in result.out.splitlines()]
    assert f"{machine.data}: 7 files, 258.7 kB of 100.0 GB" in result.out
    assert "; no cache runs" in result.out
    assert ["pypi", "file", "3", "181.0", "kB"] in lines
    assert ["pypi", "metadata", "1", "1.7", "kB"] in lines
    assert ["apt", "release", "1", "20.0", "kB"] in lines
    assert ["all", "7", "258.7", "kB"] in lines
    assert ["90.0", "kB", "pypi", "torch-2.7.1-cp312-none-any.whl"] in lines
    assert "\x1b" not in result.out


async def test_stats__running_cache(machine: Machine, make_proxy: MakeProxy, origin: Origin) -> None:
    """The cache itself is asked, over its socket."""
    running = await make_proxy(origin.url)
    await fill(running.store)

    result = await machine.run("stats", "--json", "--largest", "1")

    found = json.loads(result.out)
    assert (0, "") == (result.status, result.err)
    assert (len(FILES), 258_700) == (found["files"], found["size"])
    assert found["since"] is not None
    assert ["torch-2.7.1-cp312-none-any.whl"] == [one["name"] for one in found["largest"]]


async def test_stats__of_earlier_runs(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What was saved outlives the process: the running cache, the next one, and the folder alone say the same."""
    package = wheel()
    origin.publish(package)
    periods = []
    for _ in range(2):
        running = await make_proxy(origin.url)
        await get(http, address(running, package))
        periods.append(json.loads((await machine.run("stats", "--json")).out)["periods"])
        await running.close()
    periods.append(json.loads((await machine.run("stats", "--json")).out)["periods"])

    size = package.body.size
    lifetimes = [found[-1] for found in periods]
    assert [size, 2 * size, 2 * size] == [one["sent"] for one in lifetimes]
    assert [size, 0] == [lifetimes[number + 1]["saved"] - lifetimes[number]["saved"] for number in range(2)]
    assert periods[1] == periods[2]
    assert ["today", "7 days", "30 days", "lifetime"] == [one["name"] for one in periods[2]]
    assert "lifetime" in (await machine.run("stats")).out


async def test_stats__no_cache_yet(machine: Machine) -> None:
    """It says how to start one, and makes no folder."""
    result = await machine.run("stats")

    assert (1, "") == (result.status, result.out)
    assert f"There is no cache in {machine.data} yet." in result.err
    assert not machine.data.exists()


async def test_stats__data_folder_that_is_a_file(machine: Machine) -> None:
    """One line, and what to do."""
    machine.data.write_text("", encoding="utf-8")

    result = await machine.run("stats")

    assert (1, "", 1) == (result.status, result.out, len(result.err.splitlines()))


async def test_stats__docker_without_an_engine(machine: Machine) -> None:
    """It says why, and shows no half of it."""
    await filled(machine.data)

    result = await machine.run("stats", "--docker")

    assert (1, "") == (result.status, result.out)
    assert "no Docker engine answers" in result.err


async def test_stats__watched_until_interrupted(machine: Machine) -> None:
    """A line for each look; status 130."""
    await filled(machine.data)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "proxy", "stats", "--watch", "--json"),
        cwd=machine.home,
        env=machine.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()

    assert [7, 7] == [look["files"] for look in looks]
    assert (130, b"") == (process.returncode, err)
    assert out == b"" or json.loads(out.splitlines()[0])
