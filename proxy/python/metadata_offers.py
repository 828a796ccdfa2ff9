"""For which wheels a page may promise metadata that its index does not offer (PEP 658).

A client that does not get promised metadata in time ends its whole installation. So none is promised for wheels on a
host that turned out to honour no ranges, unless the wheel is stored, or small; nor for a wheel that has none. Called by
`supplements`; `metadata` reports how reading went. Never asks a host, and never changes what the index itself says.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.bounded import Bounded
from proxy.ports import Clock, Store
from proxy.python.outline import Excerpt
from proxy.python.plain_links import Link
from proxy.python.store_keys import PageAddress, file_key, file_keys, located, name_in_key

_REFUSED = 3600.0  # seconds until a host that honoured no ranges gets another chance
_HOSTS = 1000  # remembered
_WHEELS = 1000  # remembered as without metadata that can be read


@dataclass(frozen=True, slots=True)
class Offered:
    """The wheels for which metadata can be promised, where the index offers none.

    Of hosts in `refusing` (scheme and host), which honour no ranges, only small wheels and those at `urls`, which are
    stored; and none of the wheels at the addresses in `unreadable`.
    """

    refusing: frozenset[str] = frozenset()
    urls: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()

    def covers(self, file: Link, *, here: bool = False) -> bool:
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
        self.version = 0  # changes whenever something new is learnt

    def honours(self, origin: str) -> bool | None:
        """Whether a host honours range requests. None: not known, or not any more."""
        honoured, until = self._hosts.get(origin, (True, 0.0))
        return honoured if self._clock.monotonic() < until else None

    def learn(self, origin: str, *, honoured: bool) -> None:
        """Note that a host gave a part of a wheel, or only the whole."""
        before, _ = self._hosts.get(origin, (True, 0.0))
        if before is not honoured:
            self.version += 1
        self._hosts[origin] = (honoured, float("inf") if honoured else self._clock.monotonic() + _REFUSED)

    def unreadable(self, url: str, filename: str) -> None:
        """Note that the wheel at `url` has no metadata that can be read."""
        if url not in self._unreadable:
            self.version += 1
        self._unreadable[url] = filename

    @property
    def unreadable_names(self) -> set[str]:
        """The names of the wheels that have no metadata that can be read."""
        return set(self._unreadable.values())

    def everywhere(self, bare: frozenset[str]) -> bool:
        """Whether metadata can be promised for all wheels of these origins."""
        return not (self._unreadable or any(self.honours(origin) is False for origin in bare))

    def offered(self, address: PageAddress, page: Excerpt) -> Offered:
        """The wheels of a page for which metadata can be promised, of those that the index offers none for.

        `page`: what it says of the files that are stored, and of `unreadable_names`.
        """
        refusing = frozenset(origin for origin in page.summary.bare if self.honours(origin) is False)
        bad = frozenset(url for url, name in self._unreadable.items() if page.by_name.get(name))
        if not refusing and not bad:
            return EVERYTHING
        return Offered(refusing, self._stored(address, page) if refusing else frozenset(), bad)

    def _stored(self, address: PageAddress, page: Excerpt) -> frozenset[str]:
        """The addresses of the wheels that are stored, or whose metadata is."""
        site, found = address.site, set[str]()
        for key in self._store.keys(file_keys(site.mount, address.project or None)):
            wheel = key.removesuffix(".metadata")
            for file in page.by_name.get(name_in_key(wheel), ()):
                target = located(file, site)
                if target is not None and file_key(target) == wheel and self._store.find(key) is not None:
                    found.add(file.url)
        return frozenset(found)
