"""For which wheels a page may promise metadata that its index does not offer (PEP 658).

A client that was promised metadata and does not get it in time ends its whole installation. So it is not promised where
a host turned out to give no parts of files, unless the wheel is stored, or small; nor of a wheel that gives none. Asked
by `supplements`; `metadata` tells how reading went. Never asks a host, and never changes what the index itself says.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.bounded import Bounded
from proxy.ports import Clock, Store
from proxy.python.page import File, ParsedPage
from proxy.python.store_keys import PageAddress, file_key, file_keys, located, name_in_key

_REFUSED = 3600.0  # seconds for which a host is known to give no parts: its server may be mended
_HOSTS = 1000  # known
_WHEELS = 1000  # known to have no metadata that can be read


@dataclass(frozen=True, slots=True)
class Offered:
    """The wheels whose metadata can be given, where the index offers none (PEP 658).

    Of hosts in `refusing` (scheme and host), which give no parts of files, only small ones and those at `urls`, which
    are stored; and none at the addresses in `unreadable`.
    """

    refusing: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()

    def covers(self, file: File, *, here: bool = False) -> bool:
        """Whether a wheel is among them; `here`: it is stored."""
        if file.url in self.unreadable:
            return False
        return here or file.small or file.url in self.urls or file.origin not in self.refusing


EVERYTHING = Offered()


class MetadataOffers:
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

    def everywhere(self, bare: frozenset[str]) -> bool:
        """Whether nothing speaks against any wheel of these origins."""
        return not (self._unreadable or any(self.honours(origin) is False for origin in bare))

    def offered(self, address: PageAddress, page: ParsedPage) -> Offered:
        """The wheels of a page, of those that its index offers no metadata of, for which it can be had."""
        refusing = frozenset(origin for origin in page.summary.bare if self.honours(origin) is False)
        bad = frozenset(url for url, name in self._unreadable.items() if name in page.by_name)
        if not refusing and not bad:
            return EVERYTHING
        return Offered(refusing, self._stored(address, page) if refusing else frozenset(), bad)

    def _stored(self, address: PageAddress, page: ParsedPage) -> frozenset[str]:
        """The addresses of the wheels that are stored, or whose metadata is."""
        site, found = address.site, set[str]()
        for key in self._store.keys(file_keys(site.mount, address.project or None)):
            wheel = key.removesuffix(".metadata")
            for file in page.by_name.get(name_in_key(wheel), ()):
                target = located(file, site)
                if target is not None and file_key(target) == wheel and self._store.find(key) is not None:
                    found.add(file.url)
        return frozenset(found)
