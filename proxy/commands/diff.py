"""`pullthrough diff`: what two bundles do not have in common, or what the cache lacks of a lock file.

Called by `cli`. A line for each file goes to standard output: `-` in the first only, `+` in the second only, `~` with
other bytes. The exit status is 3 if they differ.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.builds.store_access import DataPlace
from proxy.bundles import manifest_file
from proxy.bundles.comparison import Difference, compare
from proxy.commands import output
from proxy.commands.endings import DONE, ended

DIFFERENT = 3


@dataclass(frozen=True, slots=True)
class DiffFlags:
    """The verb's own arguments."""

    first: str
    second: str | None
    json: bool = False


def diff(flags: DiffFlags, place: Callable[[], DataPlace], environ: Mapping[str, str]) -> int:
    """Compare two bundles, or a lock file with the cache of a `place`. Gives the exit status."""

    def work() -> int:
        if flags.second is None:
            return _cached(flags, place(), environ)
        found = compare(manifest_file.read(Path(flags.first)), manifest_file.read(Path(flags.second)))
        if flags.json:
            sys.stdout.write(output.json_text(found))
        else:
            output.lines(sys.stdout, list(lines(found)))
        return DONE if found.none else DIFFERENT

    return ended(work, "the bundle")


def _cached(flags: DiffFlags, place: DataPlace, environ: Mapping[str, str]) -> int:
    from proxy.commands.own_cache import answering  # noqa: PLC0415 - late: bundles need none of it
    from proxy.commands.warm import WarmFlags, absences, brought, exclusions  # noqa: PLC0415 - likewise

    with answering(place, environ) as settings:
        report = brought(WarmFlags((flags.first,), check=True, tools=False), settings, environ)
    if flags.json:
        sys.stdout.write(output.json_text(report))
    else:
        texts = [*absences(report), *exclusions(report), f"In both: {output.number(report.here, 'file')}."]
        output.lines(sys.stdout, texts)
    return DONE if report.complete else DIFFERENT


def lines(found: Difference) -> Iterator[str]:
    """What differs, and a sum."""
    for mark, members in (("-", found.only_first), ("+", found.only_second)):
        for member in members:
            yield f"{mark} {member.path} ({output.size(member.size)})"
    for before, after in found.changed:
        yield f"~ {after.path} ({output.size(before.size)}, {output.size(after.size)})"
    if found.none:
        yield f"Both have the same {output.number(found.same, 'file')}."
    else:
        yield f"In both: {output.number(found.same, 'file')}."
