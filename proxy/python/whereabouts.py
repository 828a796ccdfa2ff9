"""Whereabouts: on which hosts an index has its files, by which scheme, and in which folders its pages are.

Learnt by `catalog` from pages as they are read, and asked for a file that no page lists. Never fetches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from proxy.bounded import Bounded
from proxy.cache.flight import Location
from proxy.model import Site, Target
from proxy.ports import Store
from proxy.python import addresses, urls

_FRONTS = 16  # folders of pages known of a mount
_HOSTS = 1000  # known of a mount


class Whereabouts:
    """What is known, by mount. Mutable state: hosts with the scheme of the last link, folders of pages."""

    def __init__(self, sites: Mapping[str, Site], store: Store) -> None:
        parts = [urls.dissect(site.base) for site in sites.values()]
        self._schemes = {host: scheme for scheme, host, _ in parts}
        self._bases = frozenset((host, path) for _, host, path in parts)
        self._store = store
        self._hosts: dict[str, Bounded[str, str]] = {}
        self._fronts: dict[str, OrderedDict[str, None]] = {}

    def linked(self, site: Site, host: str, url: str) -> None:
        """A page of the index links to `url`, on another host than its own."""
        hosts = self._hosts.setdefault(site.mount, Bounded(_HOSTS))
        hosts[host] = url.partition(":")[0].lower()

    def found(self, site: Site, project: str, path: str) -> None:
        """The page of a project is at `path`: those of others may be beside it."""
        front = _front(project, path)
        if front is not None:
            fronts = self._known(site)
            fronts[front] = None
            fronts.move_to_end(front, last=False)
            if len(fronts) > _FRONTS:
                fronts.popitem()

    def fronts(self, site: Site) -> list[str]:
        """The folders in which pages were found, the last one first."""
        return list(self._known(site))

    def knows(self, target: Target, site: Site) -> bool:
        """Whether the file is below a mount's base, or on a host that pages of the index or the settings name."""
        if target.host is None or target.host in self._hosts.get(site.mount, ()) or target.host in site.hosts:
            return True
        path = addresses.path_of(target)
        return any(host == target.host and path.startswith(base) for host, base in self._bases)

    def locations(self, target: Target, site: Site) -> tuple[Location, ...]:
        """Where a file is, if no page says its address; more than one where its scheme can only be tried.

        A host that the settings name with its port may speak plain http if the index itself does.
        """
        schemes: tuple[str | None, ...] = (None,)  # by its port
        if target.host is not None:
            linked = self._hosts.get(site.mount)
            scheme = (linked.get(target.host) if linked else None) or self._schemes.get(target.host)
            if scheme is not None:
                schemes = (scheme,)
            elif target.host in site.hosts and site.base.startswith("http:") and _has_port(target.host):
                schemes = ("https", "http")
        return tuple(Location(addresses.upstream_url(target, site, scheme), site) for scheme in schemes)

    def _known(self, site: Site) -> OrderedDict[str, None]:
        """The folders of pages; of an earlier run, those of pages that are kept."""
        fronts = self._fronts.get(site.mount)
        if fronts is None:
            fronts = self._fronts[site.mount] = OrderedDict()
            for key in self._store.keys(f"page:{site.mount}:"):
                _, _, project, path = key.split(":", 3)
                front = _front(project, path)
                if front is not None and len(fronts) < _FRONTS:
                    fronts[front] = None
        return fronts


def _front(project: str, path: str) -> str | None:
    return path.removesuffix(f"{project}/") if project and f"/{path}".endswith(f"/{project}/") else None


def _has_port(host: str) -> bool:
    return not host.endswith((":80", "]")) and ":" in host
