"""The sender threads of one server: they share the transfers, and a thread that ended is replaced.

Called by `responses`. What a thread does is in `sender`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket

from proxy.web.sender import BodyBroken, ClientGone, Sender, Transfer

_log = logging.getLogger(__name__)

_RETRY = 10.0  # seconds until the next attempt to replace a thread


class SenderThreads:
    """The sender threads of one server."""

    def __init__(self, threads: int, stall: float) -> None:
        """`stall` as for `Sender`. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._stall = stall
        self._closed = False
        self._senders: list[Sender] = []
        try:
            for number in range(threads):
                self._senders.append(self._sender(number))
        except BaseException:
            self.close()
            raise

    def _sender(self, number: int) -> Sender:
        return Sender(self._loop, self._stall, number, self._replace)

    async def send(self, transport: asyncio.Transport, transfer: Transfer) -> None:
        """Send one transfer through a connection whose transport's buffer is empty.

        Returns when the last byte is in the socket's buffer. Raises ClientGone, or BodyBroken. `transfer.position` says
        how far it came. When the caller is cancelled, this returns after the thread has stopped using the file.
        """
        sender = min(self._senders, key=lambda item: item.load, default=None)
        if sender is None:
            raise BodyBroken("No sender thread is left.")
        transfer.sock = _duplicate(transport)
        transfer.done = self._loop.create_future()
        transfer.sender = sender
        sender.load += 1
        try:
            transfer.wake()
            await asyncio.shield(transfer.done)
        except asyncio.CancelledError:
            transfer.cancelled = True
            transfer.wake()
            while not transfer.done.done():
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await asyncio.shield(transfer.done)
            transfer.done.exception()
            raise
        finally:
            sender.load -= 1

    def _replace(self, dead: Sender) -> None:
        """Replace a thread that ended by itself."""
        if self._closed or dead not in self._senders:
            return
        self._senders.remove(dead)
        dead.stop()
        self._add(dead.number)

    def _add(self, number: int) -> None:
        if self._closed:
            return
        try:
            self._senders.append(self._sender(number))
        except (OSError, RuntimeError) as error:  # no descriptor, or no thread, is left
            _log.error("a sender thread cannot be replaced", extra={"reason": str(error), "left": len(self._senders)})
            self._loop.call_later(_RETRY, self._add, number)

    def close(self) -> None:
        """End the threads."""
        self._closed = True
        for sender in self._senders:
            sender.stop()


def _duplicate(transport: asyncio.Transport) -> socket.socket:
    """The connection's socket under a descriptor of its own. Raises ClientGone, BodyBroken."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing():
        raise ClientGone("The client closed the connection.")
    try:
        number = os.dup(sock.fileno())
    except OSError as error:
        raise BodyBroken("No file descriptor is left for sending.") from error
    try:
        return socket.socket(sock.family, sock.type, sock.proto, fileno=number)
    except BaseException:
        os.close(number)
        raise
