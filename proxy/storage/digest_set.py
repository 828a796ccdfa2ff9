"""Many digests in little memory: what an export holds may be all that is stored."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

_DIGITS = 16  # of each that are kept: eight bytes


class DigestSet:
    """Some sha256. Once in 2**64 / their number another one seems to be among them: use it where that is fine."""

    def __init__(self, sha256s: Iterable[str]) -> None:
        """`sha256s`: in lower-case hexadecimal."""
        self._keys = array("Q", sorted(int(sha256[:_DIGITS], 16) for sha256 in sha256s))

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, sha256: str) -> bool:
        key = int(sha256[:_DIGITS], 16)
        place = bisect_left(self._keys, key)
        return place < len(self._keys) and self._keys[place] == key
