"""Classes of paths: what a file of an archive is, judged by its path alone (Debian repository format).

The service asks for every address. A path that fits none of the classes is refused, so that the cache is no proxy for
the whole web. Pure; never looks at a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.errors import NotAllowed
from proxy.model import Digest

SIGNATURE = "Release.gpg"  # of `Release`, beside it
RELEASES = ("InRelease", "Release", SIGNATURE)
_BY_HASH_FOLDERS = {
    "md5": "MD5Sum",
    "sha1": "SHA1",
    "sha224": "SHA224",
    "sha256": "SHA256",
    "sha384": "SHA384",
    "sha512": "SHA512",
}


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A file that lists what a suite has. `suite` is its folder: empty, or with a slash at its end."""

    suite: str
    name: str


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that a Release file lists. `suites`: folders in which that Release file may lie, the likeliest first."""

    suites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ByHash:
    """A file that a Release file lists, in the by-hash of its `folder`, which ends in a slash if it is not empty."""

    digest: Digest
    folder: str
    suites: tuple[str, ...]  # as of `IndexFile`


@dataclass(frozen=True, slots=True)
class Immutable:
    """A file that never changes under its name. `suites`: as of `IndexFile`, if it is a patch of an index."""

    suites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volatile:
    """A file that changes under its name on its own. `suites`: as of `IndexFile`; a Release file may list it, too."""

    suites: tuple[str, ...] = ()


PathClass = ReleaseFile | IndexFile | ByHash | Immutable | Volatile

_PACKED = r"(?:\.(?:gz|bz2|xz|lzma|lz4|zst))?"
_INDEX = re.compile(
    rf"(?:Packages|Sources){_PACKED}|Contents-[^/]+|Translation-[^/]+|Commands-[^/]+{_PACKED}"
    rf"|Components-[^/]+|icons-[^/]+|CID-Index-[^/]+"
)
_DEB = re.compile(r"[^/]+\.(?:deb|udeb|ddeb)")
_SIGNED = r"(?:\.(?:asc|sig))?"
_SOURCE = re.compile(
    rf"[^/]+_[^/]+\.(?:dsc|changes|buildinfo|diff\.gz|tar(?:\.(?:gz|bz2|xz|lzma|zst|lz))?|git|zip){_SIGNED}"
)
_POOLED = re.compile(rf"[^/]+\.(?:tar\.[^/]+|(?:dsc|changes|buildinfo|diff\.[^/.]+|tar|git|zip|debdelta){_SIGNED})")
# Names of keys have no common form. These are the names that vendors use, and those that their manuals tell users to.
_KEY = re.compile(
    r"(?i:[^/]+\.(?:gpg|asc|key|pub|pgp)|gpg|keys?(?:ring)?(?:\.txt)?"
    r"|(?:[^/]*[-_.])?(?:apt|archive|deb|gpg|pgp|pub|public|release|repo|signing)[-_.]?(?:pub[-_.]?)?keys?(?:[-_.][^/]*)?)"
)
_KEY_PATH = re.compile(r"(?:.*/)?(?:gpg/key|keypair/[^/]+)/public")  # of repository managers
_MIRRORS = re.compile(r"(?i:[a-z]{2}\.txt|[^/.]*mirror[^/.]*(?:\.(?:txt|list|lst|masterlist))?)")
_LATEST = re.compile(
    r"meta-release[^/]*|[^/]*changelog(?:\.[^/]+)?|[^/]+\.(?:list|sources)|ls-lR(?:\.patch)?(?:\.gz)?|README[^/]*"
)
# What archives have beside dists/ and pool/, directly below their roots.
_BESIDE = re.compile(r"(?:[^/]+/){0,3}(?:project|indices|doc|tools)/.+")
_BY_HASH = re.compile(
    rf"(?P<folder>(?:.*/)?)by-hash/(?P<name>{'|'.join(_BY_HASH_FOLDERS.values())})/(?P<hex>[0-9A-Fa-f]+)"
)
_ALGORITHMS = {name: algorithm for algorithm, name in _BY_HASH_FOLDERS.items()}
_SUITE_DEPTH = 3  # segments of a suite's name, at most: `buster/updates` has two
_FLAT_DEPTH = 4  # folders between a file of a flat archive and its Release file, at most
# Of a component, in which tools write Release files that are not of suites. Names of suites may be anything.
_SUBFOLDER = re.compile(
    r"(?:.*/)?dists/[^/]+/[^/]+/(?:.+/)?(?:binary-[^/]+|source|installer-[^/]+|debian-installer|i18n|dep11|cnf)/"
)


def classify(path: str) -> PathClass:  # noqa: PLR0911 one for each class
    """Say what the file at the decoded `path` is. Raises NotAllowed for what archives do not have."""
    folder, _, name = path.rpartition("/")
    folder = f"{folder}/" if folder else ""
    hashed = _BY_HASH.fullmatch(path)
    if hashed is not None:
        digest = Digest.parse(f"{_ALGORITHMS[hashed['name']]}={hashed['hex']}")
        if digest is None:
            raise _refused()
        return ByHash(digest, hashed["folder"], _suites(hashed["folder"]))
    if not name or "/by-hash/" in f"/{path}":
        raise _refused()
    if name in RELEASES and not _SUBFOLDER.fullmatch(folder):
        return ReleaseFile(folder, name)
    if folder.endswith(".diff/"):
        # Patches are named by the times that they lead from and to; the Release file lists their list.
        return IndexFile(_suites(folder)) if name == "Index" else Immutable(suites=_suites(folder))
    if _DEB.fullmatch(name) or (_SOURCE.fullmatch(name) and not name.endswith(".asc")) or _pooled(folder, name):
        return Immutable()
    if _INDEX.fullmatch(name) or name in RELEASES:
        return IndexFile(_suites(folder))
    if _below_dists(folder):
        return Volatile(_suites(folder))
    if _beside(path, folder, name):
        return Volatile()
    raise _refused()


def by_hash(folder: str, digest: Digest) -> str:
    """The path of a file of `folder` in its by-hash. `folder`: as of `ByHash`."""
    return f"{folder}by-hash/{_BY_HASH_FOLDERS[digest.algorithm]}/{digest.value}"


def is_of_lists(kind: PathClass) -> bool:
    """Whether a file is one of those that clients keep as lists (`apt-get update`)."""
    return isinstance(kind, ReleaseFile) or bool(kind.suites)


def archive_root(folder: str) -> str | None:
    """The folder that file names in an index in `folder` are relative to; None where that is a flat repository."""
    match = re.match(r"((?:.*?/)?)dists/", folder)
    return match[1] if match is not None else None


def names_in(path: str, folder: str) -> tuple[str, ...]:
    """What an index in `folder` may call the file at `path`; empty if it is of another archive.

    A flat repository, `deb http://host/a b/`, has its index in a/b/, and names relative to a/, as `b/x.deb`. The path
    does not tell where a ends. So its files are those below its own folder, named by any part of their path.
    """
    root = archive_root(folder)
    if root is not None:
        return (path.removeprefix(root),) if path.startswith(root) else ()
    if not path.startswith(folder):
        return ()
    parts = folder.split("/")[:-1]
    return tuple(path.removeprefix("".join(f"{part}/" for part in parts[:n])) for n in range(len(parts), -1, -1))


def names_beside(path: str, folder: str) -> tuple[str, ...]:
    """What an index of a flat repository in `folder` may call a file outside it, below a folder above it."""
    if archive_root(folder) is not None:
        return ()
    parts = folder.split("/")[:-1]
    above = ("".join(f"{part}/" for part in parts[:n]) for n in range(len(parts) - 1, -1, -1))
    return tuple(path.removeprefix(root) for root in above if path.startswith(root))


def enclosing(path: str) -> tuple[str, ...]:
    """Folders above that of `path` in which a flat archive's Release file may be, the nearest first."""
    folder, _, _ = path.rpartition("/")
    if not folder or _below_dists(f"{folder}/"):
        return ()
    parts = folder.split("/")
    above = range(len(parts) - 1, max(len(parts) - 1 - _FLAT_DEPTH, -1), -1)
    return tuple("".join(f"{part}/" for part in parts[:count]) for count in above)


def _below_dists(folder: str) -> bool:
    return folder.startswith("dists/") or "/dists/" in folder


def _beside(path: str, folder: str, name: str) -> bool:
    """Whether archives have it although no index or Release file lists it: keys, lists of mirrors, changelogs."""
    named = any(one.fullmatch(name) for one in (_KEY, _MIRRORS, _LATEST))
    return named or "/changelogs/" in f"/{folder}" or any(one.fullmatch(path) for one in (_KEY_PATH, _BESIDE))


def _pooled(folder: str, name: str) -> bool:
    """Whether it is a source in a pool, however packed. Elsewhere the name of a signature may be that of a key."""
    return "/pool/" in f"/{folder}" and _POOLED.fullmatch(name) is not None


def _suites(folder: str) -> tuple[str, ...]:
    """Folders above `folder`, or itself, where the suite's Release file may be."""
    match = re.match(r"((?:.*?/)?dists/)(.+)", folder)
    if match is None:
        # A list of patches lies in a folder beside the index that they change.
        return (f"{folder.rstrip('/').rpartition('/')[0]}/".lstrip("/") if folder.endswith(".diff/") else folder,)
    parts = match[2].rstrip("/").split("/")
    return tuple(
        match[1] + "".join(f"{part}/" for part in parts[:count])
        for count in range(1, min(len(parts), _SUITE_DEPTH) + 1)
    )


def _refused() -> NotAllowed:
    return NotAllowed(
        "This is not a path of an apt archive: it is not below dists/ or pool/, and not a package, index, key or "
        "changelog. To open it, add a pattern under apt.paths in the settings."
    )
