"""Bodies come to a file whole, however few bytes the system takes at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.storage.writing import write_all
from tests import system
from tests.system import anonymous_file

_BLOCK = 2 << 20  # bytes that a virtual machine gives back to its host at once


@pytest.mark.parametrize("taken", [1, 7, 1000, 1 << 30])
@pytest.mark.parametrize("missing", [(), ("pwritev",)])
def test_write_all(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], taken: int) -> None:
    """Chunks of all lengths, empty ones too, are written one behind the other; what is before and behind them stays."""
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    call = "pwrite" if missing else system.WRITE_AT
    write = os.pwrite

    def few(descriptor: int, data: Any, offset: int) -> int:
        whole = data if isinstance(data, bytes | memoryview) else b"".join(data)
        return write(descriptor, whole[:taken], offset)

    chunks: list[bytes | memoryview] = [b"", b"0123456789", memoryview(b"abc"), b"", b"x" * 2100, b"y", b""]
    body = b"".join(chunks)
    descriptor = anonymous_file(b"." * (len(body) + 8))
    monkeypatch.setattr(os, call, few)
    try:
        write_all(chunks, descriptor, 5)
        write_all([], descriptor)
        assert b"....." + body + b"..." == os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("sizes", [[(4 << 20) + 5], [1] * 3000, [700_000] * 5, [1 << 20] * 3, [5, 3 << 20, 5]])
def test_write_all__pieces(monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    """No call writes as much as a block that a host may have taken back, or more buffers than Linux takes."""
    write, calls = getattr(os, system.WRITE_AT), []

    def noted(descriptor: int, data: Any, offset: int) -> int:
        buffers: Sequence[bytes | memoryview] = data if isinstance(data, list) else [data]
        calls.append((len(buffers), sum(map(len, buffers))))
        return int(write(descriptor, data, offset))

    monkeypatch.setattr(os, system.WRITE_AT, noted)
    chunks = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    descriptor = anonymous_file()
    try:
        write_all(chunks, descriptor)
        assert b"".join(chunks) == os.pread(descriptor, 2 * sum(sizes), 0)
    finally:
        os.close(descriptor)
    assert all(number <= 1024 and size < _BLOCK for number, size in calls)
    if system.WRITE_AT == "pwritev":
        assert len(calls) <= 2 + sum(sizes) // (1 << 19) + len(sizes) // 512


def test_write_all__full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says is raised, and what it took before is in the file."""
    write = getattr(os, system.WRITE_AT)

    def full(descriptor: int, data: Any, offset: int) -> int:
        if offset >= _BLOCK:
            raise OSError(28, "No space left on device")
        return int(write(descriptor, data, offset))

    monkeypatch.setattr(os, system.WRITE_AT, full)
    descriptor = anonymous_file()
    try:
        with pytest.raises(OSError, match="No space"):
            write_all([bytes(4 << 20)], descriptor)
        assert _BLOCK == os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
