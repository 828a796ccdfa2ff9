"""The composition root: the only place that builds concrete things.

A request meets the parts in this order: `web.server` (connection) → `web.replay` (seen before) → `web.edge` (checks,
counting) → `python.service` or `apt.service` (what the address means) → `cache` (kept, or fetched once) →
`storage` and `upstream` through the ports → `web.responses`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial

from aiohttp import http_parser, web

from proxy import address_text
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.policy import Archive, Policy
from proxy.apt.service import AptArchives
from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.freshness import Patience
from proxy.cache.lanes import Lanes
from proxy.cache.revalidation import Revalidator
from proxy.config.archives import TUNNELS
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import FetchSettings, Settings
from proxy.errors import PullthroughError
from proxy.events import Event
from proxy.metrics import Metrics
from proxy.ports import Clock, Credentials, Observer, Proxies
from proxy.python.service import GROUP_INDEX, PythonIndexes
from proxy.storage.opening import PendingStore, open_store
from proxy.storage.store import DiskStore
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.lines import Lines, places
from proxy.web.access_log import AccessLog
from proxy.web.edge import Edge
from proxy.web.listener import Listener
from proxy.web.log_writer import LogWriter
from proxy.web.own_pages import OwnPages
from proxy.web.program_log import ProgramLog, installed, lost_lines, thread_failed
from proxy.web.replay import Replay
from proxy.web.responses import Responder
from proxy.web.sender_threads import SenderThreads
from proxy.web.server import Server
from proxy.web.tunnel import Tunnels

_DRAIN = 10.0  # seconds that answers under way get at the end


class SystemClock:
    """`ports.Clock` on the machine's clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Running:
    """A started server."""

    urls: tuple[str, ...]  # http://host:port, without a slash at the end
    metrics: Metrics
    log: LogWriter
    kept: DiskStore | PendingStore
    _stack: AsyncExitStack

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    @property
    def store(self) -> DiskStore:
        """The store on disk, which is open unless the start found a disk that could not be used."""
        opened = self.kept.store if isinstance(self.kept, PendingStore) else self.kept
        assert opened is not None, "the data folder could be opened"
        return opened

    async def close(self) -> None:
        """Stop accepting, let answers under way end, break off the rest, write what must be kept."""
        await self._stack.aclose()


async def start(
    settings: Settings,
    clock: Clock | None = None,
    credentials: Credentials | None = None,
    proxies: Proxies | None = None,
) -> Running:
    """Open the store, build the parts, listen. Raises PullthroughError (a library is missing, StoreRefused), OSError.

    `credentials`: for upstreams that require them; None: no request carries any. `proxies`: which requests go
    through one; None: as the settings say.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise PullthroughError(
            "aiohttp is installed without its C parser, which checks requests strictly. Reinstall aiohttp."
        )
    announced = _announcing() if settings.apt.announce else None
    _raise_descriptor_limit()
    async with AsyncExitStack() as stack:
        sites = {site.mount: site for site in settings.sites(*([credentials.hosts] if credentials else []))}
        structured = settings.serve.log_format == "json"
        log = stack.enter_context(_logging(structured=structured))
        metrics = Metrics((*sites, ARCHIVES), lambda: log.dropped, lambda: store.failures)
        observer = _both(metrics, AccessLog(log, structured=structured))
        clock = clock or SystemClock()
        proxies = proxies or KnownProxies.find(settings, {})
        via = f"pullthrough-{secrets.token_hex(4)}"  # two caches are not the same
        store = await open_store(settings.data, settings.disk, observer, clock)
        stack.push_async_callback(store.close)
        fetch = settings.fetch
        upstream = AiohttpUpstream(
            connect_timeout=fetch.connect_timeout,
            read_timeout=fetch.read_timeout,
            retries=fetch.retries,
            observer=observer,
            clock=clock,
            credentials=credentials,
            proxies=proxies,
            via=via,
        )
        stack.push_async_callback(upstream.close)
        bodies, patience = Bodies(clock, settings.page_limit), Patience(upstream, clock)
        documents = Documents(store, upstream, clock, bodies, patience)
        stack.push_async_callback(documents.close)
        downloads = Downloads(store, upstream, clock, observer, _lanes(fetch))
        stack.push_async_callback(downloads.close)
        revalidator = Revalidator(store, upstream, clock, patience)
        stack.push_async_callback(revalidator.close)
        indexes = PythonIndexes(
            sites,
            settings.index_groups(),
            store,
            documents,
            downloads,
            revalidator,
            clock,
            quarantined=lambda: replay.forget(),  # noqa: PLW0108 - it is built below
        )
        stack.push_async_callback(indexes.close)
        archives = AptArchives(
            _policy(settings), store, upstream, clock, observer, documents, downloads, revalidator, bodies, patience
        )
        stack.push_async_callback(archives.close)
        senders = SenderThreads(settings.serve.threads, settings.serve.idle_timeout)
        stack.callback(senders.close)
        own_pages = OwnPages(
            metrics.render,
            lambda: None if store.healthy else "the disk fails",
            {mount: site.index for mount, site in sites.items()}
            | {group.mount: GROUP_INDEX for group in settings.index_groups()},
        )
        responder = Responder(store, downloads, senders)
        replay = Replay(store, responder, observer, clock)
        lines = Lines(
            places(settings.apt.tunnels, TUNNELS),
            observer=observer,
            proxies=proxies,
            via=via,
            connect_timeout=settings.fetch.connect_timeout,
        )
        stack.push_async_callback(lines.close)
        tunnels = Tunnels(lines.open, settings.serve.idle_timeout, observer)
        edge = Edge(
            indexes,
            archives,
            responder,
            replay,
            own_pages,
            tunnels,
            observer,
            via,
            settings.names | {host.lower() for host in settings.host},
        )
        server = Server(edge.handle, replay, settings.serve.idle_timeout)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_DRAIN)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = Listener(server, settings.serve.connections)
        listener.open(settings.host, settings.port)
        stack.callback(listener.close)
        addresses = listener.addresses
        if announced is not None:
            await stack.enter_async_context(announced([host for host, _ in addresses], addresses[0][1]))
        return Running(tuple(map(_url, addresses)), metrics, log, store, stack.pop_all())
    raise AssertionError("unreachable")


async def run(
    settings: Settings, greeting: Callable[[Sequence[str]], str], credentials: Credentials, proxies: Proxies
) -> None:
    """Serve until SIGINT or SIGTERM. `greeting` makes what is said once the port is open out of the addresses."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False
    threading.excepthook = thread_failed
    running = await start(settings, credentials=credentials, proxies=proxies)
    # What is there by now stays. A full collection that looked through it all would stop everybody for 30 ms.
    gc.collect()
    gc.freeze()
    try:
        running.log.say(greeting(running.urls))
        await stop.wait()
    finally:
        gc.unfreeze()
        await running.close()


@contextlib.contextmanager
def _logging(*, structured: bool) -> Iterator[LogWriter]:
    """Standard error, and what the program itself has to say on it."""
    writer = LogWriter(sys.stderr, partial(lost_lines, structured=structured))
    try:
        with installed(ProgramLog(writer, structured=structured)):
            yield writer
    finally:
        writer.close()


def _announcing() -> Callable[[Sequence[str], int], AbstractAsyncContextManager[None]]:
    """What announces the cache on the local network. Raises PullthroughError where its library is not installed."""
    try:
        from proxy.announcement import announced  # noqa: PLC0415 - late: an extra, and it takes long to load
    except ModuleNotFoundError as error:
        raise PullthroughError(
            f"apt.announce: the Python package {error.name} is not installed. Turn the setting off, or install "
            f"pullthrough[announce], or run: {sys.executable} -m pip install zeroconf ifaddr"
        ) from None
    return announced


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://{address_text.bracketed(host)}:{port}"


def _lanes(fetch: FetchSettings) -> Lanes:
    return Lanes(fetch.connections, fetch.segment, fetch.least_rate, downloads=fetch.downloads)


def _policy(settings: Settings) -> Policy:
    apt = settings.apt
    return Policy(
        apt.hosts,
        tuple(sorted(apt.paths)),
        apt.window,
        apt.serve_expired,
        retries=settings.fetch.retries,
        agent=apt.user_agent,
        archives=tuple(
            Archive(
                one.prefix,
                bool(one.credentials),
                one.client_credentials,
                tuple(sorted(one.paths)),
                one.window,
                one.user_agent,
            )
            for one in settings.archives
        ),
    )


def _both(first: Observer, second: Observer) -> Observer:
    def observer(event: Event) -> None:
        first(event)
        second(event)

    return observer


def _raise_descriptor_limit() -> None:
    """Each client costs two descriptors; the usual soft limit of 1024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
