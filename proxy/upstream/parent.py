"""The parent: another cache of this kind, which is asked in place of every upstream (ADR 22).

The client asks where the parent has what is at an address upstream, and what the parent's own refusals mean. For
tunnels the parent is a proxy. Never sends anything itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from yarl import URL

from proxy.bounded import Bounded
from proxy.config.archives import MOUNT as ARCHIVES
from proxy.config.proxies import Proxy
from proxy.errors import BadTarget, NotAllowed, ParentOffline, UpstreamError, UpstreamUnreachable
from proxy.model import Site

_STATUS, _OFFLINE = "cache-status", "detail=offline"  # RFC 9211; as web/error_responses.py writes it
_NAME = re.compile(r"\bpullthrough-[0-9a-f]{8}\b")  # of a cache, as the composition root makes it
_WAITED = re.compile(r"waited=[0-9]{1,2}")
_CHILDREN = 64  # names remembered
_MARKS = frozenset(".:[")  # by which the parent tells an archive's host from a mount


class Parent:
    """Where a parent has things. It is a `ports.Proxies`, too: for tunnels.

    Mutable state: the caches that ask this one. The parent is told their names beside this cache's own, so that a
    circle of several is noticed before each waits for the next.
    """

    def __init__(self, url: str, via: str, at: Callable[[str, Site], str]) -> None:
        """`url`: scheme, host and port. `via`: this cache's name for other ones.

        `at` gives the path on a cache with the same mounts of what is at an address of a site; it raises BadTarget.
        """
        self._url = url
        self._at = at
        self._proxy = Proxy(url, "`parent` in the settings")
        self._via = via
        self._children: Bounded[str, None] = Bounded(_CHILDREN)

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the parent has besides (RFC 9110 §7.6.3): a cache that is its own parent notices it."""
        return {"Via": ", ".join(f"1.1 {name}" for name in (*self._children, self._via))}

    def asked(self, via: Iterable[str]) -> None:
        """Note who asks this cache: `via` are the values of `Via` of a request."""
        for value in via:
            for name in _NAME.findall(value):
                self._children[name] = None

    def place(self, url: str, site: Site) -> URL:
        """Where the parent has what is at `url` upstream. Raises NotAllowed if it can have no such thing."""
        if self.has(url, site):
            return URL(url, encoded=True)
        return URL(self._url + (_archived(url) if site.mount == ARCHIVES else self._indexed(url, site)), encoded=True)

    def has(self, url: str, site: Site) -> bool:
        """Whether this is an address at the parent already: of a file whose address upstream only its page knows."""
        return url.startswith(f"{self._url}/{site.mount}/")

    def refusal(self, status: int, headers: Mapping[str, str]) -> UpstreamError | None:
        """What an answer of the parent's own means; None if it may be upstream's. `headers` have lower-case names."""
        if status == HTTPStatus.NOT_FOUND and _OFFLINE in headers.get(_STATUS, ""):
            return ParentOffline("The parent cache is offline, and does not have what was asked of it.")
        if status == HTTPStatus.LOOP_DETECTED:
            return UpstreamUnreachable(
                "The cache that `parent` names sends requests back to this cache; name the one behind it there."
            )
        return None

    def proxy(self, mount: str, url: str) -> Proxy:  # noqa: ARG002 - the contract's
        """See `ports.Proxies.proxy`: all tunnels go through the parent."""
        return self._proxy

    def _indexed(self, url: str, site: Site) -> str:
        query = url.partition("?")[2]
        try:
            # A cache that needs long for metadata redirects its client to the same address: ADR 8 has no other query.
            return self._at(url, site) + (f"?{query}" if _WAITED.fullmatch(query) else "")
        except BadTarget:
            raise NotAllowed("The parent cache has no address for this file.") from None


def _archived(url: str) -> str:
    """The path of an archive's file in prefix form, spelt as it is."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    if _MARKS.isdisjoint(host):
        host += ":443" if scheme == "https" else ":80"
    return f"/HTTPS///{host}/{path}" if scheme == "https" else f"/{host}/{path}"
