"""Which entries of a store a bundle is to have, by a person's wish. Pure.

What belongs to a chosen file comes with it, so that what is exported can be used: a wheel's metadata, the pages of its
project, the suites of its archive. Called by `exports`.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.apt.policy import MOUNT as ARCHIVES
from proxy.apt.release import Release
from proxy.bundles.contents import Distribution
from proxy.control.export_wish import ExportWish, LockedFile
from proxy.control.holdings import Holding, holding
from proxy.model import Entry, Kind
from proxy.python import filenames
from proxy.python.store_keys import name_in_key

_SUITE = ("apt:release:", "apt:signature:", "apt:index:")
_RELEASE = "apt:release:"
_FILES = ("file:", "apt:file:", "apt:document:")
_ATTACHED = (".metadata", ".asc", ".sig", ".provenance", ".attestation")


@dataclass(frozen=True, slots=True)
class _Held:
    entry: Entry
    holding: Holding

    @property
    def place(self) -> tuple[str, str | None]:
        """What its pages and suites are found by: mount and project, or the host of an archive."""
        return self.holding.index, self.holding.host if self.holding.index == ARCHIVES else self.holding.project


def choose(entries: Iterable[Entry], wish: ExportWish, now: float) -> list[Entry]:
    """The entries of these that the wish means, each with what belongs to it. `now`: seconds since the epoch."""
    entries = list(entries)
    held = [_Held(entry, found) for entry in entries if (found := holding(entry.key)) is not None]
    wanted = _names(wish.files) if wish.files is not None else None
    files = [one for one in held if not _accompanies(one) and _meant(one, wish, wanted, now)]
    places = {one.place for one in files}
    mounts = {(mount, None) for mount, _ in places if mount != ARCHIVES}  # pages with files of any project
    with_them = [one for one in held if _accompanies(one) and (one.place in places or one.place in mounts)]
    if not (wish.projects or wish.files is not None or wish.newer_than is not None):
        with_them = [one for one in held if _accompanies(one) and _of_index(one, wish)]
    keys = {one.entry.key for one in (*files, *with_them)}
    bodies = {one.entry.digest.value for one in files}
    return [
        entry for entry in entries if entry.key in keys or (holding(entry.key) is None and entry.digest.value in bodies)
    ]


def absent(chosen: Iterable[Entry], wish: ExportWish) -> list[str]:
    """The names of the wish's files that are not among the chosen, for a person."""
    there = {name_in_key(entry.key) for entry in chosen}
    return sorted({file.name for file in wish.files or ()} - there)


def without_former(entries: Sequence[Entry], releases: Mapping[str, Release]) -> list[Entry]:
    """The entries without indexes and signatures of former states of suites: no new client is given these.

    `releases`: present lists, by key. Of a suite whose list cannot be read all stay.
    """
    read = {key.removeprefix(_RELEASE).rpartition(":")[0] for key in releases}
    lists = {
        f"apt:index:{key.removeprefix(_RELEASE).rpartition(':')[0]}:{listed.digest.value}:{path}"
        for key, release in releases.items()
        for path, listed in release.files.items()
    }
    signed = {entry.digest.value for entry in entries if entry.key in releases}
    return [entry for entry in entries if _present(entry.key, read, lists, signed)]


def _present(key: str, read: Container[str], lists: Container[str], signed: Container[str]) -> bool:
    if key.startswith("apt:signature:"):
        suite, _, sha256 = key.removeprefix("apt:signature:").rpartition(":")
        return suite not in read or sha256 in signed
    if key.startswith("apt:index:"):
        return key in lists or not any(suite in read for suite in _suites(key))
    return True


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


def _accompanies(one: _Held) -> bool:
    """Whether it is no file by itself, but says something of files."""
    return one.holding.kind is Kind.PAGE or one.entry.key.startswith(_SUITE)


def _names(files: Iterable[LockedFile]) -> dict[str, list[Mapping[str, str]]]:
    names: dict[str, list[Mapping[str, str]]] = {}
    for file in files:
        names.setdefault(file.name, []).append(file.hashes)
    return names


def _meant(one: _Held, wish: ExportWish, wanted: Mapping[str, Sequence[Mapping[str, str]]] | None, now: float) -> bool:
    if not _of_index(one, wish):
        return False
    if wish.newer_than is not None and one.entry.stored < now - wish.newer_than:
        return False
    if wish.projects and not any(map(one.holding.of_project, wish.projects)):
        return False
    return wanted is None or _locked(one.entry, wanted)


def _of_index(one: _Held, wish: ExportWish) -> bool:
    return not wish.indexes or any(map(one.holding.of_index, wish.indexes))


def _locked(entry: Entry, wanted: Mapping[str, Sequence[Mapping[str, str]]]) -> bool:
    """Whether a lock file means it, or what lies beside it. What is beside has digests of its own."""
    name = name_in_key(entry.key) if entry.key.startswith(_FILES) else ""
    for ending in ("", *_ATTACHED):
        for hashes in wanted.get(name.removesuffix(ending), ()) if name.endswith(ending) else ():
            if ending or all(
                known is None or known.value == value.lower()
                for algorithm, value in hashes.items()
                for known in [entry.known(algorithm)]
            ):
                return True
    return False
