"""Cases (a) and (b): what a warm cache gives, in bytes for one large wheel and in requests for small answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.client import ClientError, download, memory
from bench.content import GIB, MIB
from bench.load import flood, wrk
from bench.origin import UNLIMITED
from bench.results import Row

if TYPE_CHECKING:
    from bench.bed import Bed
    from bench.content import Ware
    from bench.processes import Process
    from bench.servers import Server

CLIENTS = (1, 8, 32)
CONNECTIONS = (1, 16, 128)
RESOURCES = ("40 KB page", "2 MB page", "100 KiB wheel", "6 KB metadata")
_WARM_LIMIT = 120.0
_RETRY = 0.5
# A server may answer for so many seconds what clients asked that have left, before the next one is measured.
_REST_LIMIT = 60.0


def large(bed: Bed) -> None:
    """(a) Floods of one large wheel: GB/s, processor seconds for a GiB, peak memory in MiB."""
    with bed.origin(UNLIMITED) as origin, bed.servers("a", origin) as servers:
        urls = {}
        for name, server in servers.items():
            with bed.failing(Row("a", "warm", name)):
                urls[name] = warm(server, bed.content.giant)
        bed.settle(origin)
        for _ in range(bed.scale.repetitions):
            for clients in CLIENTS:
                for name, url in urls.items():
                    row = Row("a", variant(clients, "client"), name)
                    if not bed.again(row):
                        continue
                    with bed.failing(row):
                        _flood(bed, servers[name], url, clients, row)


def _flood(bed: Bed, server: Server, url: str, clients: int, row: Row) -> None:
    process = server.process
    process.forget_peak()
    seen = flood(url, clients=clients, seconds=bed.scale.flood, cpu=process.cpu)
    peak = process.peak()
    process.rest(_REST_LIMIT)
    if not seen.size:
        raise ClientError("sent nothing")
    speed, cost = seen.size / seen.seconds / 1e9, seen.cpu / (seen.size / GIB)
    bed.results.add(row, speed=speed, cpu=cost, peak=peak / MIB)


def small(bed: Bed) -> None:
    """(b) wrk on pages, a small wheel and its metadata: requests a second, 50th and 99th percentile in ms."""
    with bed.origin(UNLIMITED) as origin, bed.servers("b", origin) as servers:
        urls: dict[str, dict[str, str]] = {resource: {} for resource in RESOURCES}
        for name, server in servers.items():
            for resource in RESOURCES:
                with bed.failing(Row("b", resource, name)):
                    urls[resource][name] = _address(bed, server, resource)
        for _ in range(bed.scale.repetitions):
            for resource in RESOURCES:
                for connections in CONNECTIONS:
                    for name, url in urls[resource].items():
                        row = Row("b", f"{resource}, {variant(connections, 'connection')}", name)
                        if not bed.again(row):
                            continue
                        with bed.failing(row):
                            ask(bed, servers[name].process, url, connections, row)


def ask(bed: Bed, process: Process, url: str, connections: int, row: Row) -> None:
    """Measure a small answer of a running server. Raises ClientError."""
    seen = wrk(url, connections=connections, seconds=bed.scale.wrk)
    process.rest(_REST_LIMIT)
    if seen.errors or not seen.rate:
        raise ClientError(f"{seen.errors} answers failed" if seen.errors else "no answer in time")
    bed.results.add(row, rate=seen.rate, p50=seen.p50 * 1e3, p99=seen.p99 * 1e3)


def _address(bed: Bed, server: Server, resource: str) -> str:
    """The address of a resource that the cache has by now."""
    match resource:
        case "40 KB page":
            return server.warm_page("small")
        case "2 MB page":
            return server.warm_page("large")
        case "100 KiB wheel":
            return warm(server, bed.content.small)
        case _:
            return warm(server, bed.content.metadata)


def warm(server: Server, ware: Ware) -> str:
    """Fetch and check a file until the server gives it without a redirect: its address. Raises ClientError."""
    url = server.find(ware)
    limit = time.monotonic() + _WARM_LIMIT
    while True:
        seen = download(url, ware, body=memory(ware), timeout=_WARM_LIMIT, follow=False)
        if not seen.error:
            return url
        if time.monotonic() > limit:
            raise ClientError(seen.error)
        time.sleep(_RETRY)


def variant(number: int, noun: str) -> str:
    """`1 client`, `8 clients`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
