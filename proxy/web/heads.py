"""Heads of answers as bytes. Built from known values only: nothing of a request is ever repeated in one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from proxy.cache.representation import Representation

AGE = "Age"  # RFC 9111 §5.1


class DateLine:
    """The `Date` header, made anew once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        """The line, with its end."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


date_line = DateLine()


def fields(shown: Representation) -> list[tuple[str, str]]:
    """The header fields that every answer with this representation carries, a 304 included (RFC 9110 §15.4.5)."""
    lines = [("Cache-Control", shown.cache_control)]
    if shown.age is not None:
        lines.append((AGE, str(int(shown.age))))
    if shown.etag:
        lines.append(("ETag", shown.etag))
    if shown.last_modified:
        lines.append(("Last-Modified", shown.last_modified))
    if shown.vary:
        lines.append(("Vary", shown.vary))
    if shown.size is not None:
        lines.append(("Accept-Ranges", "bytes"))
    lines += [("X-Cache", shown.outcome.value), ("X-Content-Type-Options", "nosniff")]
    return lines


def head(status: int, lines: Iterable[tuple[str, str]], *, connection: str | None = None) -> bytes:
    """A status line and header fields, without the `Date` and the empty line: `finish` adds them."""
    text = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Server: pullthrough",
        *(f"{name}: {value}" for name, value in lines),
    ]
    if connection:
        text.append(f"Connection: {connection}")
    return ("\r\n".join(text) + "\r\n").encode("ascii")


def finish(lines: bytes, age: float | None = None) -> bytes:
    """A whole head. `age`: seconds since upstream confirmed what is answered, if that stands not in `lines` already."""
    return lines + date_line() + (b"\r\n" if age is None else b"Age: %d\r\n\r\n" % age)
