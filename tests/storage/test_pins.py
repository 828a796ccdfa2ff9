"""What is pinned, and the file that has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import StoreFull
from proxy.storage.pins import Pins, write

_ONE, _TWO = "1" * 64, "2" * 64


def test_read__what_was_written(tmp_path: Path) -> None:
    """The digests, and nothing else is left in the folder."""
    write(tmp_path, {_TWO, _ONE})

    pins = Pins.read(tmp_path)
    assert {_ONE, _TWO} == set(pins)
    assert _ONE in pins
    assert "3" * 64 not in pins
    assert [tmp_path / "pins"] == list(tmp_path.iterdir())


def test_read__nothing_yet(tmp_path: Path) -> None:
    """A folder without the file has no pins."""
    assert 0 == len(Pins.read(tmp_path))


def test_read__damaged(tmp_path: Path) -> None:
    """Lines that are no digest do not count; those that are do."""
    (tmp_path / "pins").write_bytes(b"\xff\x00garbage\n" + _ONE.encode() + b"\n" + b"4" * 63 + b"\n" + _TWO.encode())

    assert {_ONE, _TWO} == set(Pins.read(tmp_path))


def test_read__link(tmp_path: Path) -> None:
    """A link leads nowhere."""
    (tmp_path / "pins").symlink_to("/etc/passwd")

    with pytest.raises(OSError, match="symbolic link"):
        Pins.read(tmp_path)


def test_write__cannot_be_replaced(tmp_path: Path) -> None:
    """What stands in the way is told, and nothing half-written stays."""
    (tmp_path / "pins").mkdir()

    with pytest.raises(OSError, match="directory"):
        write(tmp_path, {_ONE})
    assert [tmp_path / "pins"] == list(tmp_path.iterdir())


def test_changed__bound() -> None:
    """More than a hundred thousand are refused, but they may become fewer."""
    many = Pins(f"{number:064x}" for number in range(100_001))

    assert 100_000 == len(many.changed((), [f"{0:064x}"]))
    with pytest.raises(StoreFull, match="Unpin some first"):
        many.changed(["f" * 64], ())
