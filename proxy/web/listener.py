"""Where clients connect: the listening sockets, and how many connections there may be at once.

As nginx does it: when there are as many as there may be, or no descriptor is left, the connections that have been idle
longest are closed for new ones; when none is idle, new ones wait in the system's queue. So neither idle clients nor
such as send their requests a byte at a time can keep others out. Called by the composition root.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from proxy.web.server import Server

_log = logging.getLogger(__name__)

_BACKLOG = 256
_AT_ONCE = 64  # connections accepted before the event loop does something else
_IDLE = 0.1  # seconds that a connection has to be idle before it is closed for another one: a request may be on its way
_SHARE = 16  # which part of the idle ones is closed at once
_AGAIN = 0.1  # seconds until it is looked again whether there is room
_MINUTE = 60.0  # seconds between two lines of the log about it
_TRIES = 10  # free ports that are tried for several addresses
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class CannotListen(OSError):
    """An address of the settings cannot be listened at: `host`, and why."""

    def __init__(self, host: str, error: OSError) -> None:
        super().__init__(error.errno, f"the address {host} cannot be listened at: {error.strerror or error}")
        self.host = host
        self.error = error


@dataclass(frozen=True, slots=True)
class _Place:
    """One address of a host of the settings, as the system has it."""

    family: int
    address: tuple[Any, ...]


class Listener:
    """Accepts connections for a server. Mutable state: the sockets, and whether they rest."""

    def __init__(self, server: Server, most: int) -> None:
        """`most`: connections at once."""
        self._server = server
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._beginning: set[asyncio.Task[None]] = set()
        self._accepted: set[int] = set()  # descriptors of connections that the server does not know yet
        self._resting: asyncio.TimerHandle | None = None
        self._said: dict[str, float] = {}  # what the log said, and when: monotonic seconds
        server.watch(self._opened, self._closed)

    def open(self, hosts: Sequence[str], port: int) -> None:
        """Listen at each of `hosts`; with port 0 at one that is free at all of them. Raises CannotListen."""
        for left in reversed(range(1 if port else _TRIES)):
            try:
                self._sockets = _listeners(hosts, port)
            except CannotListen as refused:
                if refused.error.errno != errno.EADDRINUSE or not left:
                    raise
            else:
                break
        for listener in self._sockets:
            self._loop.add_reader(listener, self._accept, listener)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, in the order of the settings."""
        return [listener.getsockname()[:2] for listener in self._sockets]

    def close(self) -> None:
        """Accept no more."""
        if self._resting is not None:
            self._resting.cancel()
        for listener in self._sockets:
            self._loop.remove_reader(listener)
            listener.close()
        self._sockets.clear()
        for task in self._beginning:
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        """There are connections in the system's queue."""
        for number in range(_AT_ONCE):
            if self._full:
                if not number:  # else nobody knows whether there is one more
                    self._say("there are as many connections as serve.connections allows", most=self._most)
                    self._make_room()
                return
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # accept(2): what happened on the way to a client may be told here, too.
                scarce = error.errno in _SCARCE
                what = "no descriptor is left: raise the limit (ulimit -n)" if scarce else "a connection failed"
                self._say(what, reason=error.strerror)
                self._make_room()
                return
            self._accepted.add(client.fileno())
            task = self._loop.create_task(self._begin(client), name="connection")
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, client: socket.socket) -> None:
        descriptor = client.fileno()
        try:
            await self._loop.connect_accepted_socket(self._server, client)
        except BaseException:
            client.close()
            raise
        finally:
            self._accepted.discard(descriptor)

    @property
    def _full(self) -> bool:
        return self._server.open_connections + len(self._accepted) >= self._most

    def _opened(self, transport: asyncio.Transport) -> None:
        """The server knows a connection."""
        self._accepted.discard(transport.get_extra_info("socket").fileno())

    def _closed(self) -> None:
        """A connection ended: there may be room."""
        if self._resting is not None and not self._full:
            self._go_on()

    def _make_room(self) -> None:
        """Close some that are idle, and rest until there is room, or until it is time to look again."""
        self._server.close_idle(_IDLE, _SHARE)
        if self._resting is None:
            for listener in self._sockets:
                self._loop.remove_reader(listener)
            self._resting = self._loop.call_later(_AGAIN, self._go_on)

    def _go_on(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            for listener in self._sockets:
                self._loop.add_reader(listener, self._accept, listener)

    def _say(self, what: str, **fields: object) -> None:
        now = time.monotonic()
        if now - self._said.get(what, float("-inf")) >= _MINUTE:
            self._said[what] = now
            _log.warning("%s; idle ones are closed for new ones", what, extra=fields)


def _listeners(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets that listen at each of the hosts, all at one port. Raises CannotListen."""
    opened: list[socket.socket] = []
    seen: set[_Place] = set()
    try:
        for host, covered in _uncovered(hosts):
            places = list(_places(host, port))
            # Several names may have the same address: it is listened at once.
            fresh = [place for place in places if place not in seen and place.family != covered]
            seen.update(fresh)
            for number, place in enumerate(fresh):
                try:
                    opened.append(_listener(place, opened[0].getsockname()[1] if opened else port))
                except OSError as error:
                    # A name may have addresses of a kind that this machine has not.
                    spare = len(opened) > 0 or number < len(fresh) - 1
                    if error.errno not in _NOT_HERE or len(places) == 1 or not spare:
                        raise CannotListen(host, error) from error
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    return opened


def _uncovered(hosts: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """The hosts without those that another one covers: `::` is every address, `0.0.0.0` every one of IPv4.

    With each, the family of which its addresses are covered, if there is one.
    """
    literals = {host: literal for host in hosts if (literal := _literal(host)) is not None}
    everywhere = {type(literal): host for host, literal in literals.items() if not int(literal)}
    if IPv6Address in everywhere:
        yield everywhere[IPv6Address], None
        return
    all_of_4 = everywhere.get(IPv4Address)
    for host in hosts:
        if all_of_4 is None or host == all_of_4:
            yield host, None
        elif not isinstance(literals.get(host), IPv4Address):
            yield host, socket.AF_INET


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _places(host: str, port: int) -> Iterable[_Place]:
    """The addresses of a host. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(host, error) from error
    return dict.fromkeys(_Place(family, address) for family, _, _, _, address in found)


def _listener(place: _Place, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    name, _, *more = place.address
    listener = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)  # noqa: FBT003 the library's signature
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.family == socket.AF_INET6:
            # Whatever the system's own default is: every address means those of IPv4 too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if name == "::" else 1)
        listener.bind((name, port, *more))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
