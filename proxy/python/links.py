"""A link of a page → the address that it leads to, in one spelling.

Used by `parsing` for every form that indexes have: page-relative, `../`, root-relative, absolute, `//host`. Never
decides whether an address may be fetched.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from proxy.address_text import SLASH
from proxy.errors import BadTarget
from proxy.python import urls

_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
# Links that no rule of joining would change: pages have thousands of them.
_ROOTED = re.compile(r"/[A-Za-z0-9_~%+-][A-Za-z0-9._~%+/-]*")
_BARE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~%+-]*")
# What an installer follows and this cache does not: repositories (not those of a client's own disk), and FTP.
_FOLLOWED = re.compile(r"(?:git|hg|svn|bzr)\+(?:https?|ssh|git|svn|s?ftp|lp)|ftps?|https?")
_WEB = re.compile(r"(?:.*\+)?https?")
# RFC 3986 §2: what may stand in an address, but for quotes, which end an attribute of HTML.
_SAFE = ":/?#[]@!$&()*+,;=-._~%"


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
            urls.dissect(joined)
        except BadTarget:
            joined = url
        return cls(joined, _joined(joined, "."), _joined(joined, "/")[:-1])

    def lead(self, href: str) -> tuple[str, str] | None:
        """The address that a link leads to, and the name at its end; None for one that no installer could follow."""
        try:
            return self.resolve(href)
        except BadTarget:
            pass
        try:
            return self.follow(href)
        except BadTarget:
            return None

    def resolve(self, href: str) -> tuple[str, str]:
        """The absolute address of a link (RFC 3986 §5), without a fragment, and the name at its end, decoded.

        The name is what an anchor's text should be and is not on every index; it is empty where the link leads to a
        folder. Raises BadTarget for what cannot be fetched by http or https.
        """
        if _ABSOLUTE.match(href):
            url = href
        elif _ROOTED.fullmatch(href):
            url = self.origin + href
        elif _BARE.fullmatch(href):
            url = self.folder + href
        else:
            url = _joined(self.url, href)
        if "/." in url:  # of an absolute address nobody has taken the dots yet
            url = _joined(url, "")
        scheme, host, path = urls.dissect(url)
        query = url.partition("#")[0].partition("?")[2]
        name = path.rpartition("/")[2]
        # pip takes what stands behind an encoded slash for the name, too.
        return urls.absolute(scheme, host, path, query), name.rpartition(SLASH)[2] if SLASH in name else name

    def follow(self, href: str) -> tuple[str, str]:
        """The same of a link that the cache cannot fetch and an installer may follow; it is passed on as it is.

        But for a password in it, which is nobody's business, and the user name where that may be a token. Raises
        BadTarget for what is not meant for installers (`javascript:`), or leads to a client's own disk.
        """
        url = _joined(self.url, href.partition("#")[0])
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            raise BadTarget("The address of a link cannot be read.") from None
        if not _FOLLOWED.fullmatch(parts.scheme) or not host or SLASH in parts.netloc:
            raise BadTarget("The link leads to nothing that an installer could fetch.")
        user = "" if _WEB.fullmatch(parts.scheme) else parts.netloc.rpartition("@")[0].partition(":")[0]
        shown = urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host))
        name = unquote(parts.path.rstrip("/")).rpartition("/")[2]
        return quote(shown, safe=_SAFE), "".join(letter if letter.isprintable() else "_" for letter in name)


def _joined(base: str, href: str) -> str:
    """The address that `href` is on a page at `base` (RFC 3986 §5.2). Raises BadTarget.

    Not `urllib.parse.urljoin`: that leaves empty segments out, which may mean something upstream.
    """
    try:
        at, to = urlsplit(base), urlsplit(href)
    except ValueError:
        raise BadTarget("The address of a link cannot be read.") from None
    if to.scheme and (to.scheme != at.scheme or to.netloc):
        return href
    if to.netloc:
        return urlunsplit(to._replace(scheme=at.scheme, path=_without_dots(to.path)))
    if not to.path:
        return urlunsplit(at._replace(path=_without_dots(at.path), query=to.query or at.query))
    front = "" if to.path.startswith("/") else at.path[: at.path.rfind("/") + 1] or "/"
    return urlunsplit(at._replace(path=_without_dots(front + to.path), query=to.query, fragment=to.fragment))


def _without_dots(path: str) -> str:
    """A path without its segments of dots (RFC 3986 §5.2.4); empty segments stay."""
    if "/." not in path:
        return path
    segments = path.split("/")
    made: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            del made[-1:]
        elif segment != ".":
            made.append(segment)
    if segments[-1] in {".", ".."}:
        made.append("")
    return "/" + "/".join(made)
