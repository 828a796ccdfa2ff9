"""Writes bodies to files, in pieces for which Linux has memory of its page cache at hand.

`spool`, `blob_files` and `many_bodies` call it, in threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from proxy import operating_system

# Linux takes memory in blocks as long as a write, up to 2 MiB. Blocks of that length are what a virtual machine gives
# back to its host (free page reporting): a write that has to take them again took five to ten times as long.
_AT_ONCE = 1 << 20  # bytes
_BUFFERS = 512  # for one call: half of what Linux takes


def write_all(chunks: Iterable[bytes | memoryview], descriptor: int, position: int = 0) -> None:
    """Write chunks one behind the other at `position`. Raises OSError."""
    for buffers in _pieces(chunks):
        left = buffers
        while left:
            written = operating_system.write_at(descriptor, left, position)
            position += written
            left = _behind(left, written)  # after a short write the next one fails with the reason


def _pieces(chunks: Iterable[bytes | memoryview]) -> Iterator[Sequence[memoryview]]:
    """The same bytes, as what is written by one call each."""
    piece: list[memoryview] = []
    size = 0
    for chunk in chunks:
        whole = memoryview(chunk)
        for start in range(0, len(whole), _AT_ONCE):
            part = whole[start : start + _AT_ONCE]
            if piece and (size + len(part) > _AT_ONCE or len(piece) == _BUFFERS):
                yield piece
                piece, size = [], 0
            piece.append(part)
            size += len(part)
    if piece:
        yield piece


def _behind(buffers: Sequence[memoryview], size: int) -> Sequence[memoryview]:
    """What is left of buffers without their first `size` bytes."""
    for number, buffer in enumerate(buffers):
        if size < len(buffer):
            return [buffer[size:], *buffers[number + 1 :]]
        size -= len(buffer)
    return []
