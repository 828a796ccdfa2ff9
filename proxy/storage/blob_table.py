"""All blobs as rows of a few arrays: less than a hundred bytes each, found by digest, and in order of use.

A row is a number. It is a blob's from `insert` to `remove`; then another may get it. `blobs` has the only table, and
holds a lock where another thread may look: the table itself does no I/O, takes no lock, and knows no readers.

The order is a ring through all rows that are in it. Two rows are nobody's: `ENDS`, where it begins and ends, and `GAP`,
which stands for all blobs that are not loaded yet, as long as there are some.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

BLOCK = 4096
_LENGTH = 32  # bytes of a sha256
_BUCKETS = 4096  # by the first 12 bits of the digest: short lists, which a new row does not stop for long
_OF_FOLDER = _BUCKETS // 256

ENDS = 0
GAP = 1

# What stands for the time of a stamp where there is no stamp, or one that is not two numbers.
_NONE, _ODD = -1, -2


def footprint(size: int) -> int:
    """The bytes that a file of `size` bytes takes on disk: whole blocks."""
    return -(-size // BLOCK) * BLOCK


def raw_digest(sha256: str) -> bytes | None:
    """The bytes of a sha256 in lower-case hexadecimal; None where the text is none."""
    try:
        raw = bytes.fromhex(sha256)
    except ValueError:
        return None
    return raw if len(raw) == _LENGTH and raw.hex() == sha256 else None


class BlobTable:
    """The rows. `count`, and `size` and `footprint` in bytes, are of all of them."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.footprint = 0
        self._digests = bytearray(2 * _LENGTH)
        self._sizes = array("q", (0, 0))
        self._times = array("q", (_NONE, _NONE))
        self._inodes = array("Q", (0, 0))
        self._odd: dict[int, str] = {}  # stamps that are not two numbers
        self._places = array("d", (0.0, 0.0))
        self._before = array("I", (ENDS, GAP))
        self._after = array("I", (ENDS, GAP))
        self._free = 0  # the first row that is nobody's again; `_after` has the next. 0: none
        # By digest: the first eight bytes of each as a number, in order, and the rows that these are of.
        self._keys = [array("Q") for _ in range(_BUCKETS)]
        self._rows = [array("I") for _ in range(_BUCKETS)]

    def __iter__(self) -> Iterator[int]:
        """The rows in order of use, the longest unused first, `GAP` among them. It may not change meanwhile."""
        row = self._after[ENDS]
        while row != ENDS:
            yield row
            row = self._after[row]

    def find(self, sha256: bytes) -> int:
        """The row of a digest; 0 if there is none."""
        number = sha256[0] << 4 | sha256[1] >> 4
        keys = self._keys[number]
        key = int.from_bytes(sha256[:8])
        place = bisect_left(keys, key)
        while place < len(keys) and keys[place] == key:
            row = self._rows[number][place]
            if self._digests[row * _LENGTH : (row + 1) * _LENGTH] == sha256:
                return row
            place += 1
        return 0

    def insert(self, sha256: bytes, size: int, stamp: str | None, used: float) -> int:
        """A row for a digest that has none. It is not in the order yet."""
        row = self._free
        if row:
            self._free = self._after[row]
            self._digests[row * _LENGTH : (row + 1) * _LENGTH] = sha256
            self._sizes[row] = size
            self._places[row] = used
            self._before[row] = self._after[row] = row
        else:
            row = len(self._sizes)
            self._digests += sha256
            self._sizes.append(size)
            self._times.append(_NONE)
            self._inodes.append(0)
            self._places.append(used)
            self._before.append(row)
            self._after.append(row)
        self.set_stamp(row, stamp)
        number = sha256[0] << 4 | sha256[1] >> 4
        keys = self._keys[number]
        key = int.from_bytes(sha256[:8])
        place = bisect_left(keys, key)
        keys.insert(place, key)
        self._rows[number].insert(place, row)
        self.count += 1
        self.size += size
        self.footprint += footprint(size)
        return row

    def remove(self, row: int) -> None:
        """Let go of a row, and take it out of the order."""
        number = self._digests[row * _LENGTH] << 4 | self._digests[row * _LENGTH + 1] >> 4
        place = self._rows[number].index(row)
        del self._rows[number][place]
        del self._keys[number][place]
        self.unlink(row)
        self._odd.pop(row, None)
        self.count -= 1
        self.size -= self._sizes[row]
        self.footprint -= footprint(self._sizes[row])
        self._after[row] = self._free
        self._free = row

    # The order.

    def linked(self, row: int) -> bool:
        """Whether a row is in the order."""
        return self._after[row] != row

    def unlink(self, row: int) -> None:
        """Take a row out of the order, if it is there."""
        before, after = self._before[row], self._after[row]
        self._after[before] = after
        self._before[after] = before
        self._before[row] = self._after[row] = row

    def link(self, row: int, at: int) -> None:
        """Put a row, which may be elsewhere in the order, right before the row `at`, which is another one."""
        before_of, after_of = self._before, self._after
        before, after = before_of[row], after_of[row]
        after_of[before] = after
        before_of[after] = before
        before = before_of[at]
        after_of[before] = before_of[at] = row
        before_of[row] = before
        after_of[row] = at

    def use(self, row: int, place: float) -> None:
        """Make it the last used, at `place`."""
        self._places[row] = place
        if self._before[ENDS] != row:
            self.link(row, ENDS)

    def first(self) -> int:
        """The longest unused, or `GAP`; `ENDS` if there is none."""
        return self._after[ENDS]

    # What is known of one.

    def sha256(self, row: int) -> str:
        """In lower-case hexadecimal."""
        return self._digests[row * _LENGTH : (row + 1) * _LENGTH].hex()

    def size_of(self, row: int) -> int:
        """In bytes."""
        return self._sizes[row]

    def used(self, row: int) -> float:
        """Its place in the order of use, as it was given."""
        return self._places[row]

    def stamp(self, row: int) -> str | None:
        """See `verification.stamp_of`."""
        time = self._times[row]
        if time >= 0:
            return f"{time}:{self._inodes[row]}"
        return self._odd[row] if time == _ODD else None

    def set_stamp(self, row: int, stamp: str | None) -> None:
        """Replace its stamp."""
        numbers = _numbers(stamp) if stamp is not None else (_NONE, 0)
        if numbers is None:
            assert stamp is not None
            self._odd[row] = stamp
            numbers = _ODD, 0
        elif self._odd:
            self._odd.pop(row, None)
        self._times[row], self._inodes[row] = numbers

    def folder(self, front: int) -> list[str]:
        """The sha256 of all whose files are in the folder with this number: those that begin with these two digits."""
        first = front * _OF_FOLDER
        return [self.sha256(row) for rows in self._rows[first : first + _OF_FOLDER] for row in rows]


def _numbers(stamp: str) -> tuple[int, int] | None:
    """The two numbers of a stamp. None where they would not give the same text again, or are too large."""
    first, _, second = stamp.partition(":")
    try:
        time, inode = int(first), int(second)
    except ValueError:
        return None
    return (time, inode) if 0 <= time < 1 << 63 and 0 <= inode < 1 << 64 and f"{time}:{inode}" == stamp else None
