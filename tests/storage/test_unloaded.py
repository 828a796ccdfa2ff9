"""What the index has and memory does not have yet."""

from __future__ import annotations

from proxy.storage.record import BlobRow, Record
from proxy.storage.unloaded import Totals, Unloaded

ROWS: dict[str, BlobRow] = {name: (name, 5000, "1:2", 1.0) for name in ("a", "b")}


def test_unloaded__nothing() -> None:
    """As long as nothing is loaded behind the answers, nothing counts and nothing is looked for."""
    unloaded = Unloaded(look=ROWS.get)
    unloaded.loaded(7)
    unloaded.removed("b")

    assert (0, 0, 0, False) == (unloaded.count, unloaded.size, unloaded.footprint, unloaded.under_way)
    assert (None, set()) == (unloaded.ask("a"), unloaded.gone)


def test_unloaded__until_the_end() -> None:
    """What is loaded counts no more, what was removed is not found again, and in the end nothing is left."""
    unloaded = Unloaded()
    unloaded.begin(Totals(2, 10_000, 16_384, 1.0), ROWS.get)
    assert ROWS["a"] == unloaded.ask("a")
    unloaded.loaded(5000)
    unloaded.removed("b")
    unloaded.taken.append(mine := Record(*ROWS["a"]))

    assert (1, 5000, 8192, True) == (unloaded.count, unloaded.size, unloaded.footprint, unloaded.under_way)
    assert (None, None) == (unloaded.ask("b"), unloaded.ask("c"))
    assert [mine] == unloaded.end()
    assert (0, 0, 0, False) == (unloaded.count, unloaded.size, unloaded.footprint, unloaded.under_way)
    assert (None, set(), []) == (unloaded.ask("a"), unloaded.gone, unloaded.taken)
