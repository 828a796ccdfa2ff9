"""Addresses of Python indexes: text → `Target` → text, for the cache's side and for upstream's.

`parse` and `format_path` are each other's inverse on the cache's side, `locate` and `upstream_url` on upstream's;
`relative` joins the two. Everybody else speaks in targets, whose paths are those on the cache, with its `marks`. Never
decides whether an address may be fetched, and never repeats a piece of the address in a message.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from urllib.parse import quote

from packaging.utils import NormalizedName, canonicalize_name

from proxy import address_text
from proxy.errors import BadTarget, NotFound
from proxy.model import Site, Target
from proxy.python import filenames, marks, urls

# The segment behind a mount that begins the address of a file on another host. Without a plus sign pip reads it faster.
MARKER = "~files"
EARLIER_MARKER = "+files"  # the same, in keys of the store, and in the addresses of an older cache that is upstream


# ---------------------------------------------------------------------- on the cache's side


def parse(raw_path: str, mounts: Container[str]) -> Target:
    """Read the path of a request, undecoded and without query; it is decoded exactly once, here.

    Raises BadTarget for what is malformed, NotFound for a mount that the settings do not have.
    """
    if not raw_path.startswith("/") or "?" in raw_path or "#" in raw_path:
        raise BadTarget("The address is not a plain path that begins with a slash.")
    mount, slash, path = urls.checked(address_text.decoded(raw_path[1:], slashes=True)).partition("/")
    if mount not in mounts:
        raise NotFound("There is no index at this address. An [[upstream]] of the settings adds one, by its mount.")
    if not slash:
        raise NotFound("The address of an index ends in a slash.")
    first, _, behind = path.partition("/")
    if first != MARKER:
        return Target(mount, None, _canonical(path, abroad=False))
    host, slash, path = behind.partition("/")
    if not slash:
        raise BadTarget("A file on another host has the address /<mount>/~files/<host>/<path>.")
    return Target(mount, _host(host), _canonical(path, abroad=True))


def _canonical(path: str, *, abroad: bool) -> str:
    """The one way to write a path, whose empty segments and marks may be as a client wrote them."""
    if marks.plain(path):
        return path
    said = marks.unmarked(path)
    return _path(said.path, said.name, said.project or "", file=said.file, abroad=abroad)


def _path(path: str, name: str | None, project: str, *, file: bool, abroad: bool) -> str:
    """The path on the cache of what is at `path` upstream, with no more marks than it takes.

    `project`: whose page lists the file, if one does. `abroad`: it is on another host, where no pages are.
    """
    last = path.rpartition("/")[2]
    shown = last if name is None else name
    if file and (abroad or filenames.is_file(shown) or filenames.is_page(shown)):
        file = False
    if project and filenames.tells(shown, project):
        project = ""
    if shown == last and not (file or project) and marks.plain(path):
        return path  # nearly all are so, and there are thousands
    return marks.marked(path, name=None if shown == last else shown, project=project or None, file=file)


def format_path(target: Target) -> str:
    """The path that `parse` reads as `target`, encoded as pip would."""
    return _front(target.mount, target.host) + urls.quoted(target.path)


@lru_cache(maxsize=256)
def _front(mount: str, host: str | None) -> str:
    front = f"/{quote(mount, safe='')}/"
    return front if host is None else f"{front}{MARKER}/{quote(host, safe=':')}/"


def relative(page: Target, to: Target) -> str:
    """The link on the page at `page` that leads to `to`: encoded, relative, without a query (RFC 3986 §4.2).

    A bare file name where the file lies beside the page: build back ends of NVIDIA's packages take it for one.
    """
    return _between(_folder(page), format_path(to))


def _between(folder: str, there: str) -> str:
    """The link from a page in `folder` to the path `there`; the whole path if `folder` is empty."""
    if not folder:
        return there
    up = 0
    while not there.startswith(folder):
        folder = folder[: folder.rindex("/", 0, -1) + 1]
        up += 1
    link = "../" * up + there[len(folder) :]
    # A colon in the first segment would make it a scheme, and an empty link would mean the page itself.
    return f"./{link}" if not link or ":" in link.partition("/")[0] else link


def _folder(page: Target) -> str:
    """The folder of a page, from which links lead; empty where only whole paths are sure to lead anywhere.

    Some clients leave empty segments out of a page's own address, and so count `..` differently.
    """
    path = format_path(page)
    return path[: path.rindex("/") + 1] if marks.without_empties(page.path) == page.path else ""


class Links:
    """The links of one page to files: what `relative` gives for `locate_file`, quick, since there are thousands."""

    def __init__(self, page: Target, site: Site) -> None:
        self._site = site
        self._beside = page.host
        self._folder = _folder(page)
        self._root = _front(site.mount, None)
        self._base = _base(site.base)
        self._fronts: dict[str, str] = {}  # of links to other hosts

    def to(self, url: str, name: str, project: str = "") -> str:
        """The link to the file `name` at an address upstream. Raises BadTarget for what cannot be asked for here."""
        plain = urls.plainly(url)
        if plain is not None and not project and plain[2].rpartition("/")[2] == name and marks.plain(plain[2]):
            scheme, host, path = plain
            base_scheme, base_host, base_path = self._base
            if host != base_host or scheme != base_scheme or not path.startswith(base_path):
                if host != self._beside:
                    return self._front(host) + path.replace("+", "%2B")
            elif filenames.is_file(name) and not path.startswith(MARKER, len(base_path)):
                return _between(self._folder, self._root + path[len(base_path) :].replace("+", "%2B"))
        return _between(self._folder, format_path(locate_file(url, self._site, name, project)))

    def _front(self, host: str) -> str:
        """How links to another host begin."""
        front = self._fronts.get(host)
        if front is None:
            _abroad(host)
            front = self._fronts[host] = _between(self._folder, _front(self._site.mount, host))
        return front


# ---------------------------------------------------------------------- on upstream's side


def upstream_url(target: Target, site: Site, scheme: str | None = None) -> str:
    """Upstream's address of `target`. `scheme` is for a file on another host: https, unless its port is http's.

    Only a page knows the address of a target whose name is not the end of its path (`is_named`).
    """
    path = marks.unmarked(target.path).path
    if target.host is None:
        return site.base + urls.quoted(path)
    if scheme is None:
        scheme = "http" if target.host.endswith(":80") else "https"
    return urls.absolute(scheme, target.host, path)


def path_of(target: Target) -> str:
    """The path of `target` on its host, or below the base of its mount: what upstream knows of it."""
    return marks.unmarked(target.path).path


def is_marked(target: Target) -> bool:
    """Whether the address says by a mark that it is a file's."""
    return "+" in target.path and marks.unmarked(target.path).file


def is_named(target: Target) -> bool:
    """Whether the file's name is no part of its address upstream."""
    return marks.unmarked(target.path).name is not None


def locate(url: str, site: Site) -> Target:
    """The target that stands for an absolute address upstream; query and fragment count for nothing.

    Raises BadTarget for a scheme other than http and https, and for a path that no target can have.
    """
    return _located(url, site, None, "", file=False)


def locate_file(url: str, site: Site, name: str, project: str = "") -> Target:
    """The target of the file `name` at an address upstream. `project`: whose page lists it. Raises BadTarget."""
    return _located(url, site, name, project, file=True)


def _located(url: str, site: Site, name: str | None, project: str, *, file: bool) -> Target:
    scheme, host, path = urls.dissect(url)
    base_scheme, base_host, base_path = _base(site.base)
    if host == base_host and scheme == base_scheme and path.startswith(base_path):
        below = path[len(base_path) :]
        # Another cache of this kind is upstream: its marker must not be read as ours, so the host goes before it.
        if below.partition("/")[0] not in (MARKER, EARLIER_MARKER):
            return Target(site.mount, None, _path(below, name, project, file=file, abroad=False))
    return Target(site.mount, _abroad(host), _path(path, name, project, file=file, abroad=True))


def _abroad(host: str) -> str:
    """A host that `urls.dissect` gave, as a target may have it. Raises BadTarget."""
    if host.endswith(f":{urls.HTTPS}"):
        raise BadTarget("An http address at the port of https cannot be told from an https address.")
    return host


@lru_cache(maxsize=64)
def _base(base: str) -> tuple[str, str, str]:
    return urls.dissect(base)


def _host(text: str) -> str:
    """A host in the one spelling that keys and permissions know: lower case, no default port. Raises BadTarget."""
    name, port = address_text.host(text)
    return name if port in (None, urls.HTTPS) else f"{name}:{port}"


# ---------------------------------------------------------------------- names


def normalize(name: str) -> NormalizedName:
    """The name of a project as addresses have it (PEP 503)."""
    return canonicalize_name(name)


def name_of(target: Target) -> str:
    """The name of the file at `target`."""
    return target.path.rpartition("/")[2]


def folder_of(target: Target) -> str:
    """The path of the folder in which the file at `target` lies upstream, without a slash at its end."""
    return marks.marked(marks.unmarked(target.path).path).rpartition("/")[0]


def parent_of(target: Target) -> str:
    """The path of the folder in which the folder at `target` is, with a slash at its end; empty for the base."""
    return target.path[: target.path.rfind("/", 0, -1) + 1]


def project_of(target: Target) -> str | None:
    """The project whose page lists the file at `target`; a best guess where only the file's name says it, else None."""
    return marks.unmarked(target.path).project or filenames.project_of(name_of(target))
