"""What the settings allow of archives: hosts, ports, further paths, and how long upstream's word counts.

The composition root makes one of the settings; the service asks it for every address. Pure. Addresses that hosts
resolve to are the guard's business (`proxy.upstream.guard`): it learns from the site which hosts the settings name.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from proxy.apt import paths
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.paths import PathClass, Volatile
from proxy.errors import NotAllowed
from proxy.model import Site

MOUNT = "apt"  # what metrics and logs call all archives together; never a mount
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings. `window` in seconds; `hosts` as `host` or `host:port`; `patterns` in the manner of a shell.

    `retries`: how often a request for what is of lists is tried again. `agent`: the User-Agent that archives are told.
    """

    hosts: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    window: float = 20.0
    serve_expired: bool = False
    retries: int = 0
    agent: str = ""

    def site_of(self, address: ArchiveAddress) -> Site:  # noqa: ARG002 - all archives are one site, so far
        """The archive of an address, as the upstream client sees it. `ttl`: how long upstream's word counts there."""
        return Site(MOUNT, "", "", self.window, self.hosts, named=False, agent=self.agent)

    def admit(self, address: ArchiveAddress) -> None:
        """Raise NotAllowed for a host or a port that the settings do not open."""
        exact = address.host if not address.usual_port else f"{address.host}:{_PORTS[address.scheme]}"
        named = exact in self.hosts
        if not address.usual_port and not named:
            raise NotAllowed(
                "Archives are fetched from the ports 80 and 443 only; name host:port under apt.hosts in the settings "
                "to open another one."
            )
        if self.hosts and not named and address.host not in self.hosts:
            raise NotAllowed(
                "The settings open certain archives only; name further hosts under apt.hosts to open them."
            )

    def classify(self, path: str) -> PathClass:
        """What the file at `path` is. Raises NotAllowed for what is no file of an archive, and matches no pattern."""
        try:
            return paths.classify(path)
        except NotAllowed:
            if path and not path.endswith("/") and any(fnmatchcase(path, pattern) for pattern in self.patterns):
                return Volatile()
            raise
