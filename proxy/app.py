"""The composition root: the only place that builds concrete things.

A request meets the parts in this order:

1. `web.listener` accepts the client's connection; `web.server` reads from it.
2. `web.replay` answers a head that was answered before, and the request ends here.
3. `web.edge` checks the request and reads it into a query. A CONNECT request goes to `web.tunnel`.
4. `python.service` or `apt.service` says what the address means.
5. `cache` finds the body, or fetches it once for all clients that ask: from `storage` or `upstream`, which it knows by
   their contracts in `ports`.
6. `web.responses` sends the body, a long one through `web.sender_threads`.
7. `web.edge` counts the answer: `metrics`, `web.access_log`.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TextIO, TypeVar

from aiohttp import http_parser, web

from proxy import operating_system
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.policy import Policy
from proxy.apt.service import AptArchives
from proxy.cache.bodies import Bodies
from proxy.cache.documents import Documents
from proxy.cache.downloads import Downloads
from proxy.cache.freshness import Patience
from proxy.cache.lanes import Lanes
from proxy.cache.revalidation import Revalidator
from proxy.config.archives import TUNNELS
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.control.explainer import Explainer, RunningFacts
from proxy.control.server import ControlServer
from proxy.errors import PullthroughError
from proxy.foresight import Bounds, Foresight
from proxy.metrics import Gauges, Metrics
from proxy.model import GROUP_INDEX
from proxy.observation import Observation
from proxy.ports import Clock, Credentials, Observer, Proxies
from proxy.python.forecasts import IndexForecasts
from proxy.python.service import PythonIndexes
from proxy.python.urls import path_on_cache
from proxy.storage.opening import PendingStore, open_store
from proxy.storage.store import DiskStore
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.offline import NoUpstream
from proxy.upstream.parent import Parent
from proxy.upstream.tunnel_connections import TunnelConnections, allowed_hosts
from proxy.web.api import Api
from proxy.web.edge import Edge
from proxy.web.listener import Listener
from proxy.web.log_writer import LogWriter
from proxy.web.own_pages import OwnPages
from proxy.web.questions import Questions
from proxy.web.replay import Replay
from proxy.web.responses import Responder
from proxy.web.sender_threads import SenderThreads
from proxy.web.server import Server
from proxy.web.tunnel import Tunnels
from proxy.web.wakeful_loop import current_turn

_DRAIN = 10.0  # seconds for the answers under way when the server stops


class SystemClock:
    """`ports.Clock` on the machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class _Closable(Protocol):
    async def close(self) -> None: ...


P = TypeVar("P", bound=_Closable)


@dataclass(frozen=True, slots=True)
class Running:
    """A started server."""

    urls: tuple[str, ...]  # http://host:port, without a slash at the end
    metrics: Metrics
    log: LogWriter
    observer: Observer
    opened: DiskStore | PendingStore
    _stack: AsyncExitStack

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    @property
    def store(self) -> DiskStore:
        """The store on disk. It is open, unless the data folder could not be used so far."""
        store = self.opened.store if isinstance(self.opened, PendingStore) else self.opened
        assert store is not None, "the data folder could be opened"
        return store

    async def close(self) -> None:
        """Accept no more, give answers under way a moment to end, break off the rest, write what is not written."""
        await self._stack.aclose()


async def start(  # noqa: PLR0913 the world around it, as far as it is another than usual
    settings: Settings,
    clock: Clock | None = None,
    credentials: Credentials | None = None,
    proxies: Proxies | None = None,
    log: TextIO | None = None,
    *,
    keep_all: bool = False,
) -> Running:
    """Build the parts from the inside out, and listen. `Running.close` closes them in the opposite order.

    `credentials`: for upstreams that require them; None: no request carries any. `proxies`: which requests go through
    one; None: as the settings say. `log`: where the log goes; None: standard error. `keep_all`: as of `open_store`.

    Raises PullthroughError (a library is missing, StoreRefused), OSError.
    """
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise PullthroughError(
            "aiohttp is installed without its C parser, which checks requests strictly. Reinstall aiohttp."
        )
    announced = _announcing() if settings.apt.announce else None
    operating_system.raise_open_files_limit()  # each client takes two
    fetch, idle_timeout, groups = settings.fetch, settings.serve.idle_timeout, settings.index_groups()
    sites = {site.mount: site for site in settings.sites(*([credentials.hosts] if credentials else []))}
    via = f"pullthrough-{secrets.token_hex(4)}"  # tells this process from other caches on the way to upstream
    clock, proxies = clock or SystemClock(), proxies or KnownProxies.find(settings, {})
    parent = Parent(settings.parent, via, path_on_cache) if settings.parent else None
    async with AsyncExitStack() as stack:

        def closing(part: P) -> P:
            """Have the part closed in the end."""
            stack.push_async_callback(part.close)
            return part

        # What is told of it.
        gauges = Gauges(int(settings.disk), store_errors=lambda: store.failures, followers=lambda: downloads.followers)
        told = Observation.begin(stack, settings, clock, (*sites, ARCHIVES), gauges, log)
        observer = told.observer

        # The disk and the network.
        store = closing(await open_store(settings.data, settings.disk, observer, clock, keep_all=keep_all))
        upstream = closing(
            NoUpstream()
            if settings.offline
            else AiohttpUpstream(
                connect_timeout=fetch.connect_timeout,
                read_timeout=fetch.read_timeout,
                retries=fetch.retries,
                observer=observer,
                clock=clock,
                credentials=credentials,
                proxies=proxies,
                parent=parent,
                via=via,
            )
        )
        tunnel_connections = closing(
            TunnelConnections(
                allowed_hosts(settings.apt.tunnels, TUNNELS),
                observer=observer,
                proxies=parent or proxies,
                via=via,
                connect_timeout=fetch.connect_timeout,
                offline=settings.offline,
            )
        )

        # What is cached, and how it is sent.
        bodies, patience = Bodies(clock, settings.page_limit), Patience(upstream, clock)
        documents = closing(Documents(store, upstream, clock, bodies, patience))
        lanes = Lanes(fetch.connections, fetch.segment, fetch.least_rate, downloads=fetch.downloads)
        downloads = closing(Downloads(store, upstream, clock, observer, lanes))
        revalidator = closing(Revalidator(store, upstream, clock, patience))
        senders = stack.enter_context(contextlib.closing(SenderThreads(settings.serve.threads, idle_timeout)))
        responder = Responder(store, downloads, senders, clock)
        replay = Replay(store, responder, observer, clock, current_turn())
        stack.callback(replay.forget)

        # What addresses mean.
        indexes = closing(
            PythonIndexes(sites, groups, store, documents, downloads, revalidator, clock, quarantined=replay.forget)
        )
        foresight = closing(Foresight(indexes, store, observer, clock, Bounds(**dict(settings.ahead))))
        archives = closing(
            AptArchives(
                Policy.of(settings),
                store,
                upstream,
                clock,
                observer,
                documents,
                downloads,
                revalidator,
                bodies,
                patience,
            )
        )

        names = settings.names | {host.lower() for host in settings.host}
        control = closing(
            ControlServer(
                clock,
                told.metrics.traffic,
                told.history.flush if told.history else None,
                settings.longest_life(),
                replay.forget,
                closing(
                    Explainer(
                        IndexForecasts(sites, groups, store, clock),
                        archives.forecasts(),
                        names,
                        RunningFacts(upstream, downloads.under_way, told.status.failures),
                        offline=settings.offline,
                    )
                ),
                partial(_imported, indexes, archives),
                indexes.imported_pages.learn,
                downloads.settled,
            )
        )
        own_pages = OwnPages(
            told.metrics.render,
            lambda: None if store.healthy else "the disk fails",
            Api(
                partial(told.status.now, told.metrics.traffic, downloads.under_way),
                control.listing,
                control.act,
                Questions(control.who, control.stats, control.explain),
            ),
            {mount: site.index for mount, site in sites.items()} | {group.mount: GROUP_INDEX for group in groups},
            names,
            settings.public_url,
        )
        tunnels = Tunnels(tunnel_connections.open, idle_timeout, observer)

        # The socket for verbs.
        await store.when_open(control.start)
        await told.keep(stack, store)

        # The server.
        edge = Edge(
            indexes,
            foresight,
            archives,
            responder,
            replay,
            own_pages,
            tunnels,
            observer,
            clock,
            via,
            names,
            parent,
            settings.public_url,
        )
        server = Server(edge.handle, replay, idle_timeout)
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=_DRAIN)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        listener = Listener(server, settings.serve.connections)
        listener.open(settings.host, settings.port)
        stack.callback(listener.close)
        addresses = listener.addresses
        if announced is not None:
            await stack.enter_async_context(announced([host for host, _ in addresses], addresses[0][1]))
        return Running(listener.urls, told.metrics, told.log, observer, store, stack.pop_all())
    raise AssertionError("unreachable")


def _imported(indexes: PythonIndexes, archives: AptArchives) -> None:
    """Have those look again who remember what is in the store."""
    indexes.imported()
    archives.imported()


def _announcing() -> Callable[[Sequence[str], int], AbstractAsyncContextManager[None]]:
    """The function that announces the cache on the local network. Raises PullthroughError without its library."""
    try:
        from proxy.announcement import announced  # noqa: PLC0415 - late: an extra, and slow to import
    except ModuleNotFoundError as error:
        raise PullthroughError(
            f"apt.announce: the Python package {error.name} is not installed. Turn the setting off, or install "
            f"pullthrough[announce], or run: {sys.executable} -m pip install zeroconf ifaddr"
        ) from None
    return announced
