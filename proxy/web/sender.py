"""Sender threads: bodies leave through them, so that the event loop is free for the next request.

Each thread drives many transfers: it waits for all their sockets at once (`operating_system.Readiness`), and sendfile
releases the GIL. So a slow client occupies no thread, and every core copies. A transfer whose body still grows (a
running download) sleeps until it is woken. A transfer owns a duplicate of the connection's socket: if the event loop
closes its own, the descriptor's number cannot pass to another connection. An error ends the one transfer that met it.
A thread that ends all the same is replaced by `sender_threads`. Never decides what is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxy import operating_system

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20  # bytes per system call
_TURN = 4 << 20  # bytes that one transfer may send before the next has its turn
_TICK = 1.0  # seconds between checks for stalled clients
_STOP_TIMEOUT = 5.0  # seconds that `stop` waits for a thread that is blocked by the disk
# Errors of a socket whose client is gone. Any other error is the body's, or this program's.
_GONE = frozenset(
    {
        errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT,
        errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET,
    }
)  # fmt: skip


class Growing(Protocol):
    """A body that is still being written. A sender thread may call both."""

    def readable(self, position: int) -> int: ...
    @property
    def over(self) -> bool: ...


class ClientGone(ConnectionError):
    """The client closed the connection, or stalled."""


class BodyBroken(ConnectionError):
    """The body ended before its promised length; the connection has to be broken."""


@dataclass(eq=False, slots=True)
class Transfer:
    """Bytes `[position, end)` of a file (`descriptor`) or of `memory`, on their way to one client."""

    head: bytes
    position: int
    end: int
    descriptor: int = -1
    memory: bytes | None = None
    growing: Growing | None = None
    cancelled: bool = False
    # Set when the transfer is handed to a sender thread; that thread's from then on.
    sock: socket.socket | None = None
    progressed: float = 0.0  # when the client last took anything, in monotonic seconds
    held_back: int | None = None  # bytes that the system held for the client then
    starved: bool = False
    queued: bool = False
    done: asyncio.Future[None] | None = None
    sender: Sender | None = field(default=None, repr=False)

    def grew(self) -> None:
        """There may be more of a growing body: `wake`, if the transfer waits for that. To wake a thread has a price."""
        if self.starved:
            self.wake()

    def wake(self) -> None:
        """Have the sender thread look at this transfer: there may be more to send. Called on the event loop."""
        if self.sender is not None and not self.queued:
            self.queued = True
            self.sender.enqueue(self)


class Sender(threading.Thread):
    """One thread. The event loop calls `enqueue` and `stop`; all else runs in the thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stall: float, number: int, died: Callable[[Sender], None]
    ) -> None:
        """`stall`: seconds after which a client that takes nothing is dropped.

        `died` is called on the event loop when the thread ends without being stopped. Raises OSError.
        """
        super().__init__(name=f"sender-{number}", daemon=True)
        self.number = number
        self.load = 0  # transfers under way; counted on the event loop
        self._loop = loop
        self._stall = stall
        self._died = died
        self._inbox: deque[Transfer] = deque()
        self._transfers: dict[int, Transfer] = {}
        self._stopping = False
        self._released = False
        self._readiness = operating_system.readiness()
        try:
            self.start()
        except BaseException:
            self._release()
            raise

    def enqueue(self, transfer: Transfer) -> None:
        """Queue a transfer that is new, has more to send, or was cancelled."""
        self._inbox.append(transfer)
        self._readiness.wake()
        if self._released:  # the thread died and was replaced: nothing else empties the queue
            self._end_all(ClientGone("The thread that sent this ended."))

    def stop(self) -> None:
        """End the thread; transfers under way are broken off."""
        self._stopping = True
        self._readiness.wake()
        self.join(_STOP_TIMEOUT)
        if not self.is_alive():
            self._end_all(ClientGone("The cache is shutting down."))
            self._release()

    def run(self) -> None:
        """Send until stopped."""
        try:
            self._serve()
        except Exception:  # noqa: BLE001 a defect ends this thread's transfers, and not the program
            _log.exception("a sender thread failed; another one takes its place")
        finally:
            if not self._stopping:
                # Before its transfers end: who learns of an end finds another thread in this one's place.
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._died, self)
            self._end_all(ClientGone("The cache is shutting down."))

    def _serve(self) -> None:
        ready: deque[Transfer] = deque()
        checked = time.monotonic()
        while not self._stopping:
            self._collect(ready, 0 if ready else _TICK)
            for _ in range(len(ready)):
                transfer = ready.popleft()
                if transfer.sock is not None and self._push(transfer):
                    ready.append(transfer)
                del transfer  # a thread that waits holds nothing of what it sent, which may be long
            now = time.monotonic()
            if now - checked > _TICK:
                checked = now
                self._drop_stalled(now)

    def _end_all(self, error: ConnectionError) -> None:
        """Break all transfers off. Called when the thread does nothing else any more."""
        while self._inbox:
            self._end(self._inbox.popleft(), error)
        for transfer in list(self._transfers.values()):
            self._end(transfer, error)

    def _release(self) -> None:
        """Close the thread's descriptors."""
        self._released = True
        self._readiness.close()

    def _collect(self, ready: deque[Transfer], timeout: float) -> None:
        """Wait for writable sockets, and for transfers that the event loop queued."""
        for number, gone in self._readiness.wait(timeout):
            if (transfer := self._transfers.get(number)) is None:
                continue
            if gone:
                self._end(transfer, ClientGone("The client closed the connection."))
            else:
                ready.append(transfer)
        while self._inbox:
            transfer = self._inbox.popleft()
            transfer.queued = False
            self._admit(transfer)
            ready.append(transfer)

    def _admit(self, transfer: Transfer) -> None:
        sock = transfer.sock
        if sock is None or sock.fileno() in self._transfers:
            return
        self._transfers[sock.fileno()] = transfer
        transfer.progressed = time.monotonic()
        try:
            self._readiness.add(sock.fileno())
        except OSError as error:  # the kernel has no room for one more
            self._fail(transfer, error)

    def _push(self, transfer: Transfer) -> bool:
        """Send what can be sent now. True if its turn ended while there was more to send."""
        if transfer.cancelled:
            self._end(transfer, None)
            return False
        try:
            return self._send(transfer)
        except Exception as error:  # noqa: BLE001 it ends this transfer, and no other
            self._fail(transfer, error)
            return False

    def _fail(self, transfer: Transfer, error: Exception) -> None:
        """End a transfer after an error. Only those that are not the client's are logged."""
        if isinstance(error, OSError) and error.errno in _GONE:
            self._end(transfer, ClientGone(str(error)))
            return
        if isinstance(error, OSError):
            _log.error("a body could not be sent to its end", extra={"reason": str(error)})
        else:
            _log.error("a body could not be sent to its end", exc_info=error)
        self._end(transfer, BodyBroken("The body could not be sent to its end."))

    def _send(self, transfer: Transfer) -> bool:
        sock = transfer.sock
        assert sock is not None, "admitted"
        while transfer.head:
            more = operating_system.MORE_FOLLOWS if transfer.end > transfer.position else 0
            try:
                transfer.head = transfer.head[sock.send(transfer.head, more) :]
            except BlockingIOError:
                self._readiness.full(sock.fileno())
                return False
        stop_at = transfer.position + _TURN
        while transfer.position < transfer.end:
            limit = self._limit(transfer)
            if limit <= transfer.position:
                return False
            if transfer.position >= stop_at:
                return True
            transfer.starved = False
            size = min(limit - transfer.position, _CHUNK)
            try:
                if transfer.memory is not None:
                    sent = sock.send(memoryview(transfer.memory)[transfer.position : transfer.position + size])
                else:
                    sent = operating_system.send_file(sock.fileno(), transfer.descriptor, transfer.position, size)
            except BlockingIOError:
                self._readiness.full(sock.fileno())
                return False
            if sent == 0:
                self._end(transfer, BodyBroken("The stored file is shorter than expected."))
                return False
            transfer.position += sent
            transfer.progressed = time.monotonic()
        self._end(transfer, None)
        return False

    def _limit(self, transfer: Transfer) -> int:
        """The end of what can be sent now. A transfer for which nothing more will come is ended."""
        growing, limit, over = transfer.growing, transfer.end, True
        if growing is None:
            return limit
        for _ in range(2):
            over = growing.over  # read first: nothing is added after that
            limit = min(transfer.end, growing.readable(transfer.position))
            if limit > transfer.position:
                return limit
            transfer.starved = True  # what came before `grew` could see that is seen by the second look
        if over:
            self._end(transfer, BodyBroken("The body ended before its promised length."))
        return limit

    def _drop_stalled(self, now: float) -> None:
        for transfer in list(self._transfers.values()):
            assert transfer.sock is not None, "under way"
            # The socket's buffer may be so long that a slow client needs minutes until it takes bytes again.
            before, transfer.held_back = transfer.held_back, operating_system.held_back(transfer.sock)
            if transfer.starved or operating_system.fewer(before, transfer.held_back):
                transfer.progressed = now
            elif now - transfer.progressed > self._stall:
                self._end(transfer, ClientGone("The client took nothing for too long."))

    def _end(self, transfer: Transfer, error: ConnectionError | None) -> None:
        sock, transfer.sock = transfer.sock, None
        if sock is None:
            return
        self._transfers.pop(sock.fileno(), None)
        self._readiness.remove(sock.fileno())
        with contextlib.suppress(OSError):
            sock.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for the result
            self._loop.call_soon_threadsafe(_settle, transfer, error)


def _settle(transfer: Transfer, error: ConnectionError | None) -> None:
    assert transfer.done is not None, "set before the thread saw it"
    if transfer.done.done():
        return
    if error is None:
        transfer.done.set_result(None)
    else:
        transfer.done.set_exception(error)
