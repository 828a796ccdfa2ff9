"""Where clients connect: the listening sockets, and the bound on the number of connections.

At the bound, or without a free descriptor, the connections that have been idle longest are closed for new ones, as
nginx does. When none is idle, new ones wait in the kernel's queue. So clients that are idle, or that send their
requests a byte at a time, cannot keep others out. Called by the composition root.
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

from proxy import address_text
from proxy.web.server import Server

_log = logging.getLogger(__name__)

_BACKLOG = 256
_AT_ONCE = 64  # connections accepted before the event loop does something else
_IDLE = 0.1  # seconds without a request after which a connection may be closed: a request may be on its way
_SHARE = 16  # one in so many of the idle connections is closed at a time
_RETRY = 0.1  # seconds between looks for room
_MINUTE = 60.0  # seconds between two log lines of one kind
_TRIES = 10  # free ports that are tried for several addresses
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class CannotListen(OSError):
    """The server cannot listen at `host`, an address of the settings. `error` says why."""

    def __init__(self, host: str, error: OSError) -> None:
        super().__init__(error.errno, f"cannot listen at the address {host}: {error.strerror or error}")
        self.host = host
        self.error = error


@dataclass(frozen=True, slots=True)
class _Address:
    """One address of a host of the settings, in the form of `socket.bind`."""

    family: int
    address: tuple[Any, ...]


class Listener:
    """Accepts connections for a server. Mutable state: the sockets, and whether accepting is paused."""

    def __init__(self, server: Server, most: int) -> None:
        """`most`: connections at once."""
        self._server = server
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._accepted: set[int] = set()  # descriptors of connections that the server does not know yet
        self._paused: asyncio.TimerHandle | None = None  # until then nothing is accepted
        self._logged: dict[str, float] = {}  # when a message was last logged, in monotonic seconds
        server.watch(self._opened, self._closed)

    def open(self, hosts: Sequence[str], port: int) -> None:
        """Listen at each of `hosts`. Port 0 means any port that is free at all of them. Raises CannotListen."""
        for left in reversed(range(1 if port else _TRIES)):
            try:
                self._sockets = _listening_sockets(hosts, port)
            except CannotListen as refused:
                if refused.error.errno != errno.EADDRINUSE or not left:
                    raise
            else:
                break
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, in the order of the settings."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    @property
    def urls(self) -> tuple[str, ...]:
        """The same for clients: `http://host:port`, without a slash at the end."""
        return tuple(f"http://{address_text.bracketed(host)}:{port}" for host, port in self.addresses)

    def close(self) -> None:
        """Accept no more."""
        if self._paused is not None:
            self._paused.cancel()
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        for task in self._starting:
            task.cancel()

    def _accept(self, sock: socket.socket) -> None:
        """Accept connections from the kernel's queue."""
        for number in range(_AT_ONCE):
            if self._full:
                if not number:  # after the first, the queue may be empty
                    self._warn("there are as many connections as serve.connections allows", most=self._most)
                    self._make_room()
                return
            try:
                client, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # accept(2) also reports errors of the network on the way to the client.
                exhausted = error.errno in _EXHAUSTED
                message = "no descriptor is left: raise the limit (ulimit -n)" if exhausted else "a connection failed"
                self._warn(message, reason=error.strerror)
                self._make_room()
                return
            self._accepted.add(client.fileno())
            task = self._loop.create_task(self._start(client), name="connection")
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, client: socket.socket) -> None:
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
        """The server counts a connection from now on."""
        self._accepted.discard(transport.get_extra_info("socket").fileno())

    def _closed(self) -> None:
        """A connection ended, so there may be room."""
        if self._paused is not None and not self._full:
            self._resume()

    def _make_room(self) -> None:
        """Close some idle connections, and accept no others until there is room, or for a moment."""
        self._server.close_idle(_IDLE, _SHARE)
        if self._paused is None:
            for sock in self._sockets:
                self._loop.remove_reader(sock)
            self._paused = self._loop.call_later(_RETRY, self._resume)

    def _resume(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
            for sock in self._sockets:
                self._loop.add_reader(sock, self._accept, sock)

    def _warn(self, message: str, **fields: object) -> None:
        now = time.monotonic()
        if now - self._logged.get(message, float("-inf")) >= _MINUTE:
            self._logged[message] = now
            _log.warning("%s; idle ones are closed for new ones", message, extra=fields)


def _listening_sockets(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets that listen at each of the hosts, all at one port. Raises CannotListen."""
    opened: list[socket.socket] = []
    seen: set[_Address] = set()
    try:
        for host, covered in _uncovered(hosts):
            addresses = list(_addresses(host, port))
            # Several names may have the same address, which is listened at once.
            fresh = [address for address in addresses if address not in seen and address.family != covered]
            seen.update(fresh)
            for number, address in enumerate(fresh):
                try:
                    opened.append(_listening_socket(address, opened[0].getsockname()[1] if opened else port))
                except OSError as error:
                    # A name may have addresses of a family that this machine lacks.
                    others = len(opened) > 0 or number < len(fresh) - 1
                    if error.errno not in _NO_SUCH_FAMILY or len(addresses) == 1 or not others:
                        raise CannotListen(host, error) from error
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _uncovered(hosts: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """The hosts without those that another one covers: `::` is every address, `0.0.0.0` every one of IPv4.

    With each comes the family that is covered for it, if there is one.
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


def _addresses(host: str, port: int) -> Iterable[_Address]:
    """The addresses of a host. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(host, error) from error
    return dict.fromkeys(_Address(family, address) for family, _, _, _, address in found)


def _listening_socket(address: _Address, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    name, _, *more = address.address
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 the library's signature
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            # `::` includes IPv4, and no other address does, whatever the system's default is.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if name == "::" else 1)
        sock.bind((name, port, *more))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
