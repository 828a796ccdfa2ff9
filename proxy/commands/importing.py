"""`pullthrough import`: take in bundles, or what other programs' folders have, also while the cache runs.

Called by `cli`. What came is said on standard output, `--json` prints a line for each path. The exit status is 1 where
a bundle follows another one whose files are not here, and where something in a folder cannot be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from proxy.builds.store_access import DataPlace, reach
from proxy.bundles import layout
from proxy.bundles.foreign_files import foreign_files, tar_of
from proxy.bundles.importing import Imported, ImportWish
from proxy.bundles.manifest import BadBundle
from proxy.bundles.tar_file import TarFile
from proxy.commands import output
from proxy.commands.endings import DONE, FAILED, ended
from proxy.control.protocol import ControlError
from proxy.errors import WrongUsage

_PIECE = 1 << 20  # bytes that are read at once
_UNPACKED = (
    "This folder is a bundle that was unpacked. Its pages and lists were not taken in: they come with the bundle itself"
    ", from before it was unpacked."
)


@dataclass(frozen=True, slots=True)
class ImportFlags:
    """The verb's own arguments. `files`: a path is a tar of files without a manifest."""

    place: DataPlace
    paths: tuple[str, ...]
    replace_newer: bool = False
    files: bool = False
    json: bool = False


def take_in(flags: ImportFlags, environ: Mapping[str, str]) -> int:
    """Take in what is at each path, one after another. Gives the exit status."""

    def work() -> int:
        status = DONE
        for path in flags.paths:
            if path != "-" and not os.path.lexists(path):
                raise WrongUsage(f"{path}: there is no such file or folder")
        for path in flags.paths:
            unread: list[OSError] = []
            try:
                done = _taken(path, flags, environ, unread)
            except (BadBundle, ControlError) as error:  # what a running cache says of a bundle is the latter
                raise BadBundle(f"{'standard input' if path == '-' else path}: {error}") from error
            if flags.json:
                sys.stdout.write(output.json_text(done, line=True))
                sys.stdout.flush()
            else:
                texts = summary(path, done, _strange(done, flags), loose=_is_loose(path, flags))
                output.lines(sys.stdout, [*texts, *([_UNPACKED] if Path(path, layout.MANIFEST).is_file() else [])])
            output.lines(sys.stderr, [f"pullthrough: left out: {_why(error)}" for error in unread])
            status = FAILED if done.missing or unread else status
        return status

    return ended(work, "standard input")


def _taken(path: str, flags: ImportFlags, environ: Mapping[str, str], unread: list[OSError]) -> Imported:
    """`unread` gets what could not be read in a folder."""
    wish = ImportWish(flags.replace_newer, _is_loose(path, flags))
    with (
        output.progress(sys.stderr, "importing") as advance,
        closing(reach(flags.place, environ, make=True)) as store,
    ):
        if path == "-" or not Path(path).is_file():
            return store.take_in(_pieces(path, advance, unread), wish)
        with _opened(path) as file:
            return store.take_in(TarFile(path, file.fileno(), advance), wish)


def _opened(path: str) -> IO[bytes]:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}.") from error


def _strange(done: Imported, flags: ImportFlags) -> list[str]:
    """The indexes of a bundle that the settings do not name."""
    settings = flags.place.settings
    return [] if settings is None else sorted({*done.indexes} - {site.mount for site in settings.sites()})


def _is_loose(path: str, flags: ImportFlags) -> bool:
    return flags.files or Path(path).is_dir()


def _pieces(path: str, advance: Callable[[int, int], None], unread: list[OSError]) -> Iterator[bytes]:
    """A tar that is no file, or of what is in a folder. Raises WrongUsage where it cannot be read."""
    try:
        if path == "-":
            yield from _counted(_read(sys.stdin.buffer), 0, advance)
        elif Path(path).is_dir():
            found = foreign_files(Path(path))
            if not found.files and found.unread:
                raise WrongUsage(f"{path}: nothing in this folder can be read: {_why(found.unread[0])}")
            if not found.files:
                raise WrongUsage(f"{path}: there is no archive in this folder, such as a wheel or a deb")
            unread += found.unread
            yield from _counted(tar_of(found.files), sum(file.size for file in found.files), advance)
        else:  # a pipe with a name
            with _opened(path) as file:
                yield from _counted(_read(file), 0, advance)
    except OSError as error:
        raise WrongUsage(f"{error.filename or path}: {error.strerror or type(error).__name__}.") from error


def _why(error: OSError) -> str:
    """An error with the path that it is of."""
    return f"{os.fsencode(error.filename).decode(errors='replace')}: {error.strerror}"


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _counted(pieces: Iterable[bytes], of: int, advance: Callable[[int, int], None]) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        advance(done, max(of, done))


def summary(path: str, done: Imported, strange: Sequence[str] = (), *, loose: bool = False) -> list[str]:
    """What came of one path, in a few lines. `strange`: the indexes of it that the settings do not name."""
    here = f"; {output.number(done.here, 'file')} {'was' if done.here == 1 else 'were'} here" if done.here else ""
    texts = [f"{path}: took in {output.number(done.files, 'file')}, {output.size(done.size)}{here}."]
    if loose and done.files:
        texts.append("They are used once a page or an index of an archive gives a file their sha256.")
    if done.newer:
        texts.append(
            f"{output.number(done.newer, 'address', 'addresses')} stayed as what is here, which upstream confirmed "
            "later: --replace-newer replaces that, too."
        )
    if strange:
        texts.append(
            f"The settings name no upstream {', '.join(strange)}: what came of that is served when they do "
            "([[upstream]] with the same mount)."
        )
    if done.unknown:
        texts.append(
            f"{output.number(done.unknown, 'address', 'addresses')} left out: of a later version, or no index page."
        )
    if done.missing:
        texts.append(
            f"Not here, and in the bundle that this one follows: {output.number(done.missing, 'file')}. "
            "Import that one first, then this one again."
        )
        texts += [f"missing: {name}" for name in done.named]
    return texts
