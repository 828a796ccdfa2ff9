"""Case (g): the real pip and the real uv install over a line to PyPI as it is for most people."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bench import public_index
from bench.client import ClientError
from bench.fronts import FRONTS, Front
from bench.installers import Installers, memory
from bench.line import FAR
from bench.public_index import PublicIndex
from bench.results import DIRECT, OURS, Row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.bed import Bed
    from bench.installers import Ran

CLIENTS = ("pip", "uv")
AHEAD = "fetched ahead of them"
_MB = 1e6


def first_and_second(bed: Bed) -> None:
    """(g) Seconds of each client without a cache, with an empty one, and with the same one once more."""
    if obstacle := bed.missing.get("pip") or public_index.obstacle():
        bed.results.leave_out("g", obstacle)
        return
    with (
        memory(bed.folder) as folder,
        PublicIndex(bed.kept / "index", FAR, bed.number("public")) as index,
    ):
        installers = Installers(bed.peers, folder)
        clients: dict[str, Callable[..., Ran]] = {"pip": installers.pip, "uv": installers.uv}
        for client in clients.values():
            _fill(bed, index, client)
        for _ in range(bed.scale.repetitions):
            for name, client in clients.items():
                for server in (DIRECT, *FRONTS):
                    _turn(bed, index, name, client, server)


def _fill(bed: Bed, index: PublicIndex, client: Callable[..., Ran]) -> None:
    """Have in the index all that the client asks for, and what a cache asks for ahead of it."""
    client(index.near + public_index.SIMPLE, bed.scale.installed)
    with Front(OURS, bed.number("filling"), index.url, bed.peers) as front:
        client(front.index, bed.scale.installed)


def _turn(bed: Bed, index: PublicIndex, name: str, client: Callable[..., Ran], server: str) -> None:
    cold, warm = Row("g", f"{name}, cold", server), Row("g", f"{name}, warm", server)
    if server not in {DIRECT, OURS} and not bed.again(cold):
        return
    bed.rest()
    with bed.failing(cold):
        if server == DIRECT:
            ran = client(index.url + public_index.SIMPLE, bed.scale.installed)
            bed.results.add(cold, seconds=ran.seconds, client=ran.cpu, count=ran.count)
            return
        if server in bed.missing:
            raise ClientError(bed.missing[server])
        folder = bed.number(server)
        try:
            _through(bed, (cold, warm), client, index, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _through(bed: Bed, rows: tuple[Row, Row], client: Callable[..., Ran], index: PublicIndex, folder: Path) -> None:
    with Front(rows[0].server, folder, index.url, bed.peers) as front:
        for row in rows:
            before = front.process.cpu()
            ran = client(front.index, bed.scale.installed)
            if ran.count != bed.results.median(row._replace(variant=rows[0].variant, server=DIRECT), "count"):
                raise ClientError(f"{ran.count} packages came, which is not what comes without a cache")
            bed.results.add(row, seconds=ran.seconds, client=ran.cpu, server=front.process.cpu() - before)
        if rows[0].server == OURS:
            fetched, used = (front.foreseen(outcome) / _MB for outcome in ("fetched", "used"))
            bed.results.add(Row("g", AHEAD, OURS), fetched=fetched, unused=fetched - used)
