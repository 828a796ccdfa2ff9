"""The start: seconds from the command to its first answered page, and memory when nobody asks anything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.content import MIB
from bench.origin import UNLIMITED
from bench.results import Row

if TYPE_CHECKING:
    from bench.bed import Bed

VARIANT = "empty cache"
# What a start leaves to do is done after this many seconds.
_IDLE = 1.5


def start(bed: Bed) -> None:
    """(e) Start every server anew: seconds to the first answer, resident memory in MiB when idle."""
    with bed.origin(UNLIMITED) as origin:
        for _ in range(bed.scale.repetitions):
            for name in bed.taking_part("e"):
                row = Row("e", VARIANT, name)
                if not bed.again(row):
                    continue
                with bed.failing(row), bed.start(name, origin) as server:
                    time.sleep(_IDLE)
                    bed.results.add(row, first=server.started, idle=server.process.resident() / MIB)
