"""The verbs' side of the socket: the store of a cache that runs on this machine. All calls block."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from proxy.control.protocol import (
    DEFAULT_LARGEST,
    CleanEnd,
    CleanPlan,
    ControlError,
    Message,
    Refusal,
    Stats,
    VerifyEnd,
    Wish,
)
from proxy.control.socket_file import connected

T = TypeVar("T")

_WAIT = 120.0  # seconds for an answer: a large cache is counted
_ENDED = "The cache ended, or broke the connection off. Its log says why."


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

    def plan(self, wish: Wish) -> CleanPlan:
        return self._value("POST", "/plan", wish, CleanPlan)

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._lines("/clean", wish)

    def verify(self) -> Iterator[Message]:
        return self._lines("/verify", None)

    def _value(self, method: str, target: str, body: Wish | None, kind: type[T]) -> T:
        connection, answer = self._asked(method, target, body)
        try:
            return msgspec.json.decode(answer.read(), type=kind)
        except (http.client.HTTPException, msgspec.DecodeError, OSError) as error:
            raise ControlError(_ENDED) from error
        finally:
            connection.close()

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
        except (http.client.HTTPException, msgspec.DecodeError, OSError) as error:
            raise ControlError(_ENDED) from error
        finally:
            connection.close()

    def _asked(
        self, method: str, target: str, body: Wish | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request and read the head of its answer. Raises ControlError for any but a good one."""
        sock, self._first = self._first or connected(self._folder, _WAIT), None
        if sock is None:
            raise ControlError(_ENDED)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = sock
        try:
            connection.request(
                method,
                target,
                None if body is None else msgspec.json.encode(body),
                {"Content-Type": "application/json", "Connection": "close"},
            )
            answer = connection.getresponse()
            refusal = None if answer.status == http.client.OK else msgspec.json.decode(answer.read(), type=Refusal)
        except (http.client.HTTPException, msgspec.DecodeError, OSError) as error:
            connection.close()
            raise ControlError(_ENDED) from error
        except BaseException:
            connection.close()
            raise
        if refusal is not None:
            connection.close()
            raise ControlError(refusal.reason)
        return connection, answer
