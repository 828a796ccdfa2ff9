"""What pages say of a file, and how long somebody waits for them to say it. Pure.

Made by `catalog`; `standing` and `files` act on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from proxy.errors import PullthroughError
from proxy.model import ALGORITHMS, Digest, Entry
from proxy.python.page import File


class Hurry(NamedTuple):
    """How long somebody waits for a page, in seconds; `lost`: from a host for which somebody waited in vain lately."""

    seconds: float
    lost: float


@dataclass(frozen=True, slots=True)
class Said:
    """What pages say of a file. `page`: the kept page that lists it.

    `failure`: why nothing certain can be said: a page that may list the file could not be read.
    """

    file: File | None = None
    page: Entry | None = None
    failure: PullthroughError | None = None

    @property
    def digest(self) -> Digest | None:
        """What the file is to be compared with."""
        return self.file.best_digest if self.file is not None else None

    def differs(self, later: Self) -> bool:
        """Whether a later word says where the file is, and it is somewhere else than was known, or another one."""
        if self.file is None or later.file is None:
            return later.file is not None
        return (self.file.url, self.file.digests) != (later.file.url, later.file.digests)


def trust(file: File) -> int:
    """The place of a file's best digest in the order of trust; a file without any comes last."""
    best = file.best_digest
    return ALGORITHMS.index(best.algorithm) if best is not None else len(ALGORITHMS)
