"""Which snapshot a client was given."""

from __future__ import annotations

from proxy.apt import handed_out
from proxy.apt.handed_out import HandedOut
from proxy.model import Client


def test_recall__by_connection_before_address() -> None:
    """Two clients at one address are told apart by their connections."""
    known = HandedOut()
    one = Client("192.0.2.1")
    known.note(one, "suite", "a", 0.0)
    known.note(Client("192.0.2.1"), "suite", "b", 1.0)

    assert "a" == known.recall(one, "suite", 1e9)
    assert "b" == known.recall(Client("192.0.2.1"), "suite", 2.0)
    assert known.recall(Client("192.0.2.2"), "suite", 2.0) is None
    assert known.recall(Client("192.0.2.1"), "other", 2.0) is None


def test_recall__address_for_some_minutes() -> None:
    """What is known of an address only is forgotten."""
    known = HandedOut()
    known.note(Client("192.0.2.1"), "suite", "a", 0.0)

    assert "a" == known.recall(Client("192.0.2.1"), "suite", 299.0)
    assert known.recall(Client("192.0.2.1"), "suite", 300.0) is None


def test_note__is_bounded() -> None:
    """Neither a connection nor all addresses together can fill the memory."""
    known = HandedOut()
    client = Client("192.0.2.1")
    for number in range(handed_out._SUITES + 5):
        known.note(client, f"suite {number}", "a", 0.0)
    for number in range(handed_out._CLIENTS + 5):
        known.note(Client(f"client {number}"), "suite", "a", 0.0)

    assert handed_out._SUITES == len(client.handed_out)
    assert "suite 0" not in client.handed_out
    assert handed_out._CLIENTS == len(known._table)
