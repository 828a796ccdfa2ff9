"""The verbs' side of the socket: the store of a cache that runs on this machine. All calls block."""

from __future__ import annotations

import contextlib
import http.client
import os
import selectors
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import msgspec

from proxy.bundles.importing import Imported, ImportWish
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.export_wish import ExportWish
from proxy.control.protocol import (
    DEFAULT_LARGEST,
    CleanEnd,
    CleanPlan,
    ControlError,
    Message,
    PulledFiles,
    PullWish,
    Refusal,
    Stats,
    VerifyEnd,
    Wish,
)
from proxy.control.socket_file import connected

T = TypeVar("T")
Asked: TypeAlias = Wish | PullWish | ExplainWish | ExportWish

_FAILURES = (http.client.HTTPException, msgspec.DecodeError, OSError)
_WAIT = 120.0  # seconds for an answer: a large cache is counted
_PIECE = 1 << 20  # bytes of a tar that are read at once
_LONG = 3600.0  # seconds, while a tar is taken in: what is not in it may have to be hashed
_ENDED = "The cache ended, or broke the connection off. Its log says why."
_SILENT = "The cache takes very long, and may be at work still: its log says what it is about. Try again later."


class RunningStore:
    """`protocol.StoreControl` of a running cache. A connection for each call: none is left open between two."""

    def __init__(self, folder: Path, first: socket.socket) -> None:
        """`first`: a connection to it."""
        self._folder = folder
        self._first: socket.socket | None = first

    @classmethod
    def find(cls, folder: Path) -> Self | None:
        """The cache that runs on this data folder; None if none listens there.

        Raises OSError, such as PermissionError where the folder is another user's.
        """
        sock = connected(folder, _WAIT)
        return None if sock is None else cls(folder, sock)

    def close(self) -> None:
        """Close the connection that was not used."""
        first, self._first = self._first, None
        if first is not None:
            first.close()

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats:
        return self._value("GET", f"/stats?largest={largest}", None, Stats)

    def who(self, wish: PullWish) -> PulledFiles:
        return self._value("POST", "/who", wish, PulledFiles)

    def explain(self, wish: ExplainWish) -> Explanation:
        return self._value("POST", "/explain", wish, Explanation)

    def plan(self, wish: Wish) -> CleanPlan:
        return self._value("POST", "/plan", wish, CleanPlan)

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._lines("/clean", wish)

    def verify(self) -> Iterator[Message]:
        return self._lines("/verify", None)

    def export(self, wish: ExportWish, to: int, advanced: Callable[[int, int], None]) -> None:
        connection, answer = self._asked("POST", "/export", wish)
        try:
            done, of = 0, answer.length or 0
            buffer = memoryview(bytearray(_PIECE))
            while length := _next(answer, buffer):
                written = 0
                while written < length:
                    written += os.write(to, buffer[written:length])
                done += length
                advanced(done, of)
            if not of or done != of:
                raise ControlError(_ENDED)
        finally:
            connection.close()

    def take_in(self, pieces: Iterable[bytes], wish: ImportWish) -> Imported:
        options = [name for name, meant in (("replace-newer", wish.replace_newer), ("loose", wish.loose)) if meant]
        connection, answer = self._sent(f"/import?{'&'.join(options)}", pieces)
        return _read(connection, answer, Imported)

    def _value(self, method: str, target: str, body: Asked | None, kind: type[T]) -> T:
        connection, answer = self._asked(method, target, body)
        return _read(connection, answer, kind)

    def _lines(self, target: str, body: Wish | None) -> Iterator[Message]:
        connection, answer = self._asked("POST", target, body)
        try:
            last: Message | None = None
            for line in answer:
                last = msgspec.json.decode(line, type=Message)
                if isinstance(last, Refusal):
                    raise ControlError(last.reason)
                yield last
            if not isinstance(last, CleanEnd | VerifyEnd):
                raise ControlError(_ENDED)
        except _FAILURES as error:
            raise _failure(error) from error
        finally:
            connection.close()

    def _asked(
        self, method: str, target: str, body: Asked | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request and read the head of its answer. Raises ControlError for any but a good one."""
        connection = self._connection()
        with _ending(connection):
            connection.request(
                method,
                target,
                None if body is None else msgspec.json.encode(body),
                {"Content-Type": "application/json", "Connection": "close"},
            )
            return connection, _answered(connection)

    def _sent(
        self, target: str, pieces: Iterable[bytes]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a body that comes in pieces, in chunks (RFC 9112 §7.1), until all is sent or the cache answers."""
        connection = self._connection()
        with _ending(connection), selectors.DefaultSelector() as selector:
            sock = connection.sock
            sock.settimeout(_LONG)
            selector.register(sock, selectors.EVENT_READ)
            connection.putrequest("POST", target)
            for name, value in (("Transfer-Encoding", "chunked"), ("Connection", "close")):
                connection.putheader(name, value)
            connection.endheaders()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has answered already, or is gone
                for piece in filter(None, pieces):
                    if selector.select(0):
                        break  # refused: the rest is of no use
                    connection.send(b"%x\r\n" % len(piece))
                    connection.send(piece)
                    connection.send(b"\r\n")
                else:
                    connection.send(b"0\r\n\r\n")
            return connection, _answered(connection)

    def _connection(self) -> http.client.HTTPConnection:
        sock, self._first = self._first or connected(self._folder, _WAIT), None
        if sock is None:
            raise ControlError(_ENDED)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        return connection


@contextlib.contextmanager
def _ending(connection: http.client.HTTPConnection) -> Generator[None]:
    """Close a connection on which something fails, and say what a person can do."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, _FAILURES):
            raise _failure(error) from error
        raise


def _failure(error: Exception) -> ControlError:
    """What a person is told of one of `_FAILURES`."""
    return ControlError(_SILENT if isinstance(error, TimeoutError) else _ENDED)


def _answered(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """The head of a good answer. Raises ControlError for a refusal."""
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise ControlError(msgspec.json.decode(answer.read(), type=Refusal).reason)
    return answer


def _read(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse, kind: type[T]) -> T:
    """The value of an answer, which is the last on its connection."""
    with _ending(connection):
        value = msgspec.json.decode(answer.read(), type=kind)
    connection.close()
    return value


def _next(answer: http.client.HTTPResponse, buffer: memoryview) -> int:
    """Read what comes next; 0 at the end. Raises ControlError."""
    try:
        return answer.readinto(buffer)
    except (http.client.HTTPException, OSError) as error:
        raise _failure(error) from error
