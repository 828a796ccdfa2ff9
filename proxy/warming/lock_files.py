"""Lock files of all kinds → `packaging.pylock.Pylock` (PEP 751), by the name of the file and by what is in it.

Packages that come from no index (a folder, a repository, an address) are left out: the cache cannot have them.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.pylock import (
    Package,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockUnsupportedVersionError,
    PylockValidationError,
    is_valid_pylock_path,
)
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from proxy.warming import text_files
from proxy.warming.text_files import UnreadableFile

_PYPI = "pkg:pypi/"


def read(path: Path) -> Pylock | tuple[str, ...] | None:
    """What a file locks; requirements that are pinned, but without files (an SBOM); None for a requirements file.

    Raises UnreadableFile.
    """
    text = text_files.read(path)
    try:
        if path.suffix == ".json":
            return _of_sbom(json.loads(text))
        if path.suffix not in {".toml", ".lock"}:
            return None
        table = tomllib.loads(text)
        if is_valid_pylock_path(path):
            return Pylock.from_dict(table)
        if path.name in _KINDS:
            return _pylock(path.stem, _KINDS[path.name](table))
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise UnreadableFile(f"{path} is no lock file of PEP 751: {error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFile(f"{path} is not the lock file that its name says: {error!r}.") from error
    raise UnreadableFile(
        f"{path}: its name tells no kind of lock file. There are pylock.toml, pylock.<name>.toml, uv.lock, "
        "poetry.lock, pdm.lock, requirements.txt, and CycloneDX SBOMs in JSON."
    )


def _pylock(tool: str, packages: Iterable[Package]) -> Pylock:
    return Pylock(lock_version=Version("1.0"), created_by=tool, packages=list(packages))


# ---------------------------------------------------------------------- kinds


def _of_uv(table: Mapping[str, Any]) -> Iterator[Package]:
    for package in table.get("package", ()):
        source = package.get("source", {})
        if "registry" not in source:
            continue
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        named = [(_last(file.get("url") or file["path"]), file["hash"]) for file in files]
        yield from _package(package["name"], package["version"], named, index=source["registry"])


def _of_poetry(table: Mapping[str, Any]) -> Iterator[Package]:
    for package in table.get("package", ()):
        source = package.get("source", {})
        if source.get("type") in {"git", "directory", "file", "url"}:
            continue
        files = [(file["file"], file["hash"]) for file in package.get("files", ())]
        marker = package.get("markers")
        yield from _package(package["name"], package["version"], files, marker=_one(marker), index=source.get("url"))


def _of_pdm(table: Mapping[str, Any]) -> Iterator[Package]:
    for package in table.get("package", ()):
        if {"git", "path", "url"} & set(package):
            continue
        files = [(file.get("file") or _last(file["url"]), file["hash"]) for file in package.get("files", ())]
        yield from _package(package["name"], package["version"], files, marker=package.get("marker"))


_KINDS = {"uv.lock": _of_uv, "poetry.lock": _of_poetry, "pdm.lock": _of_pdm}


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


def _of_sbom(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The pins of a CycloneDX SBOM's components with a package URL of PyPI; nested components too."""
    if document.get("bomFormat") != "CycloneDX":
        raise ValueError("a JSON file has to be a CycloneDX SBOM")
    return tuple(dict.fromkeys(_pins(document.get("components", ()))))


def _pins(components: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for component in components:
        purl = str(component.get("purl", ""))
        if purl.startswith(_PYPI):
            name, at, version = purl.removeprefix(_PYPI).partition("?")[0].partition("#")[0].partition("@")
            if at:
                yield f"{canonicalize_name(unquote(name))}=={Version(unquote(version))}"
        yield from _pins(component.get("components", ()))


def _package(
    name: str, version: str, files: Iterable[tuple[str, str]], *, marker: str | None = None, index: str | None = None
) -> Iterator[Package]:
    """A package with files of these names and hashes; none if it has no files."""
    wheels, sdist = [], None
    for filename, digest in files:
        hashes = dict([digest.split(":", 1)])
        if filename.endswith(".whl"):
            wheels.append(PackageWheel(name=filename, path=filename, hashes=hashes))
        elif sdist is None or filename.endswith(".tar.gz"):
            sdist = PackageSdist(name=filename, path=filename, hashes=hashes)
    if wheels or sdist:
        try:
            yield Package(
                name=canonicalize_name(name),
                version=Version(version),
                marker=Marker(marker) if marker else None,
                index=index,
                wheels=wheels or None,
                sdist=sdist,
            )
        except (InvalidMarker, InvalidVersion) as error:
            raise ValueError(f"{name}: {error}") from error


def _one(marker: str | Mapping[str, str] | None) -> str | None:
    """A marker; poetry may have one for each group, of which any will do."""
    if isinstance(marker, Mapping):
        return " or ".join(f"({one})" for one in marker.values()) or None
    return marker


def _last(url: str) -> str:
    return unquote(url.partition("?")[0].partition("#")[0].replace("\\", "/").rpartition("/")[2])
