"""The pages of a bundle for pip, uv and web servers: HTML with relative links and digests (PEP 503, 592, 658). Pure.

Made of what an export has, so that they never list what is not there. Called by `contents`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

_HEAD = (
    '<!DOCTYPE html>\n<html><head><meta name="pypi:repository-version" content="1.0"><title>{title}</title></head>\n'
)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A distribution as a page lists it. `path`: in the bundle; `metadata`: the sha256 of the file beside it."""

    filename: str
    path: str
    sha256: str
    requires_python: str | None = None  # PEP 345's specifiers
    yanked: bool | str = False  # PEP 592: true, or the reason
    metadata: str | None = None


def project_page(project: str, files: Iterable[ListedFile]) -> Iterator[bytes]:
    """The page of a project, at `simple/<project>/index.html`."""
    return _page(f"Links for {project}", (_link(file, "../../") for file in files))


def all_files(files: Iterable[ListedFile]) -> Iterator[bytes]:
    """One page with all files, at the top of the bundle, for `pip --find-links`."""
    return _page("Links for all projects", (_link(file, "") for file in files))


def project_list(projects: Iterable[str]) -> Iterator[bytes]:
    """The list of projects, at `simple/index.html`."""
    return _page("Simple index", (f'<a href="{project}/">{escape(project)}</a><br>\n' for project in projects))


def _page(title: str, lines: Iterable[str]) -> Iterator[bytes]:
    """A page in pieces: one of all files may be long."""
    yield f"{_HEAD.format(title=escape(title))}<body>\n".encode()
    for line in lines:
        yield line.encode()
    yield b"</body></html>\n"


def _link(file: ListedFile, up: str) -> str:
    marks = ""
    if file.requires_python is not None:
        marks += f' data-requires-python="{escape(file.requires_python)}"'
    if file.yanked is not False:
        marks += f' data-yanked="{"" if file.yanked is True else escape(file.yanked)}"'
    if file.metadata is not None:  # PEP 714: the new name, and the old one for older installers
        marks += "".join(f' data-{name}-metadata="sha256={file.metadata}"' for name in ("core", "dist-info"))
    return f'<a href="{up}{quote(file.path)}#sha256={file.sha256}"{marks}>{escape(file.filename)}</a><br>\n'
