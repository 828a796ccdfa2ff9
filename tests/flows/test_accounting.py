"""The savings are true: in any mix of clients and faults, each figure is what the clients and the origin counted.

One scenario is a fresh program before a fresh origin, a few clients at once that take wholes, parts, heads, pages,
metadata, suites and packages of apt and tunnels, ask conditionally and break off, and an origin that misbehaves. Some
clients are pips, for which the program looks ahead. A few scenarios run each time; a thousand run with
`--scenarios 1000`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy import app
from proxy.app import Running
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests import faults, scrape
from tests.archive import Archive, deb
from tests.faults import Fault
from tests.flows.asking import SMALL
from tests.foresight.agents import agent
from tests.origin import Origin
from tests.pages import HTML, JSON
from tests.wheels import Package, wheel

_SIZES = (100, 5_000, 60_000, 140_000, 300_000)
_DEB = deb("hello", bytes(70_000))

# Ways in which the origin misbehaves and every byte that it sends is read. Each is one fault of one answer.
_READ_OUT: list[Callable[[random.Random], Fault]] = [
    lambda _: faults.status(503),
    lambda _: faults.status(500),
    lambda _: faults.status(403),
    lambda _: faults.status(404),
    lambda chance: faults.in_pieces(chance.choice([1_000, 17_000])),
    lambda chance: faults.flipped(chance.randrange(100)),
]
# Those after which the connection is dropped with bytes in it: what was sent is at least what was fetched.
_BROKEN: list[Callable[[random.Random], Fault]] = [
    lambda chance: faults.cut(chance.randrange(100_000)),
    lambda chance: faults.cut(chance.randrange(100_000), reset=True),
    lambda chance: faults.hang_up(reset=chance.random() < 0.5),
    lambda _: faults.chunked(),
    lambda _: faults.until_close(),
    lambda _: faults.unfinished_chunks(),
    lambda _: faults.ignores_range(),
    lambda _: faults.gzipped(),
    lambda chance: faults.shorter(chance.randrange(1, 100)),
    lambda chance: faults.longer(bytes(chance.randrange(1, 1000))),
    lambda chance: faults.shifted_range(chance.randrange(1, 100)),
    lambda _: faults.captive_portal(),
]


@dataclass(slots=True)
class Ledger:
    """What clients counted themselves."""

    answers: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    least: int = 0  # bytes of bodies that arrived
    most: int = 0  # the same, and those on their way to clients that broke off
    up: int = 0  # bytes through tunnels
    down: int = 0
    broken: int = 0


@dataclass(slots=True)
class Scenario:
    """One program before one origin. `exact`: the origin misbehaves only so that all that it sends is read.

    `agent`: what clients call themselves. Metadata, and so look-ahead, is no part of exact scenarios: on a slow machine
    the program asks for it in two ways, and drops what it gets by the one.
    """

    chance: random.Random
    running: Running
    origin: Origin
    echo: int
    packages: list[Package]
    archive: Archive
    exact: bool
    agent: str
    ledger: Ledger = field(default_factory=Ledger)
    etags: dict[str, str] = field(default_factory=dict)

    async def client(self) -> None:
        """A few requests, one after another."""
        for _ in range(self.chance.randrange(2, 7)):
            if self.chance.random() < 0.3:
                self._misbehave()
            await self._step()

    def _misbehave(self) -> None:
        package, chance = self.chance.choice(self.packages), self.chance
        path = chance.choice([f"/packages/{package.filename}", f"/simple/{package.project}/"])
        kinds = _READ_OUT if self.exact or chance.random() < 0.5 else _BROKEN
        if self.exact and path.startswith("/packages/"):
            # After a refused range all of a file is asked for, and dropped where the client wanted its size alone.
            kinds = _READ_OUT[-2:]
        self.origin.misbehave(path, chance.choice(kinds)(chance), times=1)

    async def _step(self) -> None:
        chance = self.chance
        package = chance.choice(self.packages)
        file, size = f"/pypi/packages/{package.filename}", package.body.size
        page = f"/pypi/simple/{package.project}/"
        start, end = sorted(chance.sample(range(size), 2))
        match chance.randrange(13):
            case 0 | 1 | 2:
                await self.ask(file, chance.choice(["GET", "GET", "HEAD"]))
            case 3:
                await self.ask(file, range=f"bytes={start}-{end}")
            case 4:
                await self.ask(page, accept=chance.choice([JSON, HTML]), cache_control=chance.choice(["", "no-cache"]))
            case 5:
                path = chance.choice([file, page])
                await self.ask(path, if_none_match=self.etags.get(path, '"none"'))
            case 6:
                await self.ask(chance.choice(["/pypi/simple/nobody/", "/pypi/packages/none.whl", "/nowhere/x"]))
            case 7:
                await self.ask(file, range=f"bytes={size + 5}-")
            case 8:
                await self.tunnel(chance.randrange(1, 50_000))
            case 9 | 10:
                await self.ask(self._of_apt(), chance.choice(["GET", "HEAD"]))
            case 11 if not self.exact:
                await self.ask(f"{file}.metadata")
            case _:
                # A part that is passed through ends with its client: then the origin has sent more than was read.
                await self.ask(file, stop=chance.randrange(size))

    def _of_apt(self) -> str:
        """The path of a Release file, an index or a package."""
        archive = self.archive
        below = [f"{archive.folder}InRelease", f"{archive.folder}{archive.binary}Packages.gz", archive.root + _DEB.path]
        return archive.url(self.chance.choice(below))

    async def ask(self, path: str, method: str = "GET", *, stop: int | None = None, **fields: str) -> None:
        """One request on a connection of its own; its answer is read to the end, the break, or the byte `stop`."""
        ledger = self.ledger
        parts = urlsplit(self.running.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        fields["user_agent"] = self.agent
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items() if value)
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{lines}\r\n".encode())
            ledger.answers += 1
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError):
                ledger.statuses["none"] += 1
                return
            status = head.split()[1]
            given = {name.lower(): value.strip() for name, _, value in map(_field, head.split("\r\n")[1:])}
            ledger.statuses[f"{status[0]}xx"] += 1
            self.etags[path] = given.get("etag", self.etags.get(path, ""))
            if not given.get("x-cache"):  # not of a service: counted by aiohttp's own framing
                await self._bare(reader, given, method, status)
                return
            whole = method != "HEAD" and status != "304"
            received, broken = await _body(reader, given, stop) if whole else (0, False)
            ledger.least += received
            length = int(given.get("content-length", 0))
            ledger.most += max(received, length) if stop is not None or broken else received
            ledger.broken += broken
            ledger.outcomes["unsure" if broken or stop is not None else given["x-cache"]] += 1
        finally:
            writer.transport.abort()

    async def _bare(self, reader: asyncio.StreamReader, given: dict[str, str], method: str, status: str) -> None:
        """Read an error's text, which is of no upstream."""
        ready = "waited=" not in given.get("location", "")  # else the client is to ask again
        self.ledger.outcomes["error" if status != "302" else "hit" if ready else "miss"] += 1
        if method != "HEAD" and status != "304":
            await _body(reader, given, None)

    async def tunnel(self, size: int) -> None:
        """Bytes there and back through a tunnel."""
        parts = urlsplit(self.running.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            writer.write(f"CONNECT localhost:{self.echo} HTTP/1.1\r\nHost: localhost:{self.echo}\r\n\r\n".encode())
            self.ledger.answers += 1
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            writer.write(bytes(size))
            await reader.readexactly(size)
            self.ledger.up += size
            self.ledger.down += size
            self.ledger.statuses["2xx"] += 1
            self.ledger.outcomes["miss"] += 1
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def check(self) -> None:
        """Hold each figure against what was counted outside."""
        running, ledger, origin = self.running, self.ledger, self.origin
        while running.metrics.answers < ledger.answers or running.metrics.flying:  # rendering takes long
            await asyncio.sleep(0.001)
        # From here on nothing is waited for: the program may look ahead, and the figures are of one moment.
        lines = running.metrics.render()[0].decode().splitlines()

        def figure(name: str, **labels: str) -> int:
            text = "\n".join(line for line in lines if line.startswith(f"pullthrough_{name}"))
            return int(scrape.value(text, f"pullthrough_{name}", **labels))

        def parted(name: str, label: str, *values: str) -> dict[str, int]:
            return {value: figure(name, **{label: value}) for value in values}

        sent = figure("sent_bytes_total")
        assert ledger.least <= sent <= ledger.most
        fetched = figure("fetched_bytes_total")
        assert fetched <= origin.sent_body_bytes()
        if self.exact:
            assert fetched == origin.sent_body_bytes()
        assert running.metrics.traffic().saved == sent - fetched
        assert ledger.answers == figure("requests_total")
        unsure = ledger.outcomes["unsure"]
        for outcome in ("hit", "miss", "shared", "stale", "revalidated"):
            found = figure("requests_total", outcome=outcome)
            assert ledger.outcomes[outcome] <= found <= ledger.outcomes[outcome] + unsure, outcome
        asked = parted("upstream_requests_total", "status", "2xx", "3xx", "4xx", "5xx", "none", "cancelled")
        unanswered = asked["none"] + asked["cancelled"]
        conditional = [one for one in origin.requests if _is_conditional(one.headers)]
        revalidations = figure("revalidations_total")
        if self.exact:
            assert (len(origin.requests), 0) == (sum(asked.values()), unanswered)
            assert len(conditional) == revalidations
        assert len(origin.requests) >= sum(asked.values()) - unanswered == figure("upstream_response_seconds_count")
        assert (ledger.up, ledger.down) == tuple(
            parted("tunnelled_bytes_total", "direction", "to_host", "to_client").values()
        )
        assert figure("discarded_bytes_total") <= fetched
        for kind in ("page", "metadata", "file"):
            foreseen = [figure("foreseen_total", kind=kind, outcome=one) for one in ("fetched", "used", "unused")]
            assert foreseen[0] >= foreseen[1] + foreseen[2], kind
        wrong = figure("upstream_errors_total", reason="wrong_bytes")
        assert figure("digest_mismatches_total") <= wrong
        assert (0, 0) == (figure("followers"), figure("downloads_in_flight"))
        assert figure("first_byte_seconds_count") <= ledger.answers


def _field(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _is_conditional(headers: dict[str, str]) -> bool:
    return not {"if-none-match", "if-modified-since"}.isdisjoint(headers)


async def _body(reader: asyncio.StreamReader, given: dict[str, str], stop: int | None) -> tuple[int, bool]:
    """How many bytes of a body came, without framing, and whether it broke off."""
    received = 0
    try:
        if given.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline() or b"?", 16):
                received += len(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
            return received, False
        length = int(given.get("content-length", 0))
        wanted = length if stop is None else min(stop, length)
        while received < wanted:
            piece = await reader.read(wanted - received)
            if not piece:
                return received, True
            received += len(piece)
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        return received, True
    return received, False


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def _play(seed: int, folder: Path) -> None:
    """One scenario. `folder`: of the program's data; it does not exist yet."""
    chance = random.Random(seed)
    exact = chance.random() < 0.5
    needs = ((), ("demo0",), ("demo0", "demo1"))
    packages = [
        wheel(f"demo{number}", padding=chance.choice(_SIZES), seed=number, requires=() if exact else needs[number])
        for number in range(3)
    ]
    echo = await asyncio.start_server(_talk, "127.0.0.1", 0)
    port = echo.sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(echo.close)
        origin = await stack.enter_async_context(Origin())
        origin.publish(*packages, fmt="both", metadata=not exact)
        archive = Archive(origin)
        archive.publish(_DEB)
        upstream = UpstreamSettings(mount="pypi", url=origin.url, ttl=chance.choice([0.0, 600.0]))
        settings = Settings(
            port=0,
            data=folder,
            upstreams=(upstream,),
            fetch={"retries": chance.choice([0, 1])} | SMALL,
            apt={"tunnels": [f"localhost:{port}"], "hosts": [f"{origin.host}:{origin.port}"]},
        )
        running = await app.start(settings)
        stack.push_async_callback(running.close)
        who = "" if exact else chance.choice(["", agent()])
        scenario = Scenario(chance, running, origin, port, packages, archive, exact, who)
        async with asyncio.TaskGroup() as clients:
            for _ in range(chance.randrange(1, 4)):
                clients.create_task(scenario.client())
        await scenario.check()


@pytest.mark.keeps_spool
@pytest.mark.timeout(1800)
async def test_any_mix__difference_of_zero(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Whatever is asked and whatever fails, the figures are those of the clients and of the origin."""
    for seed in range(pytestconfig.getoption("scenarios")):
        try:
            await _play(seed, tmp_path / str(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
