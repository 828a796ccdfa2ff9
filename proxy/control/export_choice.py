"""Which entries of a store a bundle is to have, by a person's wish.

What belongs to a chosen file comes with it, so that what is exported can be used: a wheel's metadata, the pages of its
project, the suites of its archive. Called by `exports`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from proxy.apt import packages
from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.release import Release
from proxy.bundles.contents import Distribution
from proxy.control.export_wish import ExportWish, LockedFile
from proxy.control.holdings import Holding, holding, is_second_name
from proxy.model import Entry, Kind
from proxy.python import filenames
from proxy.python.store_keys import name_in_key

_SUITE = ("apt:release:", "apt:signature:", "apt:index:")
_RELEASE = "apt:release:"
_DOCUMENT = "apt:document:"
_FILES = ("file:", "apt:file:", _DOCUMENT)
_ATTACHED = (".metadata", ".asc", ".sig", ".provenance", ".attestation")

_Place: TypeAlias = tuple[str, str | None]


class ExportChoice:
    """What a wish means, told entry by entry. All are to be noted before any is looked at, if `in_two_goes`.

    Mutable state: where files that are meant have their pages and suites, and which files are absent so far, and of
    which indexes and projects of the wish nothing was seen.
    """

    def __init__(self, wish: ExportWish, now: float) -> None:
        """`now`: seconds since the epoch."""
        self._wish = wish
        self._now = now
        self._wanted = _names(wish.files) if wish.files is not None else None
        self._places: set[_Place] = set()
        self._absent = {file.name for file in wish.files or ()}
        self._unseen_indexes, self._unseen_projects = set(wish.indexes), set(wish.projects)
        self.in_two_goes = bool(wish.projects or wish.files is not None or wish.newer_than is not None)
        self._all = wish == ExportWish(before=wish.before)

    def note(self, entry: Entry) -> None:
        """Look where pages and suites of a file are, if it is meant."""
        found = holding(entry.key)
        if found is None or _accompanies(entry.key, found) or not self._is_meant(entry, found):
            return
        place = _place(found)
        self._places.add(place)
        if place[0] != ARCHIVES:
            self._places.add((place[0], None))  # pages with files of any project

    def means(self, entry: Entry) -> bool | None:
        """Whether an entry is meant, or belongs to one that is. None: it goes with its body."""
        if self._all:
            return None if is_second_name(entry.key) else True
        found = holding(entry.key)
        if found is None:
            return None
        if self._unseen_indexes or self._unseen_projects:
            self._see(entry.key, found)
        if _accompanies(entry.key, found):
            return _place(found) in self._places if self.in_two_goes else _of_index(found, self._wish)
        meant = self._is_meant(entry, found)
        if meant and self._absent:
            self._absent.discard(_name(entry.key))
        return meant

    def absent(self) -> list[str]:
        """The names of the wish's files that were not among those that were looked at, for a person."""
        return sorted(self._absent)

    def unknown(self) -> list[str]:
        """The indexes and projects of the wish of which nothing was looked at, for a person."""
        return [
            *(f"the index {name}" for name in sorted(self._unseen_indexes)),
            *(f"the project {name}" for name in sorted(self._unseen_projects)),
        ]

    def _see(self, key: str, found: Holding) -> None:
        self._unseen_indexes -= {name for name in self._unseen_indexes if found.of_index(name)}
        if _of_index(found, self._wish) and not _accompanies(key, found):
            self._unseen_projects -= {name for name in self._unseen_projects if found.of_project(name)}

    def _is_meant(self, entry: Entry, found: Holding) -> bool:
        wish = self._wish
        if not _of_index(found, wish):
            return False
        if wish.newer_than is not None and entry.stored < self._now - wish.newer_than:
            return False
        if wish.projects and not any(map(found.of_project, wish.projects)):
            return False
        return self._wanted is None or _locked(entry, self._wanted)


class PresentSuites:
    """Which indexes and signatures are of the present states of suites: no new client is given those of former ones.

    A suite has several present states where it was asked for in both forms, or by http and by https. A bundle has one
    path for them, and plain tools need what is of one state there.
    """

    def __init__(self, releases: Mapping[str, Release], bodies: Mapping[str, str]) -> None:
        """`releases`: present lists, by key, and `bodies` their sha256. Of a suite whose list cannot be read all is."""
        self._read = {_suite_and_form(key)[0] for key in releases}
        self._signed = set(bodies.values())
        self._lists = {
            f"apt:index:{_suite_and_form(key)[0]}:{listed.digest.value}:{path}"
            for key, release in releases.items()
            for path, listed in release.files.items()
        }
        self._bodies = bodies
        self._first: dict[tuple[str, str], str] = {}  # the newest list by address without scheme, and form
        for key in sorted(releases, key=lambda key: (releases[key].date or 0.0, key)):
            suite, form = _suite_and_form(key)
            self._first[_without_scheme(suite), form] = key
        # apt takes `InRelease` where there is one.
        self._at_paths = {place: releases[key] for (place, _), key in sorted(self._first.items(), reverse=True)}

    def has(self, key: str) -> bool:
        """Whether the entry with this key is of a present state, or of no suite."""
        if key.startswith("apt:signature:"):
            suite, sha256 = _suite_and_form(key)
            return suite not in self._read or sha256 in self._signed
        if key.startswith("apt:index:"):
            return key in self._lists or not any(suite in self._read for suite in _suites(key))
        return True

    def comes_first(self, key: str) -> bool:
        """Whether the entry's path is for its body: it is of the state that apt finds, or no other has the path."""
        if key.startswith(_RELEASE):
            suite, form = _suite_and_form(key)
            return self._first.get((_without_scheme(suite), form), key) == key
        if key.startswith("apt:signature:"):
            suite, sha256 = _suite_and_form(key)
            first = self._first.get((_without_scheme(suite), "Release"))
            return first is None or self._bodies[first] == sha256
        for suite in _suites(key) if key.startswith("apt:index:") else ():
            release = self._at_paths.get(_without_scheme(suite))
            if release is not None:
                digest, _, path = key.removeprefix(f"apt:index:{suite}:").partition(":")
                listed = release.files.get(path)
                return listed is None or listed.digest.value == digest
        return True


def _suite_and_form(key: str) -> tuple[str, str]:
    """The suite of a list, and its name; or that of a signature, and the sha256 of what it signs."""
    suite, _, form = key.split(":", 2)[2].rpartition(":")
    return suite, form


def _without_scheme(suite: str) -> str:
    return suite.partition("://")[2]


def _suites(key: str) -> Iterable[str]:
    """The suites that an index may be of: a suite's address may have colons, too."""
    parts = key.removeprefix("apt:index:").split(":")
    return (":".join(parts[:count]) for count in range(2, len(parts)))


def distribution(key: str) -> Distribution | None:
    """How pages show what has this key; None if they do not list it."""
    if not key.startswith("file:"):
        return None
    name = name_in_key(key)
    if name.endswith(_ATTACHED):
        return None
    project: str | None = key.split(":", 3)[2] or filenames.project_of(name)
    return Distribution(project, name) if project and filenames.is_distribution(name) else None


def _accompanies(key: str, found: Holding) -> bool:
    """Whether it is no file by itself, but says something of files."""
    alone = key.startswith(_DOCUMENT) and packages.readable(key)  # the index of an archive without a Release file
    return alone or found.kind is Kind.PAGE or key.startswith(_SUITE)


def _place(found: Holding) -> _Place:
    """What its pages and suites are found by: mount and project, or the host of an archive."""
    return found.index, found.host if found.index == ARCHIVES else found.project


def _names(files: Iterable[LockedFile]) -> dict[str, list[Mapping[str, str]]]:
    names: dict[str, list[Mapping[str, str]]] = {}
    for file in files:
        names.setdefault(file.name, []).append(file.hashes)
    return names


def _name(key: str) -> str:
    """The name of a file with this key; that of a package may have a colon, behind the epoch of its version."""
    return name_in_key(key) if key.startswith("file:") else key.rpartition("/")[2]


def _of_index(found: Holding, wish: ExportWish) -> bool:
    return not wish.indexes or any(map(found.of_index, wish.indexes))


def _locked(entry: Entry, wanted: Mapping[str, Sequence[Mapping[str, str]]]) -> bool:
    """Whether a lock file means it, or what lies beside it. What is beside has digests of its own."""
    name = _name(entry.key) if entry.key.startswith(_FILES) else ""
    for ending in ("", *_ATTACHED):
        for hashes in wanted.get(name.removesuffix(ending), ()) if name.endswith(ending) else ():
            if ending or all(
                known is None or known.value == value.lower()
                for algorithm, value in hashes.items()
                for known in [entry.known(algorithm)]
            ):
                return True
    return False
