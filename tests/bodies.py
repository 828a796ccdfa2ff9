"""What the tests' upstream sends: bodies of any size, readable at any place, made without holding them in memory.

`tests.answers` and `tests.wheels` build them; nothing here knows HTTP.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_BLOCK = 1 << 16
_STEP = 1 << 20


class Body(Protocol):
    """A sequence of bytes that is known before it is read; equal bodies have equal bytes."""

    def __hash__(self) -> int: ...

    @property
    def size(self) -> int: ...

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`; both lie within the body."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """Bytes that are in memory."""

    content: bytes = b""

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, end: int) -> bytes:
        return self.content[start:end]


@dataclass(frozen=True, slots=True)
class Noise:
    """`size` pseudo-random bytes that depend on `seed` only. Each block of 64 KiB is told from every other."""

    size: int
    seed: int = 0

    def read(self, start: int, end: int) -> bytes:
        first, last = start // _BLOCK, -(-end // _BLOCK)
        tail = _noise(self.seed)
        blocks = b"".join(number.to_bytes(8, "big") + tail for number in range(first, last))
        return blocks[start - first * _BLOCK : end - first * _BLOCK]


@dataclass(frozen=True, slots=True)
class Joined:
    """Bodies one after another."""

    parts: tuple[Body, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def read(self, start: int, end: int) -> bytes:
        pieces: list[bytes] = []
        offset = 0
        for part in self.parts:
            low, high = max(start - offset, 0), min(end - offset, part.size)
            if low < high:
                pieces.append(part.read(low, high))
            offset += part.size
        return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class Flipped:
    """`body` with every bit of the byte at `offset` turned over: same length, other bytes."""

    body: Body
    offset: int

    @property
    def size(self) -> int:
        return self.body.size

    def read(self, start: int, end: int) -> bytes:
        piece = bytearray(self.body.read(start, end))
        if start <= self.offset < end:
            piece[self.offset - start] ^= 0xFF
        return bytes(piece)


def as_body(content: Body | bytes | str) -> Body:
    """Any of the forms in which tests name a body; text is encoded as UTF-8."""
    if isinstance(content, str):
        content = content.encode()
    return Plain(content) if isinstance(content, bytes) else content


def pieces(body: Body, start: int = 0, end: int | None = None, step: int = _STEP) -> Iterator[bytes]:
    """The range in chunks of at most `step` bytes."""
    end = body.size if end is None else end
    for offset in range(start, end, step):
        yield body.read(offset, min(offset + step, end))


@functools.lru_cache(maxsize=64)
def sha256(body: Body) -> str:
    """The digest in hexadecimal, computed once for each body."""
    digest = hashlib.sha256()
    for piece in pieces(body):
        digest.update(piece)
    return digest.hexdigest()


@functools.lru_cache(maxsize=64)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(_BLOCK - 8)
