"""Why the server cannot start, and what a person can do. The command as a process is held by `test_cli`."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest

from proxy.commands.serve import run, serve, start_failure
from proxy.config.credentials import KnownCredentials
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.web.wakeful_loop import WakefulLoop
from tests.flows.reading import get
from tests.origin import Origin
from tests.wheels import wheel


@pytest.mark.parametrize(
    ("number", "port", "said"),
    [
        (errno.EADDRINUSE, 3142, r"10\.0\.0\.7, port 3142: in use by another program\. .*--port"),
        (errno.EADDRNOTAVAIL, 3142, r"10\.0\.0\.7: is not an address of this machine\. .*--host"),
        (errno.EAFNOSUPPORT, 3142, r"10\.0\.0\.7: .*no addresses of that kind.*--host"),
        (errno.EINVAL, 3142, r"10\.0\.0\.7: .*interface.*--host"),
        (errno.EACCES, 80, r"10\.0\.0\.7, port 80: ports below 1024 need special rights\. .*--port"),
        (errno.EPERM, 1023, r".*ports below 1024.*--port"),
        (errno.EACCES, 1024, r".*does not let this user listen.*--port"),
        (errno.EACCES, 0, r".*does not let this user listen.*--port"),
        (errno.EMFILE, 3142, r".*open files.*ulimit -n"),
        (errno.ENFILE, 3142, r".*open files.*ulimit -n"),
        (errno.ENOMEM, 3142, re.escape(f"cannot start: {os.strerror(errno.ENOMEM)}.")),
    ],
)
def test_start_failure__by_number(number: int, port: int, said: str) -> None:
    """Each reason has its own line, which names the flag that helps."""
    assert re.fullmatch(f"{said}.*", start_failure(OSError(number, os.strerror(number)), "10.0.0.7", port))


def test_start_failure__no_number() -> None:
    """asyncio sums up what failed in a text alone."""
    said = start_failure(OSError("could not bind on any address out of [('192.0.2.1', 80)]"), "192.0.2.1", 80)

    assert said == "192.0.2.1: is not an address of this machine. Choose one with --host, such as 127.0.0.1."


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_start_failure__name_without_an_address(number: int) -> None:
    """A number of the resolver is none of the system: EAI_AGAIN is no EADDRINUSE, whatever they are called."""
    said = start_failure(socket.gaierror(number, "no"), "cache.example", 80)

    assert said.startswith("cache.example: this name has no address.")


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EADDRINUSE])
def test_start_failure__of_a_file(number: int) -> None:
    """Where a file is the matter it is the one that is named, and no port."""
    assert start_failure(OSError(number, "so it is", "/etc/file"), "10.0.0.7", 80) == "/etc/file: so it is."


async def test_run__what_is_there_at_the_start_is_collected_no_more(tmp_path: Path) -> None:
    """Full collections pass over the program's own objects while it serves, and only then."""
    before, seen = gc.get_freeze_count(), []

    def greeting(urls: Sequence[str]) -> str:
        seen.append((urls[0], gc.get_freeze_count()))
        os.kill(os.getpid(), signal.SIGTERM)
        return urls[0]

    settings = Settings(host=("127.0.0.1",), port=0, data=tmp_path / "data")
    await run(settings, greeting, KnownCredentials({}, {}), KnownProxies({}, {}))
    [(url, frozen)] = seen
    assert url.startswith("http://127.0.0.1:")
    assert frozen > before
    assert gc.get_freeze_count() == 0


def test_serve__no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of processes ends the start in one line."""

    def refused(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    settings = Settings(host=("127.0.0.1",), port=0, data=tmp_path / "data")
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refused)
        status = serve(settings, KnownCredentials({}, {}), KnownProxies({}, {}))

    assert (1, 1) == (status, capsys.readouterr().err.count("pullthrough: the system starts no more threads"))


def test_serve__on_the_loop_that_stays_awake(tmp_path: Path) -> None:
    """Answers that are replayed reach the loop that waits for the next request."""
    loops = set()

    class Credentials(KnownCredentials):
        def hosts(self, mount: str) -> frozenset[str]:
            loops.add(type(asyncio.get_running_loop()))
            os.kill(os.getpid(), signal.SIGTERM)
            return super().hosts(mount)

    settings = Settings(host=("127.0.0.1",), port=0, data=tmp_path / "data")
    assert serve(settings, Credentials({}, {}), KnownProxies({}, {})) == 0
    assert loops == {WakefulLoop}


@pytest.mark.parametrize("homeless", [False, True])
async def test_run__looks_after_what_is_to_be_warm(
    tmp_path: Path, origin: Origin, http: aiohttp.ClientSession, *, homeless: bool
) -> None:
    """A `[[warm]]` of the settings is there soon after the start, and the API says so. Services may have no home."""
    package = wheel("demo")
    origin.publish(package, fmt="both", metadata=True)
    upstreams = [{"mount": "pypi", "url": origin.url}]
    warm = {"name": "nightly", "what": [package.filename], "tools": False}
    settings = Settings(host=("127.0.0.1",), port=0, data=tmp_path / "data", upstreams=upstreams, warms=[warm])
    environ = {**os.environ, "PULLTHROUGH_UPSTREAMS": json.dumps(upstreams)}
    for name in ("HOME", "XDG_CACHE_HOME") if homeless else ():
        environ.pop(name, None)
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def greet(urls: Sequence[str]) -> str:
        started.set_result(urls[0])
        return urls[0]

    task = asyncio.create_task(run(settings, greet, KnownCredentials({}, {}), KnownProxies({}, {}), environ))
    url = await started
    while not (warms := (await get(http, f"{url}/api/v1/now")).json["warms"]):
        await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    (ended,) = warms
    assert ("nightly", "complete", 1, package.body.size, []) == (
        ended["name"],
        ended["outcome"],
        ended["came"],
        ended["came_size"],
        ended["refused"],
    )
    assert 1 == origin.count(f"/packages/{package.filename}")
