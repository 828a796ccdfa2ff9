"""Links of the usual kind, which nearly all pages have and no others: what is done with them takes no Python for each.

Whether links are plain is found out for many of them at once (`PlainLinks`), and nothing that the rules of `links` and
`page` say of them is different. A plain link becomes a `File` only where somebody asks for it. Used by `parsing`,
`anchors` and `rendering`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, ClassVar, Self

import msgspec

from proxy.model import Digest
from proxy.python import urls
from proxy.python.links import Base
from proxy.python.page import SMALL, File

_LONGEST = 250  # characters of a link: no segment of its path can be too long
# What an address may have without being encoded, and plus signs, which are.
_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+/-"
_FRONT = re.compile(r"https?://[^/\n]*/|(?:\.\./)+|/?")  # where a link begins
_SCHEME = len("https://")
_HEX = b"0123456789abcdef"
DIGITS = 64  # of a sha256
_TOGETHER = 500  # links that are looked at in one go


class PlainHashes(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A table of hashes with a sha256 alone. As a text it has the form of a fragment (PEP 503)."""

    sha256: Annotated[str, msgspec.Meta(min_length=DIGITS, max_length=DIGITS)]

    def __str__(self) -> str:
        return f"sha256={self.sha256}"


class PlainLink(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False, rename="kebab"):
    """One link of a page, as JSON has it (PEP 691), without anything that the standard does not have.

    As soon as `PlainLinks` let it pass, its address is absolute and ends in its name, the digests are digests, and JSON
    of it is what a client may get, but for the address. It has what a `File` has for those who read many.
    """

    filename: str
    url: str
    hashes: PlainHashes
    core_metadata: bool | PlainHashes | None = None
    data_dist_info_metadata: bool | PlainHashes | None = None  # PEP 714: the old name, in the spelling of HTML
    requires_python: str | None = None
    yanked: bool | str | None = None
    gpg_sig: bool | None = None
    size: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None = None
    upload_time: str | None = None
    provenance: str | None = None
    dist_info_metadata: bool | PlainHashes | None = None  # the old name; never written

    fetchable: ClassVar[bool] = True
    project: ClassVar[str] = ""

    @property
    def origin(self) -> str:
        """Scheme and host of its address, with a slash at the end (RFC 6454 §4)."""
        return self.url[: self.url.index("/", _SCHEME) + 1]

    @property
    def best_digest(self) -> Digest:
        """The digest that is checked."""
        return Digest("sha256", self.hashes.sha256)

    @property
    def small(self) -> bool:
        """Whether all of it is fetched as fast as a part."""
        return self.size is not None and self.size <= SMALL

    @property
    def bare(self) -> bool:
        """Whether it is a wheel of which the index offers no metadata."""
        return not self.core_metadata and self.filename.endswith(".whl")

    def offering(self) -> Self:
        """The same with metadata."""
        return msgspec.structs.replace(self, core_metadata=True, data_dist_info_metadata=True)

    def at(self, href: str) -> Self:
        """The same with another link."""
        return msgspec.structs.replace(self, url=href)

    def file(self) -> File:
        """The file that it leads to."""
        core = self.core_metadata
        return File(
            filename=self.filename,
            url=self.url,
            digests=(self.best_digest,),
            requires_python=self.requires_python,
            core_metadata=Digest("sha256", core.sha256) if isinstance(core, PlainHashes) else core,
            yanked=self.yanked or False,
            gpg_sig=self.gpg_sig,
            size=self.size,
            upload_time=self.upload_time,
            provenance=self.provenance,
        )


Link = PlainLink | File


class PlainLinks:
    """Tells plain links from others, for one page. Mutable state: where beginnings of links lead.

    `odd`: what a link that is not plain leads to, by its place; None if no installer could follow it.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self._fronts: dict[str, str | None] = {}

    def told(self, links: Sequence[PlainLink], odd: Callable[[int], File | None]) -> list[Link]:
        """What the links of a page lead to."""
        made: list[Link] = []
        for start in range(0, len(links), _TOGETHER):
            self._tell(links, start, min(start + _TOGETHER, len(links)), odd, made)
        return made

    def _tell(
        self, links: Sequence[PlainLink], start: int, end: int, odd: Callable[[int], File | None], made: list[Link]
    ) -> None:
        part = links[start:end]
        if self._settle(part):
            made += part
        elif len(part) > 1:
            middle = (start + end) // 2
            self._tell(links, start, middle, odd, made)
            self._tell(links, middle, end, odd, made)
        else:
            file = odd(start)
            if file is not None:
                made.append(file)

    def _settle(self, links: Sequence[PlainLink]) -> bool:
        """Whether all of these are plain. If so, they become what `PlainLink` says; else they stay as they are."""
        hrefs = [link.url for link in links]
        found = _FRONT.match(hrefs[0])
        front = found[0] if found is not None else ""
        there = self._leads(front) if hrefs[0] else None
        if there is None or len(max(hrefs, key=len)) > _LONGEST:
            return False
        text = "\n".join(["", *hrefs])
        if not len(links) == text.count("\n") == text.count(f"\n{front}"):
            return False
        paths = text.replace(f"\n{front}", "/")
        plus = "%" in paths or "+" in paths
        if not _is_safe(paths.replace("%2B", "+") if plus else paths):
            return False
        if plus or not front:
            hrefs = [f"/{href[len(front) :]}".replace("%2B", "+") for href in hrefs]
        if not (_are_named(hrefs, [link.filename for link in links]) and _are_checkable(links)):
            return False
        for link in links:
            link.data_dist_info_metadata, link.dist_info_metadata = link.core_metadata, None
            if not link.yanked:
                link.yanked = False
            if there != front:
                link.url = there + link.url[len(front) :]
            if plus:
                link.url = link.url.replace("+", "%2B")
        return True

    def _leads(self, front: str) -> str | None:
        """Where links lead that begin so, by the rules for a single one; None if those are to be asked for each."""
        if front not in self._fronts:
            address, _ = self._base.address_of(f"{front}x") or ("", "")
            parts = urls.plainly(address)
            plain = parts is not None and "%" not in address and _is_safe(f"/{parts[2]}")
            self._fronts[front] = address[:-1] if plain and len(address) <= _LONGEST else None
        return self._fronts[front]


def _is_safe(paths: str) -> bool:
    """Whether paths, with a slash before each, are the same upstream, in an address, and on the cache.

    No segment is empty, begins with a dot, or with a plus sign, as marks do.
    """
    if not paths.isascii() or paths.encode().translate(None, _SAFE):
        return False
    return "//" not in paths and "/." not in paths and not ("+" in paths and "/+" in paths)


def _are_named(hrefs: Iterable[str], names: Sequence[str]) -> bool:
    """Whether links end in the names of the files."""
    if not all(names) or "/" in "".join(names):
        return False
    return all(map(str.endswith, hrefs, [f"/{name}" for name in names]))


def _are_checkable(links: Iterable[PlainLink]) -> bool:
    """Whether digests are digests, and no older key of the metadata counts (PEP 714)."""
    digests = [link.hashes.sha256 for link in links]
    for link in links:
        core = link.core_metadata
        if core is None:
            if link.data_dist_info_metadata is not None or link.dist_info_metadata is not None:
                return False
        elif isinstance(core, PlainHashes):
            digests.append(core.sha256)
    text = "".join(digests)
    return text.isascii() and not text.encode().translate(None, _HEX)
