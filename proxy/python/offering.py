"""Offering: for which wheels a page may promise metadata that its index does not offer.

A client that was promised metadata and does not get it in time ends its whole installation. So it is not promised where
a host turned out to give no parts of files, unless the wheel is here, or small; nor of a wheel that gives none. Asked
by `pages`, told by `metadata` how reading went. Never asks a host, and never changes what the index itself says.
"""

from __future__ import annotations

from proxy.bounded import Bounded
from proxy.errors import BadTarget
from proxy.model import Site
from proxy.ports import Clock, Store
from proxy.python import addresses
from proxy.python.beside import EVERYTHING, Offered
from proxy.python.page import File
from proxy.python.renderings import Parsed
from proxy.python.routes import file_key, file_keys

_REFUSED = 3600.0  # seconds for which a host is known to give no parts: its server may be mended
_HOSTS = 1000  # known
_WHEELS = 1000  # known to have no metadata that can be read


class Offering:
    """Decides. Mutable state: what hosts did, until when that counts (monotonic seconds), and unreadable wheels."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._hosts: Bounded[str, tuple[bool, float]] = Bounded(_HOSTS)  # by scheme and host
        self._unreadable: Bounded[str, str] = Bounded(_WHEELS)  # file names by address
        self.version = 0  # another number whenever something else is known

    def honours(self, origin: str) -> bool | None:
        """Whether a host gives parts of files. None: not known, or not any more."""
        honoured, until = self._hosts.get(origin, (True, 0.0))
        return honoured if self._clock.monotonic() < until else None

    def learn(self, origin: str, *, honoured: bool) -> None:
        """A host gave a part of a wheel, or only the whole."""
        before, _ = self._hosts.get(origin, (True, 0.0))
        if before is not honoured:
            self.version += 1
        self._hosts[origin] = (honoured, float("inf") if honoured else self._clock.monotonic() + _REFUSED)

    def unreadable(self, url: str, filename: str) -> None:
        """The wheel at `url` has no metadata that can be read."""
        if url not in self._unreadable:
            self.version += 1
        self._unreadable[url] = filename

    def offered(self, site: Site, project: str, parsed: Parsed) -> Offered:
        """The wheels of a page, of those that its index offers no metadata of, for which it can be had.

        `project` is empty for a flat page.
        """
        refusing = frozenset(origin for origin in parsed.bare if self.honours(origin) is False)
        bad = frozenset(url for url, name in self._unreadable.items() if name in parsed.by_name)
        if not refusing and not bad:
            return EVERYTHING
        return Offered(refusing, self._held(site, project, parsed) if refusing else frozenset(), bad)

    def _held(self, site: Site, project: str, parsed: Parsed) -> frozenset[str]:
        """The addresses of the wheels that are kept, or whose metadata is."""
        held: set[str] = set()
        for key in self._store.keys(file_keys(site.mount, project or None)):
            wheel = key.removesuffix(".metadata")
            for file in parsed.by_name.get(wheel.rpartition("/")[2].rpartition(":")[2], ()):
                if _key(file, site) == wheel and self._store.find(key) is not None:
                    held.add(file.url)
        return frozenset(held)


def _key(file: File, site: Site) -> str | None:
    try:
        return file_key(addresses.locate_file(file.url, site, file.filename, file.project))
    except BadTarget:
        return None
