"""The announcement on the local network, heard by a browser on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from proxy import app
from proxy.announcement import SERVICE, announced, service
from proxy.config.settings import Settings
from tests.gates import Watch

LOOPBACK = "127.0.0.1"


class Browser:
    """Who is there, by port: as far as this program announced it."""

    def __init__(self, speaker: AsyncZeroconf) -> None:
        self._speaker = speaker
        self._watch = Watch()
        self._tasks: set[asyncio.Task[None]] = set()
        self.there: dict[str, AsyncServiceInfo] = {}

    def changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """Somebody came or went."""
        if state_change is ServiceStateChange.Removed:
            self.there.pop(name, None)
            self._watch.changed()
            return
        task = asyncio.create_task(self._look(AsyncServiceInfo(service_type, name)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        assert zeroconf is self._speaker.zeroconf

    async def until(self, port: int, *, there: bool = True) -> AsyncServiceInfo | None:
        """Wait until the service at `port` is there, or is not."""
        await self._watch.until(lambda: (self._at(port) is not None) == there)
        return self._at(port)

    def _at(self, port: int) -> AsyncServiceInfo | None:
        return next((info for info in self.there.values() if info.port == port), None)

    async def _look(self, info: AsyncServiceInfo) -> None:
        if await info.async_request(self._speaker.zeroconf, 5000):
            self.there[info.name] = info
            self._watch.changed()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A browser on loopback."""
    async with AsyncZeroconf(interfaces=[LOOPBACK]) as speaker:
        made = Browser(speaker)
        browsing = AsyncServiceBrowser(speaker.zeroconf, SERVICE, handlers=[made.changed])
        yield made
        await browsing.async_cancel()


async def test_announced__comes_and_goes(browser: Browser) -> None:
    """A browser finds address and port, and learns when the cache ends."""
    async with announced([LOOPBACK], 31420):
        info = await browser.until(31420)
        assert info is not None
        assert [LOOPBACK] == info.parsed_addresses()
    await browser.until(31420, there=False)


async def test_announced__two_on_one_host(browser: Browser) -> None:
    """A second cache takes another name."""
    async with announced([LOOPBACK], 31421):
        await browser.until(31421)
        async with announced([LOOPBACK], 31422):
            await browser.until(31422)
            await browser.until(31421)


async def test_announced__ends_at_once() -> None:
    """A cache that starts, or stops, does not wait for its announcement."""
    async with announced([LOOPBACK], 31423):
        (registering,) = (task for task in asyncio.all_tasks() if task.get_name() == "announcement")
        assert not registering.done()
    assert registering.cancelled()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the library leaves a socket to the garbage collector
async def test_announced__nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """A network that takes no announcement is logged, and the cache serves."""
    with caplog.at_level(logging.WARNING):
        async with announced(["203.0.113.7"], 31424):  # an address that is none of this machine's
            pass
    gc.collect()
    assert "cannot be announced" in caplog.text


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [([LOOPBACK, "10.0.0.7"], ["10.0.0.7"]), ([LOOPBACK], [LOOPBACK]), (["10.0.0.7"], ["10.0.0.7"])],
)
def test_service__addresses(addresses: list[str], expected: list[str]) -> None:
    """Loopback is of no use to others; it is announced if there is nothing else."""
    assert expected == service(addresses, 1).parsed_addresses()


@pytest.mark.parametrize("host", ["builder", "builder.site.example", "x" * 64, ""])
def test_service__name(host: str) -> None:
    """The name is one label, however long the host's is, and ends in the type."""
    made = service(["10.0.0.7"], 1, host)
    label = made.name.removesuffix(f".{SERVICE}")
    assert label.startswith("pullthrough on ")
    assert "." not in label
    assert len(label) < 64


@pytest.mark.parametrize("announce", [True, False])
async def test_setting(tmp_path: Path, browser: Browser, announce: bool) -> None:
    """The program announces itself if a setting says so, and only then."""
    settings = Settings(port=0, data=tmp_path / "data", apt={"announce": announce})
    running = await app.start(settings)
    port = int(running.url.rpartition(":")[2])
    if announce:
        await browser.until(port)
    else:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):  # that something does not come shows only in time
                await browser.until(port)
        assert not [info for info in browser.there.values() if info.port == port]
    await running.close()
