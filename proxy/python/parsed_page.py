"""A page that was read: its files by name, its summary, and what differs from the page before. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import msgspec

from proxy.python.file_list import FilesByName, links_of
from proxy.python.page import File, Page
from proxy.python.plain_links import Link


class Summary(msgspec.Struct, frozen=True):
    """What answers need to know of a page besides its links. `hashed`: it gives a digest for each of its files.

    `bare`: the origins of the wheels for which it offers no metadata.
    """

    hashed: bool
    bare: frozenset[str]
    quarantined: bool


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ParsedPage:
    """A page, its files by name, and its summary."""

    page: Page
    by_name: FilesByName
    summary: Summary

    @classmethod
    def of(cls, page: Page) -> Self:
        """Index the files of a page by name, and sum it up."""
        links = links_of(page.files)
        odd = [link for link in links if isinstance(link, File)]
        hashed = all(link.digests or not link.fetchable for link in odd)  # a plain link has a digest
        bare = frozenset([link.origin for link in links if link.bare])
        return cls(page, FilesByName(page.files), Summary(hashed, bare, page.quarantined))


@dataclass(frozen=True, slots=True)
class PageChange:
    """What a page does not have any more that replaces another one, in the order of the other one.

    `dropped`: links to files of a name that it does not have. `moved`: those of a name that it has elsewhere only.
    """

    dropped: tuple[Link, ...]
    moved: tuple[Link, ...]

    @classmethod
    def between(cls, old: ParsedPage, fresh: ParsedPage) -> Self:
        """Compare two pages of a project."""
        dropped: list[Link] = []
        moved: list[Link] = []
        for link in links_of(old.page.files):
            there = fresh.by_name.links(link.filename)
            if not there:
                dropped.append(link)
            elif link.url != there[0].url and _place(link) not in map(_place, there):
                moved.append(link)
        return cls(tuple(dropped), tuple(moved))


def _place(link: Link) -> str:
    """The address of a link without the query, which is no part of addresses on the cache."""
    return link.url.partition("?")[0]
