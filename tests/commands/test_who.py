"""`pullthrough who`, as a process: over the socket of a running cache, and where none runs."""

from __future__ import annotations

import io
import json

import aiohttp
import pytest
from msgspec.structs import replace
from rich.console import Console

from proxy.builds.store_access import DataPlace
from proxy.commands.who import WhoFlags, shown, wish_of
from proxy.control.protocol import PulledFile, PulledFiles, PullWish
from proxy.errors import WrongUsage
from tests.commands.stored import GOLDEN, Machine, filled
from tests.conftest import MakeProxy
from tests.flows.asking import address, get
from tests.origin import Origin
from tests.wheels import wheel


def _flags(machine: Machine, wanted: str, since: str | None = None) -> WhoFlags:
    return WhoFlags(DataPlace(machine.data, 10**9, chosen=True), wanted, since)


def test_shown__golden_text() -> None:
    """A row for each client and file; what was removed meanwhile; and that nobody is there."""
    name = "litellm-1.82.8-py3-none-any.whl"
    at, later = 1_790_000_000.0, 1_790_086_400.0
    known = PulledFile("pypi", name, "10.0.0.7", 12, 98_000_000, at, later, kept=True)
    rows = (
        replace(known, client_name="pip", client_version="24.0", build="job 7"),
        PulledFile("pypi", name, "2001:db8::1", 1, 8_200_000, at, at, kept=False, client_name="Wget"),
        PulledFile("pypi", name, "10.0.0.8", 1, 8_200_000, at, at, kept=False),
    )
    text = io.StringIO()
    where = Console(file=text, width=200, color_system=None)
    for part in (*shown(PulledFiles(rows, more=True)), *shown(PulledFiles((), more=False))):
        where.print(part)

    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert (GOLDEN / "who.txt").read_text(encoding="utf-8").splitlines() == lines


def test_wish_of__arguments(machine: Machine) -> None:
    """A version is after two equal signs; a time is a length of time before now."""
    assert PullWish("litellm", "1.82.8", 1000.0) == wish_of(_flags(machine, "litellm==1.82.8", "1h"), 4600.0)
    assert PullWish("lite*") == wish_of(_flags(machine, "lite*"), 4600.0)


@pytest.mark.parametrize(("wanted", "since"), [("six", "yesterday"), ("", None), ("*" * 9, None), ("x" * 300, None)])
def test_wish_of__wrong(machine: Machine, wanted: str, since: str | None) -> None:
    """What cannot be meant, or would take for ever, is said at once."""
    with pytest.raises(WrongUsage):
        wish_of(_flags(machine, wanted, since), 4600.0)


async def test_who__running_cache(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What a client got a moment ago is there, and is stored; by project, by version and by digest."""
    package = wheel()
    origin.publish(package)
    running = await make_proxy(origin.url)
    for _ in range(2):
        await get(http, address(running, package))

    project = package.filename.split("-")[0]
    for wanted in (project, f"{project}=={package.filename.split('-')[1]}", package.filename, package.sha256):
        result = await machine.run("who", wanted, "--json")
        assert (0, "") == (result.status, result.err)
        (row,) = json.loads(result.out)["rows"]
        assert (package.filename, "127.0.0.1", 2, True) == (row["name"], row["client"], row["requests"], row["kept"])
        assert 2 * package.body.size == row["size"]


async def test_who__after_the_cache_ended(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The history outlives the process, and the files."""
    package = wheel()
    origin.publish(package)
    running = await make_proxy(origin.url)
    await get(http, address(running, package))
    await running.close()
    await machine.run("clean", "--all", "--yes")

    result = await machine.run("who", package.filename.split("-")[0], "--json")

    (row,) = json.loads(result.out)["rows"]
    assert (1, False) == (row["requests"], row["kept"])
    by_digest = await machine.run("who", f"sha256:{package.sha256.upper()}", "--json")
    assert [row] == json.loads(by_digest.out)["rows"]
    assert package.sha256 == row["sha256"]


async def test_who__nobody(machine: Machine) -> None:
    """A folder that has no history says so."""
    await filled(machine.data)

    result = await machine.run("who", "torch")

    assert (0, "The history has nobody who got it.\n", "") == (result.status, result.out, result.err)


async def test_who__wrong_usage(machine: Machine) -> None:
    """One line, and status 2."""
    result = await machine.run("who", "six", "--since", "yesterday")

    assert (2, 1) == (result.status, len(result.err.splitlines()))
