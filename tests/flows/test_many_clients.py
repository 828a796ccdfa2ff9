"""Ten thousand clients in a day, each with its own address and name: what is kept of them is bounded."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from proxy.history.questions import PullQuestion, pulls
from tests.conftest import MakeProxy
from tests.flows.asking import address, get, until_kept
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has more loopback addresses than one"),
]

_CLIENTS = 10_000
_FIRST = 7000  # more than those whose names are remembered
_AT_ONCE = 20
_FILES = 2
_LIMIT = 1_000_000  # bytes: less than they take
_ANSWERS = 200  # that the page remembers


async def _pull(running: Running, number: int, paths: Iterable[str]) -> None:
    """One client fetches files; its loopback address and what it calls itself are its own."""
    parts = urlsplit(running.url)
    local = f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, local_addr=(local, 0))
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: client/{number}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "x-cache: hit" in head
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
    writer.close()
    await writer.wait_closed()


async def _pull_all(running: Running, numbers: range, paths: list[str]) -> None:
    for first in range(numbers.start, numbers.stop, _AT_ONCE):
        async with asyncio.TaskGroup() as clients:
            for number in range(first, first + _AT_ONCE):
                clients.create_task(_pull(running, number, paths))


async def _now(http: aiohttp.ClientSession, running: Running) -> list[dict[str, object]]:
    """The last answers, as the page has them; what was gathered for the history is written before."""
    assert 200 == (await get(http, f"{running.url}/api/v1/stats")).status
    answers: list[dict[str, object]] = msgspec.json.decode((await get(http, f"{running.url}/api/v1/now")).body)[
        "answers"
    ]
    return answers


def _series(running: Running) -> set[bytes]:
    """The metrics that have labels, with them; others, which are one number each, may be measured late."""
    lines = running.metrics.render()[0].splitlines()
    return {line.rpartition(b" ")[0] for line in lines if b"{" in line}


def _things() -> int:
    gc.collect()
    return len(gc.get_objects())


async def test_day_of_many_clients__bounded(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """In memory, in the metrics, on the page and on the disk, the last thousands leave no more than those before."""
    packages = [wheel(f"demo{number}") for number in range(_FILES)]
    origin.publish(*packages)
    running = await make_proxy(origin.url, history={"size": _LIMIT})
    paths = [urlsplit(address(running, package)).path for package in packages]
    for path in paths:
        await get(http, running.url + path)
        await until_kept(http, running.url + path)
    await _pull_all(running, range(_FIRST), paths)
    await _now(http, running)
    things, series = _things(), _series(running)

    await _pull_all(running, range(_FIRST, _CLIENTS), paths)

    assert _ANSWERS == len(await _now(http, running))
    assert series == _series(running)
    assert _things() - things < _CLIENTS // 10
    taken = sum(path.stat().st_size for path in data_folder.glob("history.sqlite3*") if path.suffix != ".sqlite3-shm")
    assert taken <= _LIMIT
    kept = {pull.client_version for pull in pulls(data_folder, PullQuestion("demo0", most=_CLIENTS))}
    assert str(_CLIENTS - 1) in kept
    assert len(kept) < _CLIENTS
