"""`pullthrough verify`: hash every stored file, and remove what is not what was stored, to be fetched again.

Or hash every file of a bundle, which needs no cache. Called by `cli`. Damaged files are listed on standard output as
they are found; `--json` prints a line for each step. The exit status is 0 also where something was damaged, since it is
mended then; 1 where files could not be read or deleted, or a bundle is damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from proxy.builds.store_access import DataPlace, reach
from proxy.bundles import verifying
from proxy.bundles.verifying import VerifiedBundle
from proxy.commands import output
from proxy.commands.endings import DONE, FAILED, ended
from proxy.control.protocol import DamagedFile, Message, NamedFile, Progress, VerifyEnd


@dataclass(frozen=True, slots=True)
class VerifyFlags:
    """The verb's own options."""

    place: DataPlace
    json: bool = False


def verify(flags: VerifyFlags, environ: Mapping[str, str]) -> int:
    """Verify everything that is stored. Gives the exit status."""

    def work() -> int:
        with closing(reach(flags.place, environ)) as store:
            end = (_printed if flags.json else _followed)(store.verify())
        if not flags.json:
            output.lines(sys.stdout, summary(end))
        return FAILED if end.unknown or end.undeleted else DONE

    return ended(work)


def verify_bundle(bundle: str, *, json: bool) -> int:
    """Verify a bundle. Gives the exit status: 1 too where it is damaged; the message names the member."""

    def work() -> int:
        with output.progress(sys.stderr, "verifying") as advance:
            found = verifying.verify(Path(bundle), advance)
        if json:
            sys.stdout.write(output.json_text(found))
        else:
            output.lines(sys.stdout, bundle_summary(found))
        return DONE

    return ended(work, "the bundle")


def bundle_summary(found: VerifiedBundle) -> list[str]:
    """That a bundle is right, in a few lines."""
    texts = [f"Verified {output.number(found.files, 'file')}, {output.size(found.size)}: the bundle is what it says."]
    if found.elsewhere:
        texts.append(f"It follows another one, which has {output.number(found.elsewhere, 'file')} of it.")
    return texts


def _printed(messages: Iterable[Message]) -> VerifyEnd:
    end = VerifyEnd(0, 0, 0, 0, 0, 0)
    for message in messages:
        sys.stdout.write(output.json_text(message, line=True))
        sys.stdout.flush()
        end = message if isinstance(message, VerifyEnd) else end
    return end


def _followed(messages: Iterable[Message]) -> VerifyEnd:
    end = VerifyEnd(0, 0, 0, 0, 0, 0)
    with output.progress(sys.stderr, "verifying") as advance:
        for message in messages:
            match message:
                case Progress(done=done, of=of):
                    advance(done, of)
                case DamagedFile(file=file):
                    output.lines(sys.stdout, [damaged(file)])
                case VerifyEnd():
                    end = message
                case _:
                    pass
    return end


def damaged(file: NamedFile) -> str:
    """The line of a file that was not what was stored."""
    return f"damaged: {file.name} ({file.index}, {output.size(file.size)})"


def summary(end: VerifyEnd) -> list[str]:
    """How it ended, in a few lines."""
    texts = [f"Verified {output.number(end.files, 'file')}, {output.size(end.size)}."]
    if removed := end.damaged - end.undeleted:
        texts.append(f"Removed {output.number(removed, 'damaged file')}: fetched again when asked for.")
    if end.undeleted:
        texts.append(f"Damaged, and given to nobody: {output.undeleted(end.undeleted, end.reason)}")
    if end.lost:
        texts.append(f"Removed {output.number(end.lost, 'row')} of files that are gone.")
    if end.found:
        texts.append(f"Took in {output.number(end.found, 'file')} that the index did not have.")
    if end.unknown:
        texts.append(f"{output.number(end.unknown, 'file')} could not be read now: the log of the cache says why.")
    if not (end.damaged or end.lost or end.found or end.unknown):
        texts.append("Everything is what was stored.")
    return texts
