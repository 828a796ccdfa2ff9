"""Cases (c) and (d): a wheel that the cache does not have yet, asked for by one client and by a crowd at once."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.client import ClientError, Download, download, memory
from bench.content import MIB
from bench.load import crowd
from bench.origin import LIMITED, UNLIMITED
from bench.results import DIRECT, Row

if TYPE_CHECKING:
    from pathlib import Path

    from bench.bed import Bed
    from bench.origin import Origin

PACES = (UNLIMITED, LIMITED)
# So many of a crowd hold the whole body, to have its digest checked.
_KEPT = 3
# A server may need more than the file itself takes.
_SPARE = 2
# What a server still fetches for clients that left is counted for so many seconds.
_AFTERMATH = 30.0


def alone(bed: Bed) -> None:
    """(c) One client: seconds to the first byte and to the last, against the same download from the origin itself.

    In each turn the system has memory at hand for what is stored, so that no server pays for another.
    """
    for pace in PACES:
        with bed.origin(pace) as origin, bed.servers("c", origin) as servers:
            turns = bed.scale.brief if pace is UNLIMITED else bed.scale.repetitions
            for ware in bed.content.cold[:turns]:
                for name in (DIRECT, *servers):
                    row = Row("c", pace.name, name)
                    if not bed.again(row):
                        continue
                    with bed.failing(row):
                        url = servers[name].find(ware) if name in servers else origin.url + ware.path
                        bed.settle(origin)
                        body = memory(ware)
                        _have_memory(bed.folder, _SPARE * ware.size)
                        seen = download(url, ware, body=body, timeout=bed.scale.patience)
                        _check([seen])
                        bed.results.add(row, first=seen.first, total=seen.total)


def together(bed: Bed) -> None:
    """(d) A crowd on one wheel and an empty cache: how often the origin sends it, waiting, errors, memory in MiB."""
    for pace in PACES:
        with bed.origin(pace) as origin:
            for _ in range(bed.scale.repetitions):
                for name in bed.taking_part("d"):
                    row = Row("d", pace.name, name)
                    if not bed.again(row):
                        continue
                    with bed.failing(row):
                        _crowd(bed, origin, name, row)


def _crowd(bed: Bed, origin: Origin, name: str, row: Row) -> None:
    ware = bed.content.cold[0]
    bed.settle(origin)
    with bed.start(name, origin) as server:
        url = server.find(ware)
        before = origin.sent(ware)
        server.process.forget_peak()
        seen, wall = crowd(url, ware, clients=bed.scale.crowd, kept=_KEPT, timeout=bed.scale.patience)
        peak = server.process.peak()
        origin.settle(_AFTERMATH)
        sent = origin.sent(ware) - before
    errors = [one.error for one in seen if one.error]
    arrived = [one.first for one in seen if one.first]
    bed.results.add(
        row,
        ratio=sent / ware.size,
        first=statistics.median(arrived) if arrived else bed.scale.patience,
        wall=wall,
        errors=len(errors),
        peak=peak / MIB,
    )
    if errors:
        bed.results.note(row, f"{len(errors)} of {len(seen)} clients: {errors[0]}")


def _have_memory(folder: Path, size: int) -> None:
    """Have memory at hand for a file of `size` bytes: what a file had that was written and deleted just before.

    In a virtual machine other memory has to come from the host first, which takes longer than all that is measured.
    """
    spare = folder / "spare"
    with spare.open("wb", buffering=0) as file:
        for _ in range(-(-size // MIB)):
            file.write(bytes(MIB))
    spare.unlink()


def _check(seen: list[Download]) -> None:
    for one in seen:
        if one.error:
            raise ClientError(one.error)
