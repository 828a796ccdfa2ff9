"""Which snapshot a client was given."""

from __future__ import annotations

from proxy.apt import given
from proxy.apt.given import Given


def test_recall__by_connection_before_address() -> None:
    """Two clients at one address are told apart by their connections."""
    known = Given()
    one: dict[str, str] = {}
    known.note(one, "192.0.2.1", "suite", "a", 0.0)
    known.note({}, "192.0.2.1", "suite", "b", 1.0)

    assert "a" == known.recall(one, "192.0.2.1", "suite", 1e9)
    assert "b" == known.recall({}, "192.0.2.1", "suite", 2.0)
    assert known.recall({}, "192.0.2.2", "suite", 2.0) is None
    assert known.recall({}, "192.0.2.1", "other", 2.0) is None


def test_recall__address_for_some_minutes() -> None:
    """What is known of an address only is forgotten."""
    known = Given()
    known.note({}, "192.0.2.1", "suite", "a", 0.0)

    assert "a" == known.recall({}, "192.0.2.1", "suite", 299.0)
    assert known.recall({}, "192.0.2.1", "suite", 300.0) is None


def test_note__is_bounded() -> None:
    """Neither a connection nor all addresses together can fill the memory."""
    known = Given()
    memory: dict[str, str] = {}
    for number in range(given._SUITES + 5):
        known.note(memory, "192.0.2.1", f"suite {number}", "a", 0.0)
    for number in range(given._CLIENTS + 5):
        known.note({}, f"client {number}", "suite", "a", 0.0)

    assert given._SUITES == len(memory)
    assert "suite 0" not in memory
    assert given._CLIENTS == len(known._table)
