"""Pages from a parent cache, written in upstream's terms before they are stored (ADR 22). Pure.

The parent's links are relative or begin with its own address, and lead to its own addresses. What is left of them
afterwards leads to where upstream has the file: so a stored page stands for itself, with or without a parent. Called
by `page_cache` for each page that arrives from a parent. Never looks at anything but links.
"""

from __future__ import annotations

import re

from proxy.errors import BadTarget
from proxy.model import Site
from proxy.python import addresses, urls
from proxy.python.addresses import MARKER
from proxy.python.links import Base

# As `rendering` writes links, which have no character that is escaped in JSON or HTML. A quote within a text of JSON
# has a backslash before it. Pages have thousands of links, so nothing else of them is read.
_JSON = re.compile(r'("url" ?: ?")([^"\\]+)(?=")')
_HTML = re.compile(r'( href=")([^"]+)(?=")')
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ELSEWHERE = f"{MARKER}/"
# What may begin a mark in a path on a cache: a plus sign, as `addresses.quoted` writes it.
_PLUS = "%2B"


def in_upstream_terms(body: bytes, content_type: str, url: str, site: Site) -> bytes:
    """The page with links to upstream. `url`: upstream's address of the page, which the relative links start from."""
    links = _Links(url, site)
    page = body.decode(errors="surrogateescape")
    written = _JSON if "json" in content_type else _HTML
    return written.sub(lambda found: found[1] + links.upstream(found[2]), page).encode(errors="surrogateescape")


class _Links:
    """The links of one page."""

    def __init__(self, url: str, site: Site) -> None:
        page = urls.path_on_cache(url, site)
        self._site = site
        self._root = f"{site.parent}/{site.mount}/"
        self._base = Base.of(site.parent + page)
        folder = page[: page.rindex("/") + 1]
        elsewhere = f"/{site.mount}/{MARKER}/"
        self._elsewhere = addresses.between(folder, elsewhere), site.parent + elsewhere

    def upstream(self, link: str) -> str:
        """The link to where upstream has it; the parent's own address if only the parent knows that."""
        if link.startswith(self._elsewhere):
            host, _, path = link[link.index(_ELSEWHERE) + len(_ELSEWHERE) :].partition("/")
            if not path.startswith(_PLUS) and f"/{_PLUS}" not in path and "%" not in host:
                scheme = "http" if host.endswith(":80") else "https"
                return f"{scheme}://{host.removesuffix(':80')}/{path}"
        elif link.startswith(self._root):
            path = link[len(self._root) :]  # below upstream's base as it is below the mount
            if not path.startswith(_PLUS) and f"/{_PLUS}" not in path:
                return self._site.base + path
        elif _SCHEME.match(link) or (link[:1] != "/" and not link.startswith(_PLUS) and f"/{_PLUS}" not in link):
            return link  # what the parent passes on, or below upstream's base as it is below the mount
        return self._through_target(link)

    def _through_target(self, link: str) -> str:
        bare, sharp, fragment = link.partition("#")
        try:
            url, _ = self._base.resolve(bare)
            if not url.startswith(self._root):
                return url + sharp + fragment
            target = addresses.parse(f"/{self._site.mount}/{url[len(self._root) :]}", {self._site.mount})
            known = addresses.path_of(target) == target.path
            url = urls.upstream_url(target, self._site) if known else self._site.parent + addresses.format_path(target)
        except BadTarget:
            return link
        return url + sharp + fragment
