"""What the origin holds: wheels, their `.metadata`, and the index pages that link to them.

`__main__` makes it once a run; `origin` serves it; the cases look files up in it. The large wheels are noise that
begins with the wheel's own name, so that no two have the same digest. The small one is a wheel indeed, for devpi-server
reads its metadata out of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# Stands in a stored page for the origin's address, which is known only when the origin runs.
ORIGIN = "@origin@"
MANIFEST = "manifest.json"
_BLOCK = MIB
_SMALL_PAGE, _LARGE_PAGE = 40_000, 2_000_000
_SMALL_WHEEL = 100 * KIB
_METADATA = b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n\n".ljust(6 * KIB, b".")


@dataclass(frozen=True, slots=True)
class Ware:
    """A file of the origin: its project, name, size in bytes, sha256 and the path below the origin's root."""

    project: str
    name: str
    size: int
    sha256: str
    path: str


@dataclass(frozen=True, slots=True)
class Content:
    """All wares by role. `cold` has one wheel for each repetition, so that none is ever warm."""

    giant: Ware
    small: Ware
    metadata: Ware
    cold: tuple[Ware, ...]

    @property
    def wares(self) -> tuple[Ware, ...]:
        """Every file."""
        return (self.giant, self.small, self.metadata, *self.cold)


def make(folder: Path, *, giant: int, cold: int, colds: int) -> Content:
    """Write files and pages into `folder`; sizes are in bytes. Raises OSError when the disk is full."""
    (folder / "files").mkdir(parents=True)
    small = _small(folder)
    content = Content(
        giant=_large(folder, "giant", 1, giant),
        small=small,
        # PEP 658: beside the wheel.
        metadata=_ware(folder, "small", small.name + ".metadata", [_METADATA], path=small.path + ".metadata"),
        cold=tuple(_large(folder, "cold", number, cold) for number in range(1, colds + 1)),
    )
    pages = {
        "small": _page("small", [(content.small, content.metadata)], _SMALL_PAGE),
        "large": _page("large", [], _LARGE_PAGE),
        "giant": _page("giant", [(content.giant, None)], 0),
        "cold": _page("cold", [(ware, None) for ware in content.cold], 0),
    }
    manifest = {"wares": [asdict(ware) for ware in content.wares], "pages": pages}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return content


def make_many(folder: Path, *, projects: int, links: int, few: int) -> list[list[Ware]]:
    """Write so many projects with so many links each: the files of each project that are there.

    All files of the first project are there, and `few` of each other one, of 4 KiB.
    """
    (folder / "files").mkdir(parents=True)
    made, pages = [], {}
    for number in range(projects):
        project = f"p{number}"
        names = [f"{project}-1.{link}.0-py3-none-any.whl" for link in range(links)]
        there = [_ware(folder, project, name, _noise(name, 4 * KIB)) for name in names[: links if number == 0 else few]]
        others = [Ware(project, name, 0, _digest(name), _path(name, _digest(name))) for name in names[len(there) :]]
        pages[project] = _page(project, [(ware, None) for ware in (*there, *others)], 0)
        made.append(there)
    # The servers' start asks for it.
    pages["small"] = _page("small", [], 0)
    manifest = {"wares": [asdict(ware) for wares in made for ware in wares], "pages": pages}
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return made


def read(folder: Path) -> tuple[tuple[Ware, ...], dict[str, str]]:
    """The files and pages (project → HTML with `ORIGIN` in it) that `make` left in `folder`."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return tuple(Ware(**ware) for ware in manifest["wares"]), manifest["pages"]


def _large(folder: Path, project: str, version: int, size: int) -> Ware:
    name = f"{project}-{version}.0-py3-none-any.whl"
    return _ware(folder, project, name, _noise(name, size))


def _small(folder: Path) -> Ware:
    """A wheel of 100 KiB with `_METADATA` in it."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as wheel:
        wheel.writestr("small/data.bin", os.urandom(_SMALL_WHEEL - len(_METADATA)))
        wheel.writestr("small-1.0.dist-info/METADATA", _METADATA)
    return _ware(folder, "small", "small-1.0-py3-none-any.whl", [body.getvalue()])


def _ware(folder: Path, project: str, name: str, chunks: Iterable[bytes], *, path: str | None = None) -> Ware:
    digest, size = hashlib.sha256(), 0
    with (folder / "files" / name).open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    sha256 = digest.hexdigest()
    return Ware(project, name, size, sha256, path or _path(name, sha256))


def _path(name: str, sha256: str) -> str:
    """The path in PyPI's layout."""
    return f"/packages/{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}/{name}"


def _digest(name: str) -> str:
    """For a link that leads nowhere."""
    return hashlib.sha256(name.encode()).hexdigest()


def _noise(name: str, size: int) -> Iterator[bytes]:
    block = os.urandom(_BLOCK)
    head = name.encode().ljust(64)[:size]
    yield head
    left = size - len(head)
    while left > 0:
        yield block[:left]
        left -= _BLOCK


def _page(project: str, wares: list[tuple[Ware, Ware | None]], size: int) -> str:
    """A page as PyPI writes it, with further links until it has `size` bytes. The further links lead nowhere."""
    lines = [_line(ware, metadata.sha256 if metadata else None) for ware, metadata in wares]
    head = (
        '<!DOCTYPE html>\n<html>\n  <head>\n    <meta name="pypi:repository-version" content="1.4">\n'
        f"    <title>Links for {project}</title>\n  </head>\n  <body>\n    <h1>Links for {project}</h1>\n"
    )
    tail = "  </body>\n</html>\n"
    written = len(head) + len(tail) + sum(map(len, lines))
    number = 0
    while written < size:
        number += 1
        name = f"{project}-0.{number}-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
        digest = _digest(name)
        lines.append(_line(Ware(project, name, 0, digest, _path(name, digest)), digest))
        written += len(lines[-1])
    return "".join((head, *lines, tail))


def _line(ware: Ware, metadata: str | None) -> str:
    core = f' data-dist-info-metadata="sha256={metadata}" data-core-metadata="sha256={metadata}"' if metadata else ""
    href = f"{ORIGIN}{ware.path}#sha256={ware.sha256}"
    return f'    <a href="{href}" data-requires-python="&gt;=3.9"{core}>{ware.name}</a><br />\n'
