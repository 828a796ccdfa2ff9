"""`pullthrough clean`: remove what is stored, of a running cache too; with `--docker`, BuildKit's cache mounts.

Called by `cli`. It shows what would go and how much that is, and asks. `--json` alone shows it and removes nothing;
with `--yes` it prints a line of JSON for each step. The exit status is 1 where files could not be deleted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from proxy.builds import docker_caches
from proxy.builds.docker_caches import DockerCaches
from proxy.builds.store_access import DataPlace, reach
from proxy.commands import output
from proxy.commands.endings import DONE, FAILED, WRONG_USAGE, ended
from proxy.config.field_types import Duration, Size
from proxy.control.protocol import CleanEnd, CleanPlan, Message, Progress, StoreControl, Wish
from proxy.errors import WrongUsage

T = TypeVar("T")

_NOBODY = "nobody is here to ask. Add --yes to remove it, or --json to see it as JSON."
_NOTHING = "Nothing to remove."


@dataclass(frozen=True, slots=True)
class CleanFlags:
    """The verb's own options, as they were written."""

    place: DataPlace
    index: str | None = None
    project: str | None = None
    version: str | None = None
    older_than: str | None = None
    larger_than: str | None = None
    down_to: str | None = None
    everything: bool = False
    docker: bool = False
    yes: bool = False
    json: bool = False


def clean(flags: CleanFlags, environ: Mapping[str, str]) -> int:
    """Remove what the flags mean. Gives the exit status: 1 too where the answer is no, 2 where nobody can be asked."""

    def work() -> int:
        wanted = wish(flags)
        if wanted is None:
            return _clean_docker(flags, environ)
        with closing(reach(flags.place, environ)) as store:
            status = _as_json(flags, store, wanted) if flags.json else _clean_store(flags, store, wanted)
        return status or (_clean_docker(flags, environ) if flags.docker else DONE)

    return ended(work)


def wish(flags: CleanFlags) -> Wish | None:
    """What the flags mean; None if Docker alone is meant. Raises WrongUsage."""
    if flags.json and flags.docker:
        raise WrongUsage("--json and --docker: one at a time; `stats --docker --json` shows what Docker takes")
    wanted = Wish(
        index=flags.index,
        project=flags.project,
        version=flags.version,
        older_than=_read("--older-than", flags.older_than, TypeAdapter[float](Duration)),
        larger_than=_size("--larger-than", flags.larger_than),
        down_to=_size("--down-to", flags.down_to),
        everything=flags.everything,
    )
    if flags.docker and wanted == Wish():
        return None
    if (wrong := wanted.wrong()) is not None:
        options = "--index, --project, --older-than, --larger-than, --down-to, --all or --docker"
        raise WrongUsage(f"{wrong}: {options}" if wanted == Wish() else wrong)
    return wanted


def _size(option: str, text: str | None) -> int | None:
    # The library's own kind of number cannot be sent to a running cache.
    size = _read(option, text, TypeAdapter(Size))
    return None if size is None else int(size)


def _read(option: str, text: str | None, kind: TypeAdapter[T]) -> T | None:
    if text is None:
        return None
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise WrongUsage(f"{option} {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def _as_json(flags: CleanFlags, store: StoreControl, wanted: Wish) -> int:
    """What would go, and nothing more; with `yes` it goes, with a line for each step."""
    if not flags.yes:
        sys.stdout.write(output.json_text(store.plan(wanted)))
        return DONE
    status = DONE
    for message in store.clean(wanted):
        sys.stdout.write(output.json_text(message, line=True))
        sys.stdout.flush()
        if isinstance(message, CleanEnd) and message.undeleted:
            status = FAILED
    return status


def _clean_store(flags: CleanFlags, store: StoreControl, wanted: Wish) -> int:
    where = output.console()
    with output.waiting(output.console(sys.stderr), "looking at what is stored"):
        plan = store.plan(wanted)
    if plan.empty:
        output.lines(where.file, [_NOTHING])
        return DONE
    show(plan, where)
    if (status := _asked(flags, where, f"Remove {amount(plan)}?")) is not None:
        return status
    end = _removed(store.clean(wanted))
    output.lines(where.file, [removed(end)])
    if end.undeleted:
        output.say(output.undeleted(end.undeleted, end.reason))
        return FAILED
    return DONE


def _asked(flags: CleanFlags, where: Console, question: str) -> int | None:
    """None if it may be done; else the exit status."""
    if flags.yes:
        return None
    answer = output.confirmed(question, where)
    if answer is None:
        output.say(_NOBODY)
        return WRONG_USAGE
    if not answer:
        output.lines(where.file, ["Nothing was removed."])
        return FAILED
    return None


def _removed(messages: Iterable[Message]) -> CleanEnd:
    end = CleanEnd(0, 0, 0)
    with output.progress(sys.stderr, "removing") as advance:
        for message in messages:
            if isinstance(message, Progress):
                advance(message.done, message.of)
            elif isinstance(message, CleanEnd):
                end = message
    return end


def show(plan: CleanPlan, where: Console) -> None:
    """Print what would go: by index and kind, and the largest files."""
    if plan.amounts:
        table = output.table("", "index", "kind", ("files", "right"), ("size", "right"))
        for row in plan.amounts:
            output.add_row(table, row.index, row.kind, f"{row.files:,}", output.size(row.size))
        where.print(table)
    if plan.largest:
        table = output.table("the largest of them", ("size", "right"), "index", "name")
        for one in plan.largest:
            output.add_row(table, output.size(one.size), one.index, one.name)
        where.print()
        where.print(table)
    if plan.amounts or plan.largest:
        where.print()
    texts = []
    if plan.addresses:
        addresses = output.number(plan.addresses, "address", "addresses")
        texts.append(f"{addresses} of files that have others, too: these files stay")
    if plan.broken_off:
        texts.append(f"downloads that broke off: {output.size(plan.broken_off)}")
    output.lines(where.file, [*texts, f"{output.size(plan.left)} would be left"])


def amount(plan: CleanPlan) -> str:
    """What goes, in a few words."""
    if not plan.files and plan.addresses:
        return output.number(plan.addresses, "address", "addresses")
    return f"{output.number(plan.files, 'file')}, {output.size(plan.size + plan.broken_off)}"


def removed(end: CleanEnd) -> str:
    """What went, in a line."""
    others = f", and {output.number(end.addresses, 'address', 'addresses')} of others" if end.addresses else ""
    return f"Removed {output.number(end.files, 'file')}, {output.size(end.size)}{others}."


def _clean_docker(flags: CleanFlags, environ: Mapping[str, str]) -> int:
    """Show BuildKit's cache mounts, and remove those that no build uses."""
    where = output.console()
    with output.waiting(output.console(sys.stderr), "Docker counts its caches"):
        found = docker_caches.look(environ)
    mounts = [mount for one in found.caches for mount in one.removable]
    if mounts:
        show_docker(found, where)
    output.lines(where.file, [f"not looked at: {trouble}" for trouble in found.troubles])
    if not mounts:
        output.lines(where.file, ["Docker has no cache mounts that could be removed."])
        return FAILED if found.troubles else DONE
    count, total = output.number(len(mounts), "cache mount"), output.size(sum(mount.size for mount in mounts))
    if (status := _asked(flags, where, f"Remove {count} of Docker, {total}?")) is not None:
        return status
    names = [one.builder for one in found.caches if one.removable]
    freed, troubles = docker_caches.prune(environ, names)
    output.lines(where.file, [f"Removed cache mounts of Docker, {output.size(freed)}."])
    for trouble in troubles:
        output.say(trouble)
    return FAILED if troubles or found.troubles else DONE


def show_docker(found: DockerCaches, where: Console) -> None:
    """Print the cache mounts that would go."""
    table = output.table("cache mounts of Docker", ("size", "right"), "builder", "id")
    for one in found.caches:
        for mount in one.removable:
            output.add_row(table, output.size(mount.size), one.builder, mount.name)
    where.print(table)
    where.print()
