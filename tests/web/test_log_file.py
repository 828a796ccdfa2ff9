"""The file that standard error may be."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from proxy import operating_system
from proxy.web.log_file import keep_within
from proxy.web.log_writer import LogWriter


@pytest.mark.parametrize("mode", ["w", "a"])
def test_writer__file_within_its_bound(tmp_path: Path, mode: str) -> None:
    """Two files have the last lines, each whole and in order, and together no more than the bound and a write."""
    path = tmp_path / "cache.log"
    path.write_text("earlier\n")
    path.chmod(0o640)
    with path.open(mode) as stream:
        log = LogWriter(stream, str, size=10_000)
        for number in range(2000):
            log.write(f"{number:>99}")
            if number % 50 == 0:
                while log._waiting:  # it is written, and not in one piece with all others
                    operating_system.yield_processor()
        log.close()

    before, now = path.with_name("cache.log.1"), path
    lines = [int(line) for one in (before, now) for line in one.read_text().splitlines()]
    assert [*range(lines[0], 2000)] == lines
    assert before.stat().st_size + now.stat().st_size < 2 * 10_000 + 2 * 50 * 100
    assert ["cache.log", "cache.log.1"] == sorted(one.name for one in tmp_path.iterdir())
    assert 0o640 == now.stat().st_mode & 0o777


def test_writer__without_a_bound(tmp_path: Path) -> None:
    """A person's own file stays as it is."""
    path = tmp_path / "cache.log"
    with path.open("a") as stream:
        log = LogWriter(stream, str)
        log.write("x" * 100_000)
        log.close()

    assert [path] == [*tmp_path.iterdir()]


def _full(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x" * 100)
    return descriptor


@pytest.mark.skipif(hasattr(fcntl, "F_GETPATH"), reason="macOS always says it")
def test_keep_within__nothing_known_of_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not say where the file is, it begins anew: the bound holds."""
    monkeypatch.setattr(operating_system, "_DESCRIPTORS", tmp_path / "nowhere")
    descriptor = _full(tmp_path / "log")

    keep_within(descriptor, 100)
    os.write(descriptor, b"new")
    os.close(descriptor)

    assert b"new" == (tmp_path / "log").read_bytes()
    assert ["log"] == [one.name for one in tmp_path.iterdir()]


def test_keep_within__somebody_has_moved_it(tmp_path: Path) -> None:
    """As another program for logs does: the file that has its name now is not touched."""
    descriptor = _full(tmp_path / "log")
    (tmp_path / "log").rename(tmp_path / "moved")
    (tmp_path / "log").write_bytes(b"another")

    keep_within(descriptor, 300)
    assert 100 == (tmp_path / "moved").stat().st_size
    keep_within(descriptor, 200)
    os.close(descriptor)

    assert b"another" == (tmp_path / "log").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_keep_within__folder_of_somebody_else(tmp_path: Path) -> None:
    """Without a second file the first begins anew."""
    descriptor = _full(tmp_path / "log")
    tmp_path.chmod(0o555)
    try:
        keep_within(descriptor, 100)
    finally:
        tmp_path.chmod(0o755)
        os.close(descriptor)

    assert b"" == (tmp_path / "log").read_bytes()


def test_keep_within__no_file() -> None:
    """A pipe, the null device and a closed descriptor are left alone."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (writer, null):
        keep_within(descriptor, 1)
    for descriptor in (reader, writer, null):
        os.close(descriptor)
    keep_within(writer, 1)
