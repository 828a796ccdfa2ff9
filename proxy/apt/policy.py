"""What the settings allow of archives: hosts, ports, further paths, and for how long what upstream said is trusted.

The composition root has a `Policy` made of the settings; the service asks it for every address. Pure. The addresses
that hosts resolve to are the guard's business (`proxy.upstream.guard`): the site tells it which hosts the settings
name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Self

from proxy.apt import paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.paths import PathClass, Volatile
from proxy.config import archives
from proxy.config.addresses import UrlPrefix
from proxy.config.settings import Settings
from proxy.errors import NotAllowed
from proxy.model import Site

MOUNT = archives.MOUNT


@dataclass(frozen=True, slots=True)
class Archive:
    """What an [[archive]] of the settings says of the addresses below `prefix`. `patterns`: of paths below it.

    `window` None: that of all archives. `authenticated`: the settings have credentials for it. `client_credentials`:
    those of clients are passed on.
    """

    prefix: UrlPrefix
    authenticated: bool = False
    client_credentials: bool = False
    patterns: tuple[str, ...] = ()
    window: float | None = None
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings. `window` in seconds; `hosts` as `host` or `host:port`; `patterns` as those of a shell.

    `retries`: how often a request for a list is tried again. `agent`: the User-Agent that is sent to archives.
    """

    hosts: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    window: float = 20.0
    serve_expired: bool = False
    retries: int = 0
    agent: str = ""
    archives: tuple[Archive, ...] = ()
    _sites: dict[Archive | None, Site] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        apt = settings.apt
        return cls(
            apt.hosts,
            tuple(sorted(apt.paths)),
            apt.window,
            apt.serve_expired,
            retries=settings.fetch.retries,
            agent=apt.user_agent,
            archives=tuple(
                Archive(
                    one.prefix,
                    bool(one.credentials),
                    one.client_credentials,
                    tuple(sorted(one.paths)),
                    one.window,
                    one.user_agent,
                )
                for one in settings.archives
            ),
        )

    def archive_of(self, address: ArchiveAddress) -> Archive | None:
        """The [[archive]] of an address: the one with the longest path, and of two such ones, the one with a scheme."""
        if not self.archives:
            return None
        found = [one for one in self.archives if one.prefix.covers(address.scheme, address.host, address.path)]
        return max(found, key=lambda one: (len(one.prefix.path), one.prefix.scheme == address.scheme), default=None)

    def site_of(self, address: ArchiveAddress) -> Site:
        """The archive of an address, as the upstream client sees it. Its `ttl` is the window."""
        archive = self.archive_of(address) if self.archives else None
        site = self._sites.get(archive)
        if site is None:
            site = self._sites[archive] = self._site(archive)
        return site

    def _site(self, archive: Archive | None) -> Site:
        if archive is None:
            return Site(MOUNT, "", "", self.window, self.hosts, named=False, agent=self.agent)
        return Site(
            MOUNT,
            "",
            "",
            self.window if archive.window is None else archive.window,
            self.hosts | archive.prefix.authorities,
            named=False,
            agent=archive.agent or self.agent,
            authenticated=archive.authenticated,
        )

    def admit(self, address: ArchiveAddress) -> None:
        """Raise NotAllowed for a host or a port that the settings do not open."""
        if self.archive_of(address) is not None:
            return
        named = address.host_and_port in self.hosts
        if not address.has_usual_port and not named:
            raise NotAllowed(
                "Archives are fetched from the ports 80 and 443 only. To open another one, add host:port to apt.hosts "
                "in the settings, or the archive as an [[archive]]."
            )
        if self.hosts and not named and address.host not in self.hosts:
            raise NotAllowed(
                "The settings open certain archives only. To open this one, add its host to apt.hosts, or the archive "
                "as an [[archive]]."
            )

    def classify(self, address: ArchiveAddress) -> PathClass:
        """The class of the path. Raises NotAllowed for what is not a file of an archive, and matches no pattern."""
        try:
            return paths.classify(address.path)
        except NotAllowed:
            if address.path and not address.path.endswith("/") and self._matches(address):
                return Volatile()
            raise

    def _matches(self, address: ArchiveAddress) -> bool:
        if any(fnmatchcase(address.path, pattern) for pattern in self.patterns):
            return True
        archive = self.archive_of(address)
        if archive is None:
            return False
        below = address.path.removeprefix(archive.prefix.path)
        return any(fnmatchcase(below, pattern) for pattern in archive.patterns)
