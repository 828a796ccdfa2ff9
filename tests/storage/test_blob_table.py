"""The rows of all blobs, against plain dictionaries and lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import floats, integers, none, one_of, sampled_from

from proxy.storage.blob_table import ENDS, GAP, BlobTable, footprint, raw_digest

# Alike in their first eight bytes, in their first bits, and not at all.
DIGESTS = [bytes(31) + bytes((number,)) for number in range(4)]
DIGESTS += [bytes((0, number)) + bytes(30) for number in (1, 2)]
DIGESTS += [bytes((number,)) * 32 for number in (1, 128, 255)]
STAMPS = one_of(
    none(), sampled_from(["17:4", "9223372036854775807:18446744073709551615", "stamp", "", "017:4", "-1:2"])
)


class TableMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, the rows are what a dictionary has, and the order is a list's."""

    def __init__(self) -> None:
        super().__init__()
        self.table = BlobTable()
        self.rows: dict[bytes, int] = {}
        self.values: dict[bytes, tuple[int, str | None, float]] = {}
        self.order: list[bytes] = []

    @rule(digest=sampled_from(DIGESTS), size=integers(0, 1 << 40), stamp=STAMPS, used=floats(0, 1e10))
    def insert(self, digest: bytes, size: int, stamp: str | None, used: float) -> None:
        if digest not in self.rows:
            row = self.rows[digest] = self.table.insert(digest, size, stamp, used)
            self.values[digest] = size, stamp, used
            assert row not in (ENDS, GAP)
            assert not self.table.linked(row)

    @rule(digest=sampled_from(DIGESTS))
    def remove(self, digest: bytes) -> None:
        if digest in self.rows:
            self.table.remove(self.rows.pop(digest))
            del self.values[digest]
            if digest in self.order:
                self.order.remove(digest)

    @rule(digest=sampled_from(DIGESTS), used=floats(0, 1e10))
    def use(self, digest: bytes, used: float) -> None:
        if digest in self.rows:
            self.table.use(self.rows[digest], used)
            self.values[digest] = (*self.values[digest][:2], used)
            if digest in self.order:
                self.order.remove(digest)
            self.order.append(digest)

    @rule(digest=sampled_from(DIGESTS), at=sampled_from(DIGESTS))
    def link(self, digest: bytes, at: bytes) -> None:
        if digest in self.rows and at in self.order and at != digest:
            self.table.link(self.rows[digest], self.rows[at])
            if digest in self.order:
                self.order.remove(digest)
            self.order.insert(self.order.index(at), digest)

    @rule(digest=sampled_from(DIGESTS))
    def unlink(self, digest: bytes) -> None:
        if digest in self.order:
            self.table.unlink(self.rows[digest])
            self.order.remove(digest)

    @rule(digest=sampled_from(DIGESTS), stamp=STAMPS)
    def stamp(self, digest: bytes, stamp: str | None) -> None:
        if digest in self.rows:
            self.table.set_stamp(self.rows[digest], stamp)
            size, _, used = self.values[digest]
            self.values[digest] = size, stamp, used

    @invariant()
    def agrees(self) -> None:
        table = self.table
        assert [self.rows.get(digest, 0) for digest in DIGESTS] == [table.find(digest) for digest in DIGESTS]
        for digest, row in self.rows.items():
            assert digest.hex() == table.sha256(row)
            assert self.values[digest] == (table.size_of(row), table.stamp(row), table.used(row))
            assert (digest in self.order) == (table.linked(row) or self.order == [digest])
        assert [self.rows[digest] for digest in self.order] == list(table)
        assert (self.rows[self.order[0]] if self.order else ENDS) == table.first()
        sizes = [size for size, _, _ in self.values.values()]
        assert (len(sizes), sum(sizes)) == (table.count, table.size)
        assert sum(map(footprint, sizes)) == table.footprint
        for front in (0, 1, 255):
            assert {digest.hex() for digest in self.rows if digest[0] == front} == set(table.folder(front))


test_table__any_order = TableMachine.TestCase


@given(st.text(max_size=40))
def test_stamp__any_text(text: str) -> None:
    """A stamp is given back as it was, whatever it is."""
    table = BlobTable()
    row = table.insert(DIGESTS[0], 1, text, 1.0)

    assert text == table.stamp(row)


def test_insert__in_the_room_of_another() -> None:
    """A row that was let go is used again, so a store that evicts as much as it stores does not grow."""
    table = BlobTable()
    rows = {table.insert(digest, 1, None, 1.0) for digest in DIGESTS[:3]}
    for row in rows:
        table.remove(row)

    assert rows == {table.insert(digest, 1, "a:b", 1.0) for digest in DIGESTS[3:6]}
    assert 0 == table.find(DIGESTS[0])


def test_footprint__whole_blocks() -> None:
    """A file takes whole blocks."""
    assert [footprint(size) for size in (0, 1, 4096, 4097)] == [0, 4096, 4096, 8192]


def test_raw_digest__only_as_it_is_written() -> None:
    """Only the one text of a digest names it: another would be another file."""
    text = DIGESTS[-1].hex()

    assert DIGESTS[-1] == raw_digest(text)
    assert [None] * 5 == [raw_digest(wrong) for wrong in ("", "00", text.upper(), "x" * 64, f" {text[1:]}")]
