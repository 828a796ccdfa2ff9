"""The files of a page, which are made of its links one by one when somebody asks for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

from msgspec import structs

from proxy.python.filenames import is_ambiguous, tells
from proxy.python.page import File
from proxy.python.plain_links import Link, PlainLink

_TOGETHER = 500  # names that are looked at in one go


class FileList(Sequence[File]):
    """Files in the order of a page. `links`: what they are made of. Compares as the tuple of its files would."""

    __slots__ = ("links",)
    __hash__ = None  # type: ignore[assignment] # as a tuple of files has none

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self.links: Sequence[Link] = tuple(links)

    def __len__(self) -> int:
        return len(self.links)

    def __iter__(self) -> Iterator[File]:
        return map(file_of, self.links)

    @overload
    def __getitem__(self, index: int) -> File: ...
    @overload
    def __getitem__(self, index: slice) -> FileList: ...
    def __getitem__(self, index: int | slice) -> File | FileList:
        return FileList(self.links[index]) if isinstance(index, slice) else file_of(self.links[index])

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, FileList | tuple) else NotImplemented

    def __repr__(self) -> str:
        return f"FileList({list(self)!r})"

    def of(self, project: str) -> FileList:
        """The files on the page of a project: those whose name does not tell it know it."""
        made: list[Link] = []
        ambiguous = is_ambiguous(project)
        for start in range(0, len(self.links), _TOGETHER):
            part = self.links[start : start + _TOGETHER]
            # What `tells` tries first, for all at once.
            names = "\n".join(["", *(link.filename for link in part)])
            plain = names.lower().replace("_", "-").replace(".", "-")
            if ambiguous or plain.count(f"\n{project}-") != len(part) or names.count("\n") != len(part):
                part = [link if tells(link.filename, project) else _with(link, project) for link in part]
            made += part
        return FileList(made)


class FilesByName(Mapping[str, list[File]]):
    """The files of a page by name. A name may be that of several."""

    def __init__(self, files: Sequence[File]) -> None:
        links = links_of(files)
        self._links: dict[str, Link | list[Link]] = {link.filename: link for link in links}
        if len(self._links) != len(links):
            lists: dict[str, list[Link]] = {}
            for link in links:
                lists.setdefault(link.filename, []).append(link)
            self._links = dict(lists)

    def __getitem__(self, name: str) -> list[File]:
        self._links[name]
        return [file_of(link) for link in self.links(name)]

    def __contains__(self, name: object) -> bool:
        return name in self._links

    def __iter__(self) -> Iterator[str]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def links(self, name: str) -> Sequence[Link]:
        """The links to the files of this name."""
        found = self._links.get(name, [])
        return found if isinstance(found, list) else [found]


def links_of(files: Sequence[File]) -> Sequence[Link]:
    """What files are made of, where they need not be made."""
    return files.links if isinstance(files, FileList) else files


def file_of(link: Link) -> File:
    """The file that a link leads to."""
    return link.file() if isinstance(link, PlainLink) else link


def _with(link: Link, project: str) -> File:
    return structs.replace(file_of(link), project=project)
