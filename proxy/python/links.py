"""A link of a page → the address that it leads to, in one spelling.

Used by `parsing` for every form that indexes have: page-relative, `../`, root-relative, absolute, `//host`. Never
decides whether an address may be fetched.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import urljoin, urlsplit

from proxy.errors import BadTarget
from proxy.python import addresses

_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
# Links that no rule of joining would change: pages have thousands of them.
_ROOTED = re.compile(r"/[A-Za-z0-9_~%+-][A-Za-z0-9._~%+/-]*")
_BARE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~%+-]*")


class Base(NamedTuple):
    """What the links of a page are resolved against."""

    url: str
    folder: str  # its folder's address, which ends in a slash
    origin: str  # its scheme and host, without a slash

    @classmethod
    def of(cls, url: str, base: str = "") -> Self:
        """For the page that came from `url`; `base` is the address in its `<base>`, if it has one that can be read."""
        try:
            joined = _joined(url, base)
            addresses.dissect(joined)
        except BadTarget:
            joined = url
        return cls(joined, _joined(joined, "."), _joined(joined, "/")[:-1])

    def resolve(self, href: str) -> tuple[str, str]:
        """The absolute address of a link (RFC 3986 §5), without a fragment, and its last segment, decoded.

        The last segment is what an anchor's text should be and is not on every index; it is empty where the link leads
        to a folder. Raises BadTarget for what cannot be fetched by http or https.
        """
        if _ABSOLUTE.match(href):
            url = href
        elif _ROOTED.fullmatch(href):
            url = self.origin + href
        elif _BARE.fullmatch(href):
            url = self.folder + href
        else:
            url = _joined(self.url, href)
        if "/." in url:  # joining leaves dots in absolute addresses
            url = _joined(url, urlsplit(url)._replace(scheme="", netloc="").geturl())
        scheme, host, path = addresses.dissect(url)
        query = url.partition("#")[0].partition("?")[2]
        return addresses.absolute(scheme, host, path, query), path.rpartition("/")[2]


def _joined(base: str, href: str) -> str:
    try:
        return urljoin(base, href)
    except ValueError:
        raise BadTarget("The address of a link cannot be read.") from None
