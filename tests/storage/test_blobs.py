"""The picture of the blobs in memory."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from proxy.storage.blobs import INLINE, Blobs, Record, footprint

NAMES = [character * 64 for character in "abcdef"]


class BlobsMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, order and sums are those of a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs = Blobs("/data", [])
        self.model: OrderedDict[str, Record] = OrderedDict()
        self.leased: list[Record] = []

    @rule(name=sampled_from(NAMES), size=integers(0, 10_000))
    def add(self, name: str, size: int) -> None:
        record = Record(name, size, "stamp", self.blobs.next_place())
        self.blobs.add(record)
        self.model.pop(name, None)
        self.model[name] = record

    @rule(name=sampled_from(NAMES))
    def add_found(self, name: str) -> None:
        self.blobs.add_found(name, 77)
        if name not in self.model:
            record = self.blobs.get(name)
            assert record is not None
            self.model[name] = record
            self.model.move_to_end(name, last=False)

    @rule(name=sampled_from(NAMES))
    def use(self, name: str) -> None:
        if name in self.model:
            blob = self.blobs.use(self.model[name])
            assert (blob.digest.value, blob.size) == (name, self.model[name].size)
            self.model.move_to_end(name)

    @rule(name=sampled_from(NAMES))
    def remove(self, name: str) -> None:
        record = self.model.pop(name, None)
        if record is not None:
            assert self.blobs.remove(record)
            assert not self.blobs.remove(record)

    @rule(name=sampled_from(NAMES))
    def acquire(self, name: str) -> None:
        record = self.blobs.acquire(name)
        assert record is self.model.get(name)
        if record is not None:
            self.leased.append(record)

    @rule(number=integers(0, 20))
    def release(self, number: int) -> None:
        if number < len(self.leased):
            self.blobs.release(self.leased.pop(number))

    @invariant()
    def agrees(self) -> None:
        assert list(self.model.values()) == list(self.blobs)
        assert len(self.model) == len(self.blobs)
        assert sum(record.size for record in self.model.values()) == self.blobs.size
        assert sum(footprint(record.size) for record in self.model.values()) == self.blobs.footprint
        read = {record for record in self.leased if self.blobs.holds(record)}
        assert sum(footprint(record.size) for record in read) == self.blobs.leased
        for record in self.leased:
            assert record.leases == self.leased.count(record)


test_blobs__any_order = BlobsMachine.TestCase


def test_take_uses__once() -> None:
    """Each use is to be written down once, with its last place; what was dropped since is not."""
    blobs = Blobs("/data", [(NAMES[0], 1, "s", 1.0), (NAMES[1], 1, "s", 2.0), (NAMES[2], 1, "s", 3.0)])
    first, second, third = blobs
    for record in (first, second, third, first):
        blobs.use(record)
    blobs.remove(third)

    assert blobs.take_uses() == [(7.0, NAMES[0]), (5.0, NAMES[1])]
    assert blobs.take_uses() == []


def test_record__hidden() -> None:
    """A large file of which nothing is known may not be served; a small one is proved when it is opened."""
    assert Record(NAMES[0], INLINE + 1, None, 0.0).hidden
    assert not Record(NAMES[0], INLINE, None, 0.0).hidden
    assert not Record(NAMES[0], INLINE + 1, "stamp", 0.0).hidden


def test_footprint__whole_blocks() -> None:
    """A file takes whole blocks."""
    assert [footprint(size) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]
