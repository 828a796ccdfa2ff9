"""Layouts of indexes: which pages may list a file that no stored page lists, and on which hosts the files are.

Called by `catalog` when a client asks for a file before its page, by the address in a lock file. `likely_pages` knows
where indexes put pages and files, and orders the pages so that the first one nearly always lists the file. Never
fetches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from packaging.utils import canonicalize_name

from proxy.bounded import Bounded
from proxy.cache.flight import Location
from proxy.model import Site, Target
from proxy.python import addresses, urls
from proxy.python.store_keys import PageAddress

MOST = 8  # pages that are tried for one file
_HOSTS = 1000  # known of a mount
_FOLDERS = 3  # folders of other projects' pages that are tried
_LABEL = re.compile(r"\+([a-z]+[0-9.]*)(?=[-.]|$)")  # the name of a channel in a local version (PEP 440)


def likely_pages(target: Target, site: Site, project: str, folders: Iterable[str] = ()) -> list[PageAddress]:
    """The pages that may list the file at `target`, the likeliest first.

    `folders`: where pages of other projects were found, the last one first.
    """
    own = below(target, site)
    paths = _flat(own) if site.flat else _of_project(own, site, project, folders)
    fit = (path for path in dict.fromkeys(paths) if site.flat or path.startswith(site.index))
    return [PageAddress(site, "" if site.flat else project, path) for path in islice(fit, MOST)]


def _of_project(target: Target, site: Site, project: str, folders: Iterable[str]) -> Iterator[str]:
    folder, name = addresses.folder_of(target), addresses.name_of(target)
    # The folders of another host count only if they have the same names as those of this index.
    above = list(_above(folder)) if target.host is None or site.index else []
    # NVIDIA has files in their page's folder, some registries have them one folder below it.
    own = [path for path in above if canonicalize_name(path[:-1].rpartition("/")[2]) == project]
    yield from own
    # PyTorch has the files of a channel in the folder above that of their page.
    yield from (f"{path}{project}/" for path in above[:1] if not own)
    # A channel has the name of the local version of its files: 2.8.0+cu126. It is a folder of the index, or of the
    # folder with the files of all channels, such as nightly/.
    roots = (site.index, *(path for path in above[:1] if not own))
    labels = _LABEL.findall(name.replace("_", "."))
    yield from (f"{root}{label}/{project}/" for root in roots for label in labels if not root.endswith(f"/{label}/"))
    yield f"{site.index}{project}/"
    yield from (f"{found}{project}/" for found in islice(folders, _FOLDERS))
    if not site.index:
        # Registries have their pages below simple/ or +simple/, and the files in another folder beside it.
        yield from (f"{path}+simple/{project}/" for path in above if f"/{folder}/".startswith(f"/{path}+"))
        yield from (f"{path}simple/{project}/" for path in above)


def _flat(target: Target) -> Iterator[str]:
    """The listing of the file's folder, as it is called, as PyG and as S3-like stores call it; and that of the base."""
    folder = addresses.folder_of(target) if target.host is None else ""
    if folder:
        yield from (f"{folder}/", f"{folder}.html", f"{folder}/index.html")
    yield ""


def _above(folder: str) -> Iterator[str]:
    """A folder and those above it, each with a slash at its end. The base is the last, and empty."""
    while folder:
        yield f"{folder}/"
        folder = folder.rpartition("/")[0]
    yield ""


def same_place(one: Target, other: Target, site: Site) -> bool:
    """Whether two addresses lead to the same file on hosts that have the same files under the same paths."""
    return bool(site.siblings) and below(one, site) == below(other, site)


def below(target: Target, site: Site) -> Target:
    """The address of a file of a sibling below the mount's own base; any other address as it is."""
    for base in site.siblings:
        _, host, path = urls.base_parts(base)
        if target.host == host and target.path.startswith(path):
            return Target(target.mount, None, target.path.removeprefix(path))
    return target


class FileHosts:
    """On which hosts indexes have their files. Mutable state: by mount, hosts with the scheme of the last link.

    `catalog` notes the hosts when it reads pages, and asks when no page lists a file.
    """

    def __init__(self, sites: Mapping[str, Site]) -> None:
        """`sites` is by mount."""
        parts = [urls.dissect(base) for site in sites.values() for base in (site.base, *site.siblings)]
        self._schemes = {host: scheme for scheme, host, _ in parts}
        self._bases = frozenset((host, path) for _, host, path in parts)
        self._hosts: dict[str, Bounded[str, str]] = {}

    def linked(self, site: Site, host: str, url: str) -> None:
        """Note that a page of the index links to `url`, on a foreign host."""
        self._hosts.setdefault(site.mount, Bounded(_HOSTS))[host] = url.partition(":")[0].lower()

    def knows(self, target: Target, site: Site) -> bool:
        """Whether the file is below a mount's base, or on a host that the settings or pages of the index name."""
        if target.host is None or target.host in self._hosts.get(site.mount, ()) or target.host in site.hosts:
            return True
        path = addresses.path_of(target)
        return any(host == target.host and path.startswith(base) for host, base in self._bases)

    def locations(self, target: Target, site: Site) -> tuple[Location, ...]:
        """Where a file is, if no page has its address; several locations if its scheme has to be tried.

        A host that the settings name with its port may use plain http if the index itself does.
        """
        schemes: tuple[str | None, ...] = (None,)  # by its port
        if target.host is not None:
            linked = self._hosts.get(site.mount)
            scheme = (linked and linked.get(target.host)) or self._schemes.get(target.host)
            if scheme is not None:
                schemes = (scheme,)
            elif target.host in site.hosts and site.base.startswith("http:") and _has_port(target.host):
                schemes = ("https", "http")
        return tuple(Location(urls.upstream_url(target, site, scheme), site) for scheme in schemes)


def _has_port(host: str) -> bool:
    return not host.endswith((":80", "]")) and ":" in host
