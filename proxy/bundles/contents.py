"""The contents of a bundle: entries of a store → members, with the pages that are made for people.

Entries come one after another, and what they come to is in a `PackingList`, so memory does not grow with them. Called
by those who export.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from operator import itemgetter
from typing import Self

from proxy.bundles import layout, static_pages
from proxy.bundles.member_table import usable
from proxy.bundles.packing_list import PackedMember, PackingList
from proxy.bundles.static_pages import ListedFile
from proxy.model import Entry

_LISTED = (
    "CREATE TABLE listed (number INTEGER PRIMARY KEY, project TEXT, name TEXT, sha256 TEXT, mount TEXT, member INT,"
    " python TEXT, yanked TEXT, told INT DEFAULT 0, UNIQUE (project, name, sha256))"
)
_FILES = (
    "SELECT listed.project, listed.name, member.path, member.sha256, python, yanked, beside.sha256"
    " FROM listed JOIN member ON member.number = listed.member"
    " LEFT JOIN member AS beside ON beside.place = member.place AND beside.path = member.path || '.metadata'"
    " ORDER BY listed.project, listed.number"
)
_BY_NAME, _BY_DIGEST = 1, 2  # how sure it is that a remark of a page means a file


@dataclass(frozen=True, slots=True)
class Distribution:
    """How pages show the distribution of an entry. `project`: its normalised name."""

    project: str
    filename: str
    requires_python: str | None = None
    yanked: bool | str = False


class Contents:
    """Entries are added, then what pages say of files, then `finish`; then members can be had. Close it."""

    def __init__(self) -> None:
        self.list = PackingList()
        self.list.database.execute(_LISTED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the temporary files. May be called twice."""
        self.list.close()

    def add(self, entry: Entry, shown: Distribution | None = None) -> None:
        """An entry; `shown`: as pages list it. Raises StoreBroken."""
        with usable():
            number = self.list.add(entry)
            if shown is not None:
                mount, sha256 = entry.key.split(":", 2)[1], entry.digest.value
                row = shown.project, shown.filename, sha256, mount, number, shown.requires_python, _text(shown.yanked)
                self.list.database.execute(
                    "INSERT OR IGNORE INTO listed (project, name, sha256, mount, member, python, yanked)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )

    def add_aside(self, entry: Entry) -> None:
        """An entry that leaves its path to another one. Raises StoreBroken."""
        with usable():
            self.list.add_aside(entry)

    def add_name(self, entry: Entry) -> None:
        """A second name of a body, which counts only if the body is there. Raises StoreBroken."""
        with usable():
            self.list.add_name(entry)

    def remark(self, mount: str, remarks: Iterable[tuple[str, str, str | None, bool | str]]) -> None:
        """What a page of a mount says of files: name, sha256 or nothing, Pythons, and whether it was yanked."""
        with usable():
            self.list.database.execute("CREATE INDEX IF NOT EXISTS listed_name ON listed (mount, name)")
            self.list.database.executemany(
                "UPDATE listed SET python = ?, yanked = ?, told = ? WHERE mount = ? AND name = ?"
                " AND CASE ? WHEN '' THEN told < 2 ELSE sha256 = ? END",
                (
                    (python, _text(yanked), _BY_DIGEST if sha256 else _BY_NAME, mount, name, sha256, sha256)
                    for name, sha256, python, yanked in remarks
                ),
            )

    def finish(self, before: Iterable[tuple[str, str]] = ()) -> None:
        """All is there: the pages are made. `before`: path and sha256 of what an earlier bundle has (a delta)."""
        packed = self.list
        moved = packed.settle()
        with usable():
            packed.database.executemany(
                "UPDATE listed SET member = ? WHERE member = ?", ((new, old) for old, new in moved.items())
            )
            projects = [project for (project,) in packed.database.execute("SELECT DISTINCT project FROM listed")]
        for project, files in groupby(self._files(), itemgetter(0)):
            packed.make(layout.page_of(project), static_pages.project_page(project, (file for _, file in files)))
        packed.make(f"{layout.SIMPLE}/index.html", static_pages.project_list(sorted(projects)))
        packed.make(layout.FIND_LINKS, static_pages.all_files(file for _, file in self._files()))
        packed.leave_out(before)
        for name in (layout.APPLY, layout.README):
            packed.make(name, [resources.files(__package__).joinpath(name).read_bytes()])
        packed.make(layout.SUMS, self._sums())

    def _files(self) -> Iterator[tuple[str, ListedFile]]:
        """What pages list, by project."""
        with usable():
            rows = self.list.database.execute(_FILES)
            while piece := rows.fetchmany(500):
                for project, name, path, sha256, python, yanked, metadata in piece:
                    reason = False if yanked is None else yanked or True
                    yield project, ListedFile(name, path, sha256, python, reason, metadata)

    def _sums(self) -> Iterator[bytes]:
        """What `sha256sum -c` reads; of what is in this tar."""
        return (f"{one.sha256}  {one.path}\n".encode() for one in self.members() if not one.elsewhere)

    def members(self) -> Iterator[PackedMember]:
        """All members, in their order."""
        return self.list.members()

    def members_in(self, folder: str) -> Iterator[PackedMember]:
        """The members in one of the folders at the top."""
        return self.list.members(folder)


def _text(yanked: bool | str) -> str | None:  # noqa: FBT001 - PEP 592 has both
    """As a column has it: nothing where it is not yanked, and empty without a reason."""
    return None if yanked is False else "" if yanked is True else yanked
