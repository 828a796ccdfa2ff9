"""The cache that runs: where this machine reaches it, and its figures. Asked over its open port, as clients ask it.

A cache in a container has the port that is published. Called by `build`, `doctor`, `setup` and `healthcheck`.
"""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from email.utils import parsedate_to_datetime

from proxy import address_text
from proxy.builds.engine_answers import EngineContainer
from proxy.builds.figures import Figures, read_figures

_WAIT = 5.0  # seconds for an answer
_PAUSE = 0.2  # seconds between two looks at a cache that starts
_LONGEST = 8 << 20  # bytes of metrics
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - where it is heard, and where to ask


@dataclass(frozen=True, slots=True)
class RunningCache:
    """A cache that answers. `clock`: its own when it answered; `heard_on`: the addresses of the settings or ports."""

    host: str
    port: int
    started: str
    version: str
    clock: datetime | None = None
    container: EngineContainer | None = None
    heard_on: tuple[str, ...] = field(default=())

    @property
    def url(self) -> str:
        """Its address for this machine, without a slash at the end."""
        return f"http://{address_text.bracketed(self.host)}:{self.port}"

    def figures(self) -> Figures | None:
        """Its metrics now; None if it does not answer."""
        answer = _ask(self.host, self.port)
        return answer[0] if answer else None


def find(hosts: Sequence[str], port: int, containers: Iterable[EngineContainer] = ()) -> RunningCache | None:
    """The first cache that answers: of the settings' `hosts` and `port`, then of the containers.

    Another program at one of these places is no cache: the metrics tell.
    """
    for host, number, container in _places(hosts, port, containers):
        if answer := _ask(host, number):
            figures, clock = answer
            heard = tuple(one.host for one in container.ports) if container else tuple(hosts)
            return RunningCache(host, number, figures.started, figures.version, clock, container, heard)
    return None


def _places(
    hosts: Sequence[str], port: int, containers: Iterable[EngineContainer]
) -> Iterator[tuple[str, int, EngineContainer | None]]:
    running = [container for container in containers if container.running]
    published = {
        (_ANYWHERE.get(one.host, one.host), one.port): container for container in running for one in container.ports
    }
    for host in dict.fromkeys(_ANYWHERE.get(host, host) for host in hosts):
        if port:
            yield host, port, published.pop((host, port), None)
    for (host, number), container in published.items():
        yield host, number, container
    for container in running:
        if not container.ports:  # on Linux this machine reaches containers by their own addresses
            for address in container.networks.values():
                yield address, 3142, container


def where_asked(host: str) -> str:
    """The address at which this machine asks a cache that listens on `host`: nobody can connect to 0.0.0.0."""
    return _ANYWHERE.get(host, host)


def answers_at(host: str, port: int) -> str | None:
    """`started` of the cache at an address; None if no cache answers there."""
    answer = _ask(host, port)
    return answer[0].started if answer else None


def stranger(host: str, port: int) -> str | None:
    """What another program calls itself that has an address; None if nobody has it, or a cache does."""
    connection = http.client.HTTPConnection(_ANYWHERE.get(host, host), port, timeout=_WAIT)
    try:
        connection.connect()
    except (OSError, ValueError):
        return None
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        name = connection.getresponse().headers.get("Server") or "it does not say its name"
    except (OSError, http.client.HTTPException):
        return "it speaks no HTTP"
    finally:
        connection.close()
    return None if name == "pullthrough" else "".join(mark for mark in name[:80] if mark.isprintable())


def wait_until_ready(
    hosts: Sequence[str], port: int, patience: float, ended: Callable[[], bool] = lambda: False
) -> RunningCache | None:
    """The cache at the first of these places, once it is ready; None if it is not within `patience` seconds.

    `ended`: whether it is known by now that it will not be.
    """
    until = time.monotonic() + patience
    while True:
        cache = find(hosts, port)
        if cache is not None and ready(cache):
            return cache
        if time.monotonic() > until or ended():
            return None
        time.sleep(_PAUSE)


def ready(cache: RunningCache) -> bool:
    """Whether the cache says that it can store what it fetches."""
    try:
        return get(cache.host, cache.port, "/readyz").status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one request. `whole`: whether nothing is missing of the body that was announced."""

    status: int
    headers: Message
    body: bytes
    whole: bool


def get(  # noqa: PLR0913 - each has its default
    host: str, port: int, path: str, *, accept: str = "*/*", wait: float = _WAIT, longest: int = _LONGEST
) -> Answer:
    """Ask a cache for a path, on a connection of its own. `wait`: seconds; `longest`: bytes of the body that are read.

    Raises OSError, HTTPException.
    """
    connection = http.client.HTTPConnection(host, port, timeout=wait)
    try:
        connection.request("GET", path, headers={"Accept": accept, "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(longest)
        return Answer(answer.status, answer.headers, body, whole=not answer.length)
    finally:
        connection.close()


def _ask(host: str, port: int) -> tuple[Figures, datetime | None] | None:
    try:
        answer = get(host, port, "/metrics")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    figures = read_figures(answer.body.decode("utf-8", "replace")) if answer.status == http.client.OK else None
    clock = None
    with suppress(TypeError, ValueError):
        clock = parsedate_to_datetime(answer.headers.get("Date", ""))
    return (figures, clock) if figures else None


def own_addresses() -> tuple[str, ...]:
    """The address from which this machine reaches others; empty without a network. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # RFC 5737: nobody is there
        except OSError:
            return ()
        address = str(asking.getsockname()[0])
    return () if address.startswith("127.") or address == "0.0.0.0" else (address,)  # noqa: S104 - compared only
