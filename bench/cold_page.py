"""Case (l): what a page costs that comes for the first time; `pages` has the steps."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from bench import pages
from bench.results import OURS, Row
from proxy.python.negotiation import Format

if TYPE_CHECKING:
    from bench.bed import Bed

SUM, WAIT = "all of them", "wait"
_MICROSECONDS, _MILLISECONDS = 1e6, 1e3


def first_answer(bed: Bed) -> None:
    """(l) Microseconds of CPU for each link, by step and together; how long an event loop waited at most, in ms."""
    body, kind = pages.page(bed.scale.links), Format.JSON.content_type
    for _ in range(bed.scale.repetitions):
        taken = dict(pages.steps(body, kind))
        for step, seconds in taken.items():
            bed.results.add(Row("l", step, OURS), cpu=seconds / bed.scale.links * _MICROSECONDS)
        whole = sum(taken[step] for step in pages.FIRST_ANSWER) / bed.scale.links
        bed.results.add(Row("l", SUM, OURS), cpu=whole * _MICROSECONDS)
        waited = asyncio.run(pages.longest_wait(partial(pages.whole, body, kind)))
        bed.results.add(Row("l", WAIT, OURS), wait=waited * _MILLISECONDS)
