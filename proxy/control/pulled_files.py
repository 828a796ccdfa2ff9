"""Who got which files, out of the history, and whether they are still stored.

It blocks: `caretaker` calls it in a thread.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from proxy.control.protocol import ControlError, PulledFile, PulledFiles, PullWish
from proxy.control.selection import StoredBody
from proxy.history import Pull, PullQuestion, pulls

_SHA256 = re.compile(r"(?:sha256[:=])?([0-9a-f]{64})")


def pulled(folder: Path, stored: Sequence[StoredBody], wish: PullWish) -> PulledFiles:
    """Whose requests the history in `folder` has of what is looked for. Raises ControlError: it cannot be read."""
    digest = _SHA256.fullmatch(wish.wanted.lower())
    question = PullQuestion(
        wish.wanted if digest is None else _name(stored, digest[1]),
        wish.version,
        wish.since,
        wish.client,
        wish.most + 1,
        None if digest is None else digest[1],
    )
    try:
        found = pulls(folder, question)
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise ControlError(
                f"{wish.wanted} means more requests than can be added up in time. Name a project, a version, or a "
                "file; give a client, or a time; or ask for fewer rows."
            ) from error
        raise ControlError(f"The history in {folder} cannot be read ({error}).") from error
    kept = {
        (held.index, held.name, sha256) for body in stored for held in body.holdings for sha256 in ("", body.sha256)
    }
    return PulledFiles(tuple(_row(one, kept) for one in found[: wish.most]), len(found) > wish.most)


def _name(stored: Sequence[StoredBody], sha256: str) -> str:
    """What the file with this digest is called, if it is stored; else nothing."""
    return next((held.name for body in stored if body.sha256 == sha256 for held in body.holdings), "")


def _row(one: Pull, kept: set[tuple[str, str, str]]) -> PulledFile:
    return PulledFile(
        index=one.upstream,
        name=one.name,
        client=one.client,
        requests=one.requests,
        size=one.size,
        first=one.first,
        last=one.last,
        kept=(one.upstream, one.name, one.sha256) in kept,
        project=one.project,
        version=one.version,
        sha256=one.sha256 or None,
        client_name=one.client_name or None,
        client_version=one.client_version or None,
        build=one.build or None,
    )
