"""`pullthrough export`: pack what the cache holds, or what a build needs of it, into one plain tar.

Called by `cli`. What a build needs is found as `warm --check` finds it, also where no cache runs. The bundle appears
under its name when it is whole; `-` writes it to standard output. A line on standard error says what is in it. The exit
status is 3 if the cache does not have all that the build needs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from pydantic import TypeAdapter, ValidationError

from proxy import operating_system
from proxy.builds.store_access import DataPlace, idle_folder, reach
from proxy.bundles import manifest_file
from proxy.bundles.manifest import BundleMember
from proxy.commands import output
from proxy.commands.endings import DONE, ended
from proxy.commands.syncing import synced_behind
from proxy.config.field_types import Duration
from proxy.control.export_wish import MOST, BundlingStore, ExportWish, LockedFile
from proxy.errors import WrongUsage

if TYPE_CHECKING:
    from proxy.commands.warm import WarmFlags

INCOMPLETE = 3
_STREAM = "-"


@dataclass(frozen=True, slots=True)
class ExportFlags:
    """The verb's own options, as they were written. `build`: what it is for, as `warm` takes it.

    `of_build`: options that were given and say how a build is. `wish`: JSON on standard input says what is meant.
    """

    place: DataPlace
    bundle: str
    indexes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    newer_than: str | None = None
    since: tuple[str, ...] = ()
    build: WarmFlags | None = None
    wish: bool = False
    of_build: tuple[str, ...] = ()


def export(flags: ExportFlags, environ: Mapping[str, str]) -> int:
    """Write the bundle that the flags mean. Gives the exit status."""

    def work() -> int:
        wanted = wish(flags)
        if flags.build is not None:
            files, absent = _needed(flags.place, flags.build, environ)
            if absent:
                output.lines(sys.stdout, absent)
                output.say("not all that the build needs is here. Fetch it with: pullthrough warm")
                return INCOMPLETE
            wanted = msgspec.structs.replace(wanted, indexes=(), files=files)
        with closing(reach(flags.place, environ)) as store:
            if flags.bundle == _STREAM:
                _stream(store, wanted)
            else:
                written = _file(store, wanted, Path(flags.bundle))
                output.say(summary(flags.bundle, manifest_file.members(written)))
        return DONE

    return ended(work, "the bundle")


def wish(flags: ExportFlags) -> ExportWish:
    """What the flags mean. Raises WrongUsage, BadBundle, OSError."""
    if flags.wish:
        try:
            return msgspec.json.decode(sys.stdin.buffer.read(MOST), type=ExportWish)
        except msgspec.DecodeError as error:
            raise WrongUsage(f"--wish: {error}") from None
    if flags.of_build and flags.build is None:
        raise WrongUsage(f"{' and '.join(flags.of_build)}: only with --for or --apt, which say what a build needs")
    before = {(member.path, member.sha256) for name in flags.since for member in manifest_file.members(Path(name))}
    wanted = ExportWish(flags.indexes, flags.projects, _age(flags.newer_than), None, tuple(sorted(before)))
    if flags.build is not None and (flags.projects or flags.newer_than is not None or len(flags.indexes) > 1):
        raise WrongUsage("--for says which files: no --project and no --newer-than besides, and one --index at most")
    return wanted


def _needed(place: DataPlace, build: WarmFlags, environ: Mapping[str, str]) -> tuple[tuple[LockedFile, ...], list[str]]:
    """Which files a build needs, and what of that the cache lacks: none is fetched.

    The cache that runs is asked; where none runs on the data folder, one is started for as long.
    """
    from proxy.commands.warm import absences, brought  # noqa: PLC0415 - late: other exports do without its libraries

    if place.settings is None:
        raise WrongUsage("--for asks the cache, which its settings name")
    folder = idle_folder(place, environ)
    with contextlib.ExitStack() as stack:
        settings = place.settings
        if folder is not None:
            from proxy.commands.own_cache import own_cache  # noqa: PLC0415 - late: it loads the server

            settings = stack.enter_context(own_cache(settings, folder, environ))
        report = brought(replace(build, check=True), settings, environ)
    for one in report.left_out:
        output.say(f"left out: {one.what}: {one.why}")
    return tuple(LockedFile(one.filename, dict(one.hashes)) for one in report.files), list(absences(report))


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(TypeAdapter[float](Duration).validate_python(text))
    except ValidationError as error:
        raise WrongUsage(f"--newer-than {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def _stream(store: BundlingStore, wanted: ExportWish) -> None:
    if sys.stdout.isatty():
        raise WrongUsage("a bundle is no text for a terminal: send it to a file or to another program")
    store.export(wanted, sys.stdout.fileno(), lambda _done, _of: None)


def _file(store: BundlingStore, wanted: ExportWish, path: Path) -> Path:
    """Write beside the file, and put it in its place when it is whole. Gives where that is: a link leads elsewhere."""
    if path.exists() and not path.is_file():
        raise WrongUsage(f"{path} is there, and is no file; - is standard output")
    path = Path(os.path.realpath(path))  # such as of /dev/stdout, which has to stay what it is
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        try:
            with output.progress(sys.stderr, "exporting") as advance, synced_behind(descriptor) as disk:

                def advanced(done: int, of: int) -> None:
                    disk.wrote(done)
                    advance(done, of)

                store.export(wanted, descriptor, advanced)
            os.fchmod(descriptor, 0o666 & ~_mask())
            operating_system.sync_data(descriptor)  # it is about to be carried away
        finally:
            os.close(descriptor)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return path


def _mask() -> int:
    """What new files of this process are not allowed."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def summary(name: str, members: Iterable[BundleMember]) -> str:
    """What is in a bundle, in a line."""
    files = size = gone = 0
    for member in members:
        if member.entries:
            gone += member.elsewhere
            files += not member.elsewhere
            size += 0 if member.elsewhere else member.size
    text = f"{name} has {output.number(files, 'file')}, {output.size(size)}."
    if gone:
        text += f" The bundle before it has {gone:,} more."
    return text
