"""`pullthrough build`: `docker build` through the cache, and a table of what that saved.

Called by `cli`. The table and all single lines go to standard error, beside BuildKit's progress; standard output has
what `docker build` prints there, or with `--json` the report alone. The exit status is the build's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from proxy.address_text import LAST_PORT
from proxy.address_text import host as read_host
from proxy.builds import build_options, cache_indexes
from proxy.builds.build import BuildCaller, BuildReport
from proxy.builds.build import build as run_build
from proxy.builds.build_site import CachePlace
from proxy.builds.candidates import Candidate
from proxy.commands import output
from proxy.commands.endings import ended
from proxy.config.settings import Settings
from proxy.errors import BadTarget, WrongUsage
from proxy.model import GROUP_INDEX


@dataclass(frozen=True, slots=True)
class BuildFlags:
    """The verb's own options. `cache`: HOST or HOST:PORT; `index`: a mount of the settings, or of the cache's."""

    settings: Settings
    json: bool = False
    cache: str | None = None
    index: str | None = None


def build(arguments: Sequence[str], flags: BuildFlags, environ: Mapping[str, str], cwd: Path) -> int:
    """Build with these arguments of `docker build`. Gives the exit status; 1: no build could be run; 2: wrong usage."""

    def work() -> int:
        place = cache_place(flags, environ)
        options = build_options.read(arguments, cwd)
        caller = BuildCaller(environ, cwd, output.say, sys.stderr.fileno() if flags.json else None)
        report = run_build(options, place, caller)
        if flags.json:
            sys.stdout.write(output.json_text(as_json(report)))
        elif not options.quiet and not report.end.interrupted:
            show(report, output.console(sys.stderr))
        return report.end.status

    return ended(work, "the secret files")


def cache_place(flags: BuildFlags, environ: Mapping[str, str], further: Settings | None = None) -> CachePlace:
    """Where the cache is looked for. It is asked for a mount that the settings do not have. Raises WrongUsage.

    `further`: settings that are known to be the cache's.
    """
    settings = flags.settings
    indexes = _indexes(settings) | (_indexes(further) if further else {})
    mount = flags.index or ("pypi" if "pypi" in indexes else next(iter(indexes)))
    named = _named(flags.cache, settings.port)
    place = CachePlace(settings.host, settings.port, mount, indexes.get(mount, GROUP_INDEX), named)
    if mount in indexes:
        return place
    there = cache_indexes.at_place(place, environ)
    if there is None and named is not None:
        return place  # builds may reach what this machine does not
    indexes |= there or {}
    if mount not in indexes:
        raise WrongUsage(f"--index {mount}: there is no such mount; there are {', '.join(sorted(indexes))}")
    return replace(place, index=indexes[mount])


def _indexes(settings: Settings) -> dict[str, str]:
    """The path of the index below each mount and group."""
    sites = {site.mount: site.index for site in settings.sites()}
    return sites | {group.mount: GROUP_INDEX for group in settings.index_groups()}


def _named(cache: str | None, port: int) -> Candidate | None:
    if cache is None:
        return None
    host, colon, number = cache.rpartition(":")
    try:
        place = Candidate(host if colon else cache, _port(number) if colon else port)
        read_host(place.host, rooted=True)
    except (ValueError, BadTarget):
        raise WrongUsage(f"--cache {cache}: write HOST or HOST:PORT, as in 10.0.0.7:3142") from None
    return place


def _port(text: str) -> int:
    """A port that can be connected to. Raises ValueError."""
    if not 0 < int(text) <= LAST_PORT:
        raise ValueError(text)
    return int(text)


def as_json(report: BuildReport) -> dict[str, Any]:
    """The report, as `--json` prints it. Sizes are bytes; what is not known is null."""
    total = report.savings.total if report.savings else None
    return {
        "status": report.end.status,
        "seconds": round(report.seconds, 3),
        "tags": list(report.tags),
        "builder": report.builder,
        "cache": report.cache,
        "reached_at": report.reached_at,
        "from_cache": total.from_cache if total else None,
        "from_upstream": total.from_upstream if total else None,
        "saved": total.saved if total else None,
        "upstreams": {
            name: {"from_cache": one.from_cache, "from_upstream": one.from_upstream, "saved": one.saved}
            for name, one in (report.savings.upstreams if report.savings else {}).items()
        },
        "notes": list(report.notes),
    }


def show(report: BuildReport, where: Console) -> None:
    """Print the table of a build, and the line of its end."""
    where.print()
    if report.savings is not None:
        columns = ("from cache", "right"), ("from upstream", "right"), ("saved", "right")
        made = output.table("this build", "upstream", *columns)  # type: ignore[arg-type]
        for name, one in [*report.savings.upstreams.items(), ("all", report.savings.total)]:
            output.add_row(made, name, *map(output.size, (one.from_cache, one.from_upstream, one.saved)))
        where.print(made)
    how = "done" if not report.end.status else f"failed with status {report.end.status}"
    tags = f": {', '.join(report.tags)}" if report.tags and not report.end.status else ""
    output.lines(where.file, [f"{how} in {report.seconds:.1f} s{tags}"])
