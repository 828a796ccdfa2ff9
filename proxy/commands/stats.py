"""`pullthrough stats`: what is stored, what that saved, the largest files; with `--docker`, what Docker takes.

Called by `cli`. Tables or JSON go to standard output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from proxy.builds.store_access import DataPlace, reach
from proxy.commands import output
from proxy.commands.endings import DONE, ended
from proxy.control.protocol import Amount, Stats

if TYPE_CHECKING:
    from proxy.builds.docker_caches import DockerCaches

_EVERY = 2.0  # seconds between two looks of --watch


@dataclass(frozen=True, slots=True)
class StatsFlags:
    """The verb's own options. `largest`: how many of the largest files are listed."""

    place: DataPlace
    json: bool = False
    watch: bool = False
    docker: bool = False
    largest: int = 10


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one moment. `now`: seconds since the epoch."""

    stats: Stats
    docker: DockerCaches | None
    now: float


def stats(flags: StatsFlags, environ: Mapping[str, str]) -> int:
    """Show what is stored; with `watch`, again and again until it is interrupted. Gives the exit status."""

    def look() -> Look:
        with closing(reach(flags.place, environ)) as store:
            found = store.stats(flags.largest)
        return Look(found, _docker(environ) if flags.docker else None, time.time())

    def work() -> int:
        if flags.json:
            for found in _looks(look, again=flags.watch):
                sys.stdout.write(output.json_text(as_json(found), line=flags.watch))
                sys.stdout.flush()
            return DONE
        where = output.console()
        if not (flags.watch and output.animated(where)):
            for found in _looks(look, again=flags.watch):
                where.print(shown(found))
            return DONE
        with Live(console=where, auto_refresh=False, vertical_overflow="crop") as live:
            for found in _looks(look, again=True):
                live.update(shown(found), refresh=True)
        return DONE

    return ended(work)


def _docker(environ: Mapping[str, str]) -> DockerCaches:
    from proxy.builds import docker_caches  # noqa: PLC0415 - late: its libraries take a moment to load

    return docker_caches.look(environ)


def _looks(look: Callable[[], Look], *, again: bool) -> Iterator[Look]:
    """One look, or one after another for ever."""
    yield look()
    while again:
        time.sleep(_EVERY)
        yield look()


def as_json(found: Look) -> dict[str, Any]:
    """What `--json` prints. Sizes are bytes, times seconds since the epoch; what is not known is null."""
    values: dict[str, Any] = msgspec.to_builtins(found.stats)
    if (docker := found.docker) is not None:
        values["docker"] = {
            "images": docker.images,
            "image_layers": docker.image_layers,
            "builders": [
                {
                    "name": one.builder,
                    "layers": one.layers,
                    "cache_mounts": [
                        {"id": mount.mount_id, "record": mount.id, "size": mount.size, "in_use": mount.in_use}
                        for mount in one.mounts
                    ],
                }
                for one in docker.caches
            ],
            "troubles": list(docker.troubles),
        }
    return values


def shown(found: Look) -> Group:
    """What a person is shown."""
    stats = found.stats
    parts: list[RenderableType] = [*map(output.plain, _summary(stats, found.now)), "", _by_index(stats)]
    if stats.periods:
        parts += ["", _by_period(stats)]
    if stats.largest:
        table = output.table("largest files", ("size", "right"), "index", "name")
        for one in stats.largest:
            output.add_row(table, output.size(one.size), one.index, one.name)
        parts += ["", table]
    if found.docker is not None:
        parts += ["", *docker_tables(found.docker)]
    return Group(*parts)


def _summary(stats: Stats, now: float) -> list[str]:
    free = f", {output.size(stats.free)} free on the disk" if stats.free is not None else ""
    running = "no cache runs" if stats.since is None else f"a cache runs for {output.period(now - stats.since)}"
    stored = f"{output.number(stats.files, 'file')}, {output.size(stats.size)} of {output.size(stats.limit)}"
    lines = [f"{stats.folder}: {stored}{free}; {running}"]
    if stats.saved is not None:
        lines.append(f"saved since it was started, sent less fetched: {output.size(stats.saved)}")
    if stats.broken_off:
        lines.append(f"downloads that broke off and may be resumed: {output.size(stats.broken_off)}")
    return lines


def _by_index(stats: Stats) -> Table:
    """Files and bytes of each index and kind; what clients got of them, where a cache runs."""
    counted = stats.since is not None
    traffic = ("requests", "hits", "from cache") if counted else ()
    headings = [(name, "right") for name in ("files", "size", *traffic)]
    table = output.table("", "index", "kind", *headings)  # type: ignore[arg-type]
    for row in stats.amounts:
        output.add_row(table, row.index, row.kind, f"{row.files:,}", output.size(row.size), *_got(row, counted=counted))
    total = Amount(
        "all",
        "",
        stats.files,
        stats.size,
        sum(row.requests or 0 for row in stats.amounts),
        sum(row.hits or 0 for row in stats.amounts),
        sum(row.from_cache or 0 for row in stats.amounts),
    )
    output.add_row(table, "all", "", f"{total.files:,}", output.size(total.size), *_got(total, counted=counted))
    return table


def _by_period(stats: Stats) -> Table:
    """What the history has of each period. Its days are UTC."""
    table = output.table("saved", "", "since", ("sent", "right"), ("fetched", "right"), ("saved", "right"))
    for one in stats.periods:
        output.add_row(table, one.name, one.first, *map(output.size, (one.sent, one.fetched, one.saved)))
    return table


def _got(row: Amount, *, counted: bool) -> tuple[str, ...]:
    return (f"{row.requests or 0:,}", f"{row.hits or 0:,}", output.size(row.from_cache or 0)) if counted else ()


def docker_tables(docker: DockerCaches) -> list[RenderableType]:
    """What Docker takes: images, and each builder's layers and cache mounts."""
    table = output.table("Docker", "what", "builder", ("size", "right"))
    output.add_row(table, output.number(docker.images, "image"), "", output.size(docker.image_layers))
    for one in docker.caches:
        output.add_row(table, "build layers", one.builder, output.size(one.layers))
        for mount in one.mounts:
            used = ", in use" if mount.in_use else ""
            output.add_row(table, f"cache mount {mount.name}{used}", one.builder, output.size(mount.size))
    return [table, *(output.plain(f"not counted: {trouble}") for trouble in docker.troubles)]
