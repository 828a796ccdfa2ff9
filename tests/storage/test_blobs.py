"""The picture of the blobs in memory."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers, sampled_from

from proxy.storage.blob_table import footprint
from proxy.storage.blobs import Blobs
from proxy.storage.pins import Pins
from proxy.storage.record import INLINE, BlobRow, Record
from proxy.storage.unloaded import Totals

NAMES = [character * 64 for character in "abcdef"]
STORED = [character * 64 for character in "012345"]
ROWS = {name: (name, 5_000 * number, f"{number}:1", float(number)) for number, name in enumerate(STORED)}


class BlobsMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, also while the index is being loaded: order and sums are a plain list's."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs = Blobs("/data", most=2)
        self.blobs.expect(Totals(6, 75_000, sum(footprint(row[1]) for row in ROWS.values()), 5.0), ROWS.get)
        self.left = list(ROWS.values())
        self.model: OrderedDict[str, int] = OrderedDict((name, row[1]) for name, row in ROWS.items())
        self.seen: dict[str, Record] = {}
        self.leased: list[Record] = []

    @rule(number=integers(1, 4))
    def load(self, number: int) -> None:
        assert [] == self.blobs.take_in(self.left[:number])
        del self.left[:number]

    @precondition(lambda self: not self.left and self.blobs.loading)
    @rule()
    def all_loaded(self) -> None:
        self.blobs.all_loaded()

    @rule(name=sampled_from(NAMES + STORED))
    def get(self, name: str) -> None:
        record = self.blobs.get(name)
        if name not in self.model:
            assert record is None
            return
        assert record is not None
        assert (name, self.model[name], True) == (record.sha256, record.size, self.blobs.holds(record))
        assert self.seen.setdefault(name, record) is record

    @rule(name=sampled_from(NAMES + STORED), size=integers(0, 10_000))
    def add(self, name: str, size: int) -> None:
        record = Record(name, size, "7:1", self.blobs.next_place())
        self.blobs.add(record)
        before = self.seen.get(name)
        assert before is None or not self.blobs.holds(before)
        self.seen[name] = record
        self.model[name] = size
        self.model.move_to_end(name)

    @rule(name=sampled_from(NAMES + STORED))
    def add_found(self, name: str) -> None:
        self.blobs.add_found(name, 77)
        if name not in self.model:
            self.seen.pop(name, None)
            self.model[name] = 77
            self.model.move_to_end(name, last=False)

    @rule(name=sampled_from(NAMES + STORED))
    def use(self, name: str) -> None:
        if name in self.model:
            record = self.seen.get(name) or self.blobs.get(name)
            assert record is not None
            blob = self.blobs.use(record)
            assert (blob.digest.value, blob.size) == (name, self.model[name])
            self.seen[name] = record
            self.model.move_to_end(name)

    @rule(name=sampled_from(NAMES + STORED))
    def demote(self, name: str) -> None:
        if name in self.model and (record := self.blobs.get(name)) is not None:
            self.blobs.demote(record)
            self.model.move_to_end(name, last=False)

    @rule(name=sampled_from(NAMES + STORED))
    def remove(self, name: str) -> None:
        record = self.seen.pop(name, None) or self.blobs.get(name)
        assert (record is not None and self.blobs.holds(record)) == (name in self.model)
        if record is not None:
            del self.model[name]
            assert self.blobs.remove(record)
            assert not self.blobs.remove(record)

    @rule(name=sampled_from(NAMES + STORED))
    def acquire(self, name: str) -> None:
        if name in self.model:
            assert self.blobs.get(name) is not None  # who reads a blob has looked for it
        record = self.blobs.acquire(name)
        assert (record is not None) == (name in self.model)
        if record is not None:
            assert self.seen.setdefault(name, record) is record
            self.leased.append(record)

    @rule(number=integers(0, 20))
    def release(self, number: int) -> None:
        if number < len(self.leased):
            self.blobs.release(self.leased.pop(number))

    @rule(name=sampled_from(STORED))
    def forget_the_object(self, name: str) -> None:
        self.seen.pop(name, None)

    @invariant()
    def agrees(self) -> None:
        names = list(self.model)
        assert len(self.model) == len(self.blobs)
        assert sum(self.model.values()) == self.blobs.size
        assert sum(map(footprint, self.model.values())) == self.blobs.footprint
        assert {*names} == {name for name in NAMES + STORED if name in self.blobs}
        assert all(self.blobs.may_hold(name) for name in names)
        read = {record for record in self.leased if self.blobs.holds(record)}
        assert sum(footprint(record.size) for record in read) == self.blobs.leased
        for record in self.leased:
            assert record.leases == self.leased.count(record)
        evictable = [name for name, _ in self.blobs.evictable()]
        free = [name for name in names if name not in {record.sha256 for record in read}]
        assert free[: len(evictable)] == evictable
        if not self.blobs.loading:
            assert (free, names) == (evictable, [record.sha256 for record in self.blobs])
            assert names == [name for name, _, _, _ in self.blobs.rows()]
            folder = [name for name in names if name.startswith("aa")]
            assert folder == self.blobs.in_folder("aa")

    def teardown(self) -> None:
        """However far it came, in the end the order is right."""
        if self.blobs.loading:
            self.blobs.take_in(self.left)
            self.blobs.all_loaded()
        self.agrees()


test_blobs__any_order = BlobsMachine.TestCase


def test_take_uses__once() -> None:
    """Each use is to be written down once, with its last place; what was dropped since is not."""
    blobs = Blobs("/data", [(NAMES[0], 1, "s", 1.0), (NAMES[1], 1, "s", 2.0), (NAMES[2], 1, "s", 3.0)])
    first, second, third = blobs
    for record in (first, second, third, first):
        blobs.use(record)
    blobs.remove(third)

    uses = blobs.take_uses()
    assert [NAMES[0], NAMES[1]] == [name for _, name in uses]
    assert [first.used, second.used] == [place for place, _ in uses]
    assert first.used > second.used > 3.0
    assert blobs.take_uses() == []


def test_longest_unused__by_the_time_of_use() -> None:
    """A place is the time of a use; what an earlier release numbered has no time, and a clock may be set back."""
    now = [2e9]
    blobs = Blobs("/data", [(NAMES[0], 1, "s", 7.0), (NAMES[1], 1, "s", 8.0)], lambda: now[0])
    first, second = blobs
    assert blobs.longest_unused() is None
    blobs.use(first)
    now[0] += 50.0
    assert 50.0 == blobs.longest_unused()
    blobs.use(second)
    now[0] -= 90.0
    blobs.use(first)
    assert first.used > second.used
    now[0] += 140.0
    assert 50.0 == blobs.longest_unused()


def test_longest_unused__pinned() -> None:
    """What is pinned would not be evicted, so its age tells nothing of the room that is left."""
    rows = [(NAMES[0], 1, "s", 2e9), (NAMES[1], 1, "s", 2e9 + 50)]
    blobs = Blobs("/data", rows, lambda: 2e9 + 100, Pins([NAMES[0]]))

    assert 50 == blobs.longest_unused()


def test_take_in__what_must_be_checked() -> None:
    """A large file without a stamp is named, however it came to be loaded."""
    rows: dict[str, BlobRow] = {name: (name, INLINE + 1, None, float(number)) for number, name in enumerate(STORED[:2])}
    rows[STORED[2]] = (STORED[2], INLINE + 1, "1:1", 2.0)
    blobs = Blobs("/data")
    blobs.expect(Totals(3, 3 * (INLINE + 1), 3 * footprint(INLINE + 1), 2.0), rows.get)
    taken = blobs.get(STORED[1])
    assert taken is not None
    assert taken.hidden

    assert STORED[:2] == blobs.take_in(rows.values())


def test_get__the_index_fails() -> None:
    """What is stored anew while it could not be looked for counts once, at the latest when all is loaded."""
    blobs = Blobs("/data")
    blobs.expect(Totals(1, 5_000, 8_192, 3.0), lambda _: None)
    assert blobs.get(STORED[0]) is None
    blobs.add(Record(STORED[0], 5_000, "1:1", blobs.next_place()))
    blobs.take_in([(STORED[0], 5_000, "1:1", 3.0)])
    blobs.all_loaded()

    assert (1, 5_000, 8_192) == (len(blobs), blobs.size, blobs.footprint)


def test_all_loaded__a_row_that_was_never_met() -> None:
    """What was taken, and whose row has gone since, is in the order of use all the same."""
    blobs = Blobs("/data")
    blobs.expect(Totals(1, 5_000, 8_192, 3.0), {STORED[0]: (STORED[0], 5_000, "1:1", 3.0)}.get)
    assert blobs.get(STORED[0]) is not None
    blobs.all_loaded()

    assert [STORED[0]] == [sha256 for sha256, _ in blobs.evictable()]


def test_let_go__the_stamp_stays() -> None:
    """What was found out of a blob is known when its object is made again."""
    blobs = Blobs("/data", most=1)
    blobs.add(Record(NAMES[0], 1, None, 1.0))
    record = blobs.acquire(NAMES[0])
    assert record is not None
    record.stamp = "12:34"
    blobs.release(record)
    del record
    for name in NAMES[1:3]:
        blobs.add(Record(name, 1, None, 2.0))

    again = blobs.get(NAMES[0])
    assert again is not None
    assert "12:34" == again.stamp


def test_get__no_digest() -> None:
    """Text that is no digest names nothing."""
    blobs = Blobs("/data", [(NAMES[0], 1, "s", 1.0)])

    assert [None] * 4 == [blobs.get(text) for text in ("", "00", "x" * 64, NAMES[0].upper())]
