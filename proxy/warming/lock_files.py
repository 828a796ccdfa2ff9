"""Lock files of all kinds → `packaging.pylock.Pylock` (PEP 751), by the name of the file, else by what is in it.

Packages from a repository or an address stay, as such; the cache cannot have them. Those in a folder are left out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockUnsupportedVersionError,
    PylockValidationError,
    is_valid_pylock_path,
)
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from proxy.warming import sboms, text_files, uv_lock
from proxy.warming.choice import UNSAID
from proxy.warming.sboms import Sbom
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import LockedPackage, UvLock

Locked: TypeAlias = Pylock | UvLock
_NEVER = "python_version < '0'"
_SDISTS = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z")  # the first is preferred
_KNOWN = (
    "There are pylock.toml, uv.lock, poetry.lock, pdm.lock, requirements.txt, and CycloneDX SBOMs in JSON or XML. "
    "Of a project or another kind of lock file make one first, with: uv lock, or: pipenv requirements"
)


def read(path: Path) -> Locked | Sbom | None:
    """What a file locks; requirements that are pinned, but without files (an SBOM); None for a requirements file.

    Raises UnreadableFile.
    """
    text = text_files.read(path)
    try:
        if path.suffix == ".json":
            return sboms.of_json(text)
        if path.suffix == ".xml":
            return sboms.of_xml(text)
        if path.suffix not in {".toml", ".lock"} or _is_requirements(path):
            return None
        return _of_toml(path, text)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise UnreadableFile(f"{path} is no lock file of PEP 751: {error}.") from error
    except KeyError as error:
        raise UnreadableFile(f"{path} is not the lock file that its name says: it has no {error}.") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFile(f"{path} is not the lock file that its name says: {error}.") from error


def _is_requirements(path: Path) -> bool:
    """Whether it is one by its name: `requirements.lock` is what some tools call their output."""
    return path.suffix == ".lock" and path.name.startswith("requirements")


def _of_toml(path: Path, text: str) -> Locked:
    named = _NAMES.get(path.name)
    if named is None and path.name in {"Pipfile.lock", "pyproject.toml", "Cargo.lock"}:
        raise UnreadableFile(f"{path} is no lock file that can be warmed from. {_KNOWN}.")
    table = tomllib.loads(text)
    kind = named or ("pylock" if is_valid_pylock_path(path) else _kind(table))
    match kind:
        case "pylock":
            return Pylock.from_dict(table)
        case "uv":
            return _of_uv(table)
        case "poetry" | "pdm":
            rows = _of_poetry(table) if kind == "poetry" else _of_pdm(table)
            return _pylock(kind, rows)
        case _:
            raise UnreadableFile(f"{path} is no lock file of a kind that is known here. {_KNOWN}.")


_NAMES = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm"}


def _kind(table: Mapping[str, Any]) -> str | None:
    """The kind of a lock file whose name does not tell, such as `demo.py.lock`."""
    about = table.get("metadata", {})
    if "lock-version" in table:
        return "pylock"
    if "lock_version" in about:
        return "pdm"
    if "content-hash" in about:
        return "poetry"
    return "uv" if "version" in table and "requires-python" in table else None


def _pylock(tool: str, packages: Iterable[Package]) -> Pylock:
    return Pylock(lock_version=Version("1.0"), created_by=tool, packages=list(packages))


# ---------------------------------------------------------------------- kinds


def _of_uv(table: Mapping[str, Any]) -> UvLock:
    manifest = table.get("manifest", {})
    wanted = [*manifest.get("requirements", ()), *_flat(manifest.get("dependency-groups", {}))]
    packages = tuple(_uv_package(row) for row in table.get("package", ()))
    members = frozenset(map(canonicalize_name, manifest.get("members", ())))
    sources = [package.source for package in packages]
    folders = tuple(one[kind] for one in sources for kind in ("editable", "directory") if kind in one)
    # A requirement of a script has a specifier and no version: its name says which package it is.
    return UvLock(packages, members, uv_lock.needs({**row, "source": None} for row in wanted), folders)


def _uv_package(row: Mapping[str, Any]) -> LockedPackage:
    source, package = row.get("source", {}), None
    elsewhere = source.get("git") or source.get("url") or source.get("path")
    if "registry" in source and "://" not in source["registry"]:
        package = _elsewhere(row["name"], source["registry"])  # a folder of files
    elif "registry" in source:
        files = [*row.get("wheels", ()), *([row["sdist"]] if "sdist" in row else [])]
        named = [(_uv_file(file), file.get("hash")) for file in files]
        package = next(_package(row["name"], row["version"], named, index=source["registry"]), None)
    elif elsewhere:
        package = _elsewhere(row["name"], elsewhere)
    groups = row.get("dev-dependencies", row.get("dependency-groups", {}))
    return LockedPackage(
        canonicalize_name(row["name"]),
        row.get("version"),
        source,
        package,
        _read(uv_lock.needs, row.get("dependencies", ())),
        {name: _read(uv_lock.needs, rows) for name, rows in row.get("optional-dependencies", {}).items()},
        _read(uv_lock.needs, _flat(groups)),
        tuple(str(_read(Marker, one)) for one in row.get("resolution-markers", ())),
    )


def _uv_file(file: Mapping[str, Any]) -> str:
    return str(file.get("filename") or _last(file.get("url") or file["path"]))


def _flat(groups: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [row for rows in groups.values() for row in rows]


def _of_poetry(table: Mapping[str, Any]) -> Iterator[Package]:
    about = table.get("metadata", {})
    listed: Mapping[str, Any] = about.get("files", {})  # before lock files of version 2 they were all together
    unsaid = Version(str(about.get("lock-version", "1.0"))) < Version("2.1")  # no markers
    for row in table.get("package", ()):
        source = row.get("source", {})
        if source.get("type") == "directory":
            continue
        if source.get("type") in {"git", "file", "url"}:
            yield _elsewhere(row["name"], source["url"])
            continue
        found = row.get("files") or _of_version(row["version"], listed.get(row["name"], ()))
        files = [(file["file"], file.get("hash")) for file in found]
        yield from _package(
            row["name"],
            row["version"],
            files,
            marker=_one(row.get("markers"), row.get("groups", ())),
            index=source.get("url"),
            python=row.get("python-versions"),
            unsaid=unsaid,
        )


def _of_version(version: str, files: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The files of one version: once those of all that are locked stood together below the name of a project."""

    def fits(filename: str) -> bool:
        try:
            read = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
            return read(filename)[1] == Version(version)
        except ValueError:  # of its name, and more digits than Python reads
            return True

    return [file for file in files if fits(file["file"])] or files


def _of_pdm(table: Mapping[str, Any]) -> Iterator[Package]:
    about = table.get("metadata", {})
    listed: Mapping[str, Any] = about.get("files", {})  # before version 4.2 they were all together
    unsaid = "inherit_metadata" not in about.get("strategy", ())  # no markers
    for row in table.get("package", ()):
        if "path" in row and not str(row["path"]).endswith((".whl", *_SDISTS)):
            continue
        if elsewhere := row.get("git") or row.get("url") or row.get("path"):
            yield _elsewhere(row["name"], elsewhere)
            continue
        found = row.get("files") or listed.get(f"{row['name']} {row['version']}", ())
        files = [(file.get("file") or _last(file["url"]), file.get("hash")) for file in found]
        yield from _package(
            row["name"],
            row["version"],
            files,
            marker=row.get("marker"),
            python=row.get("requires_python"),
            unsaid=unsaid,
        )


def of_report(rows: Iterable[Mapping[str, Any]], indexes: Sequence[str]) -> Pylock:
    """What pip would install by its installation report. `indexes`: on the cache, the usual one first."""

    def packages() -> Iterator[Package]:
        for row in rows:
            info, about = row["download_info"], row["metadata"]
            hashes = info.get("archive_info", {}).get("hashes", {})
            mount = _mount(info["url"])
            index = next((one for one in indexes if _mount(one) == mount), indexes[0])
            files = [(_last(info["url"]), f"{kind}:{value}") for kind, value in hashes.items()]
            yield from _package(about["name"], about["version"], files[:1], index=index)

    return _pylock("pip", packages())


def _mount(url: str) -> str:
    """The part of an address on the cache that says which upstream it is of."""
    return urlsplit(url).path[1:].partition("/")[0]


def _package(  # noqa: PLR0913 - what a lock file may say of one
    name: str,
    version: str,
    files: Iterable[tuple[str, str | None]],
    *,
    marker: str | None = None,
    index: str | None = None,
    python: str | None = None,
    unsaid: bool = False,
) -> Iterator[Package]:
    """A package with files of these names and hashes; none if it has no files.

    `unsaid`: the lock file does not say on which platforms it is needed.
    """
    wheels, sdist = [], None
    for filename, digest in files:
        hashes = dict([digest.split(":", 1)]) if digest else {}
        if filename.endswith(".whl"):
            wheels.append(PackageWheel(name=filename, path=filename, hashes=hashes))
        elif filename.endswith(_SDISTS) and (sdist is None or filename.endswith(_SDISTS[0])):
            sdist = PackageSdist(name=filename, path=filename, hashes=hashes)
    if wheels or sdist:
        yield Package(
            name=canonicalize_name(name),
            version=_read(Version, version),
            marker=_read(Marker, marker) if marker else None,
            requires_python=_versions(python),
            index=index,
            wheels=wheels or None,
            sdist=sdist,
            tool=UNSAID if unsaid else None,
        )


def _elsewhere(name: str, url: str) -> Package:
    """A package that is from no index."""
    return Package(name=canonicalize_name(name), archive=PackageArchive(url=url, hashes={}))


def _read(of: Callable[[Any], Any], text: Any) -> Any:  # noqa: ANN401 - what the reader gives
    """What a reader of packaging's makes of it. Raises ValueError."""
    try:
        return of(text)
    except (InvalidMarker, InvalidVersion) as error:
        raise ValueError(str(error)) from error


def _versions(text: str | None) -> SpecifierSet | None:
    """For which versions of Python a package is, where that is said as everybody says it."""
    try:
        return SpecifierSet(text) if text and text != "*" else None
    except ValueError:  # InvalidSpecifier, and more digits than Python reads
        return None


def _one(marker: str | Mapping[str, str] | None, groups: Iterable[str] = ()) -> str | None:
    """A marker; poetry may have one for each of the `groups` of a package, of which any will do.

    A group without one needs the package everywhere.
    """
    if isinstance(marker, Mapping):
        if set(groups) - set(marker):
            return None
        return " or ".join(f"({one})" for one in map(_one, marker.values()) if one) or None
    return _NEVER if marker == "<empty>" else marker  # as poetry writes a marker that nothing fulfils


def _last(url: str) -> str:
    return unquote(url.partition("?")[0].partition("#")[0].replace("\\", "/").rpartition("/")[2])
