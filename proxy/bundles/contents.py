"""What is in a bundle, and in which order: entries of a store → members, with what is made for people. Pure.

Two entries with the same body and path are one member. Where another body has the path already, or a path would be a
file and a folder at once, the body is named by its digest. Called by those who export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources

from proxy.bundles import layout, static_pages
from proxy.bundles.manifest import BundleMember
from proxy.bundles.static_pages import ListedFile
from proxy.model import Entry

_ORDER = (layout.SIMPLE, layout.PAGES, layout.FILES, layout.APT, layout.OTHER)  # of folders, in a bundle


@dataclass(frozen=True, slots=True)
class Distribution:
    """How pages show the distribution of an entry. `project`: its normalised name."""

    project: str
    filename: str
    requires_python: str | None = None
    yanked: bool | str = False


@dataclass(frozen=True, slots=True)
class Contents:
    """The members of a bundle in their order, and the bodies of those that were made for it, by path."""

    members: tuple[BundleMember, ...]
    made: Mapping[str, bytes]


def arrange(
    entries: Iterable[Entry],
    distributions: Mapping[str, Distribution],
    before: Collection[tuple[str, str]] = frozenset(),
) -> Contents:
    """The bundle of these entries. `distributions`: by key, those that pages list.

    `before`: path and sha256 of what an earlier bundle has: that is left out (a delta).
    """
    stored = _stored(entries)
    made = dict(_pages(stored, distributions))
    texts = {name: resources.files(__package__).joinpath(name).read_bytes() for name in (layout.APPLY, layout.README)}
    members = [_made(path, made[path]) for path in sorted(made)] + stored
    members = [
        BundleMember(one.path, one.size, one.sha256, one.entries, elsewhere=(one.path, one.sha256) in before)
        for one in sorted(members, key=_place)
    ]
    front = [_made(path, body) for path, body in texts.items()]
    sums = _sums([*front, *members])
    made |= {**texts, layout.SUMS: sums}
    return Contents((_made(layout.SUMS, sums), *front, *members), made)


def _made(path: str, body: bytes) -> BundleMember:
    return BundleMember(path, len(body), hashlib.sha256(body).hexdigest())


def _place(member: BundleMember) -> tuple[int, str]:
    folder = member.path.partition("/")[0]
    return _ORDER.index(folder) if folder in _ORDER else -1, member.path


def _sums(members: Iterable[BundleMember]) -> bytes:
    """What `sha256sum -c` reads; of what is in this tar."""
    return "".join(f"{one.sha256}  {one.path}\n" for one in members if not one.elsewhere).encode()


@dataclass(slots=True)
class _Tree:
    """Which paths are taken, and by which body."""

    files: dict[str, list[Entry]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    by_body: dict[str, str] = field(default_factory=dict)  # a path of each sha256

    def add(self, entry: Entry, path: str | None) -> None:
        """Put an entry where its key says, if that is free; one without a path of its own is a name of its body."""
        sha256 = entry.digest.value
        if path is None:
            path = self.by_body.get(sha256)
        if path is None or not self._fits(path, sha256):
            path = layout.spare(sha256)
        self.files.setdefault(path, []).append(entry)
        self.by_body.setdefault(sha256, path)
        for folder in _above(path):
            if folder in self.folders:
                break  # and so are those above it
            self.folders.add(folder)

    def _fits(self, path: str, sha256: str) -> bool:
        there = self.files.get(path)
        if there is not None:
            return there[0].digest.value == sha256
        if path in self.folders:
            return False
        for folder in _above(path):
            if folder in self.folders:
                break
            if folder in self.files:
                return False
        return True


def _above(path: str) -> Iterator[str]:
    """The folders that a file is in, the innermost first."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _stored(entries: Iterable[Entry]) -> list[BundleMember]:
    """The members that the store has, by path."""
    tree = _Tree()
    nameless = []
    for entry in sorted(entries, key=lambda one: one.key):
        path = layout.path_of(entry.key)
        if path is None:
            nameless.append(entry)
        else:
            tree.add(entry, path)
    for entry in nameless:
        tree.add(entry, None)
    return [
        BundleMember(path, there[0].size, there[0].digest.value, tuple(there)) for path, there in tree.files.items()
    ]


def _pages(stored: Iterable[BundleMember], distributions: Mapping[str, Distribution]) -> Iterator[tuple[str, bytes]]:
    """The pages that list these members: path and body."""
    stored = list(stored)
    digests = {member.path: member.sha256 for member in stored}
    projects: dict[str, dict[tuple[str, str], ListedFile]] = {}
    for member in stored:
        for entry in member.entries:
            shown = distributions.get(entry.key)
            if shown is not None:
                listed = ListedFile(
                    shown.filename,
                    member.path,
                    member.sha256,
                    shown.requires_python,
                    shown.yanked,
                    digests.get(f"{member.path}.metadata"),
                )
                projects.setdefault(shown.project, {}).setdefault((shown.filename, member.sha256), listed)
    for project, files in projects.items():
        yield layout.page_of(project), static_pages.project_page(project, files.values())
    yield f"{layout.SIMPLE}/index.html", static_pages.project_list(sorted(projects))
    every = (file for project in sorted(projects) for file in projects[project].values())
    yield layout.FIND_LINKS, static_pages.all_files(every)
