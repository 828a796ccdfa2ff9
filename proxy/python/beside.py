"""What is known beside a page: digests measured here, files that the index does not list any more, and metadata. Pure.

Made by `supplements` from the store and by `offering` from what is known of hosts, applied by `renderings`. Upstream's
own word always stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from proxy.model import Digest
from proxy.python.page import File, Page

REMOVED = "The index does not list this file any more; the cache still has it."


@dataclass(frozen=True, slots=True)
class Offered:
    """The wheels whose metadata can be given, where the index offers none (PEP 658).

    Of hosts in `refusing` (scheme and host), which give no parts of files, only small ones and those at `urls`, which
    are kept; and none at the addresses in `unreadable`.
    """

    refusing: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()

    def covers(self, file: File, *, here: bool = False) -> bool:
        """Whether a wheel is among them; `here`: it is kept."""
        if file.url in self.unreadable:
            return False
        return here or file.small or file.url in self.urls or file.origin not in self.refusing


EVERYTHING = Offered()


@dataclass(frozen=True, slots=True)
class Beside:
    """`digests` by the file's address upstream. `withdrawn`: the index has nothing of the project any more."""

    digests: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[File, ...] = ()
    withdrawn: bool = False
    offered: Offered = EVERYTHING

    @property
    def key(self) -> str:
        """A short text that differs where this does."""
        if self == NOTHING_BESIDE:
            return "-"
        known = sorted(f"{url} {digest}" for url, digest in self.digests.items())
        offered = self.offered
        # All that is said of a dropped file: it may come and go with another word of the index.
        kinds = (sorted(kind) for kind in (offered.refusing, offered.urls, offered.unreadable))
        text = "\n\n".join("\n".join(lines) for lines in (known, map(repr, self.removed), *kinds))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{'-' if self.withdrawn else ''}"

    def complete(self, page: Page) -> Page:
        """The page with what is known beside it. Of a quarantined project nothing is offered, whatever is kept."""
        if page.quarantined:
            return replace(page, files=())
        files = () if self.withdrawn else tuple(map(self._complete, page.files))
        return replace(page, files=(*files, *(as_removed(self._complete(file, here=True)) for file in self.removed)))

    def _complete(self, file: File, *, here: bool = False) -> File:
        digest = self.digests.get(file.url) if not file.digests else None
        if digest is not None:
            file = replace(file, digests=(digest,), fragment=file.needed_fragment)
        if is_bare(file) and self.offered.covers(file, here=here):
            file = replace(file, core_metadata=True)
        return file


def is_bare(file: File) -> bool:
    """Whether it is a wheel of which the index offers no metadata."""
    return not file.core_metadata and file.filename.endswith(".whl") and file.fetchable


def as_removed(file: File) -> File:
    """A file that the index dropped, as it is listed: only an exact pin takes what is yanked (PEP 592)."""
    return file if isinstance(file.yanked, str) else replace(file, yanked=REMOVED)


NOTHING_BESIDE = Beside()
