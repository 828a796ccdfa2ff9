"""What is known beside a page: digests measured here, and files that the index does not list any more. Pure.

Made by `supplements` from the store, applied by `renderings`. Upstream's own word always stands.
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
class Beside:
    """`digests` by the file's address upstream. `withdrawn`: the index has nothing of the project any more."""

    digests: Mapping[str, Digest] = field(default_factory=lambda: MappingProxyType({}))
    removed: tuple[File, ...] = ()
    withdrawn: bool = False

    @property
    def key(self) -> str:
        """A short text that differs where this does."""
        if not (self.digests or self.removed or self.withdrawn):
            return "-"
        known = sorted(f"{url} {digest}" for url, digest in self.digests.items())
        # All that is said of a dropped file: it may come and go with another word of the index.
        text = "\n".join((*known, "", *map(repr, self.removed)))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{'-' if self.withdrawn else ''}"

    def complete(self, page: Page) -> Page:
        """The page with what is known beside it. Of a quarantined project nothing is offered, whatever is kept."""
        if page.quarantined:
            return replace(page, files=())
        if not (self.digests or self.removed or self.withdrawn):
            return page
        files = () if self.withdrawn else tuple(map(self._with_digest, page.files))
        return replace(page, files=(*files, *map(as_removed, self.removed)))

    def _with_digest(self, file: File) -> File:
        digest = self.digests.get(file.url) if not file.digests else None
        # A fragment that is no digest would hide it; such links have none that anybody needs.
        return replace(file, digests=(digest,), fragment="") if digest is not None else file


def as_removed(file: File) -> File:
    """A file that the index dropped, as it is listed: only an exact pin takes what is yanked (PEP 592)."""
    return file if isinstance(file.yanked, str) else replace(file, yanked=REMOVED)


NOTHING_BESIDE = Beside()
