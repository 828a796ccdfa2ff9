"""Extents: which parts of a file are on disk, as sorted, disjoint, half-open byte ranges.

Immutable, so that a thread may read one while the event loop replaces it by the next.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extents:
    """Byte ranges `[start, end)`, in order; ranges that touch are merged."""

    ranges: tuple[tuple[int, int], ...] = ()

    def add(self, start: int, end: int) -> Extents:
        """These extents and `[start, end)`."""
        if start >= end:
            return self
        before = tuple(item for item in self.ranges if item[1] < start)
        after = tuple(item for item in self.ranges if item[0] > end)
        touching = self.ranges[len(before) : len(self.ranges) - len(after)]
        if touching:
            start, end = min(start, touching[0][0]), max(end, touching[-1][1])
        return Extents((*before, (start, end), *after))

    def end_from(self, position: int) -> int:
        """The end of the bytes that follow `position` without a gap; `position` itself if there are none."""
        index = bisect_right(self.ranges, (position, float("inf"))) - 1
        if index >= 0 and self.ranges[index][1] > position:
            return self.ranges[index][1]
        return position

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """The ranges that are missing of a file of `size` bytes, in order."""
        return self.missing(0, size)

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges that are missing of the bytes `[start, end)`, in order."""
        missing: list[tuple[int, int]] = []
        for begun, ended in self.ranges:
            if begun >= end:
                break
            if begun > start:
                missing.append((start, begun))
            start = max(start, ended)
        if start < end:
            missing.append((start, end))
        return missing

    @property
    def total(self) -> int:
        """Bytes covered."""
        return sum(end - start for start, end in self.ranges)
