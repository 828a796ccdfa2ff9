"""Links of pages: upstream's link → the address that it leads to → the link on the cache's page. Pure.

`Base` reads links in every form that indexes have (page-relative, `../`, root-relative, absolute, `//host`), for
`parsing`. `PageLinks` writes links, for `rendering`. User names and passwords of an index must reach no client: links
lose theirs when they are read, and `redacted` removes them from all other text of a page. Never decides whether an
address may be fetched.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from proxy.address_text import SLASH
from proxy.errors import BadTarget
from proxy.model import Site, Target
from proxy.python import filenames, urls
from proxy.python.addresses import MARKER, between, format_path, front, page_folder, plain

_SCHEME = len("https://")
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
# Links that need no rules of joining. Pages have thousands of them.
_ROOTED = re.compile(r"/[A-Za-z0-9_~%+-][A-Za-z0-9._~%+/-]*")
_BARE = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~%+-]*")
# What an installer follows and this cache does not: FTP, and repositories (not those on the client's own disk).
_FOLLOWED = re.compile(r"(?:git|hg|svn|bzr)\+(?:https?|ssh|git|svn|s?ftp|lp)|ftps?|https?")
_WEB = re.compile(r"(?:.*\+)?https?")
# RFC 3986 §2: what an address may contain, except quotes, which end an attribute of HTML.
_SAFE = ":/?#[]@!$&()*+,;=-._~%"
# In JSON a slash may be written with a backslash before it. A password may have an at sign.
_USER = re.compile(rb"((?:\\?/){2})([^/\\\s\"'<>?#]{1,1024})@")
_BEFORE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*:|[\w.~%/:+-])\Z")
_WEB_ADDRESS = re.compile(rb"(?:.*\+)?https?:", re.IGNORECASE)
_BEFORE_SLASHES = 32  # bytes before the slashes in which a scheme is looked for
_ENDS = (b" ", b"\t", b"\r", b"\n", b'"', b"'", b"<", b">", b"?", b"#")  # what no user name contains
_LONGEST = 2048  # bytes of a word without an end, after which it is passed on


class Base(NamedTuple):
    """What the links of a page are resolved against."""

    url: str
    folder: str  # its folder's address, which ends in a slash
    origin: str  # its scheme and host, without a slash

    @classmethod
    def of(cls, url: str, base: str = "") -> Self:
        """For the page that came from `url`. `base`: the address in its `<base>`, ignored if it cannot be read."""
        try:
            joined = _joined(url, base)
            urls.dissect(joined)
        except BadTarget:
            joined = url
        return cls(joined, _joined(joined, "."), _joined(joined, "/")[:-1])

    def is_beside(self, folder: str) -> bool:
        """Whether a folder is another one in the folder that the page's own is in."""
        above = f"{self.folder[:-1].rpartition('/')[0]}/"
        return folder.startswith(above) and folder != self.folder and folder.count("/") == self.folder.count("/")

    def address_of(self, href: str) -> tuple[str, str] | None:
        """The address that a link leads to, and the name at its end; None if no installer could follow the link."""
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

        The name is what an anchor's text should be, which not every index gives. It is empty if the link leads to a
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
        if "/." in url:  # an absolute address may still have segments of dots
            url = _joined(url, "")
        scheme, host, path = urls.dissect(url)
        query = url.partition("#")[0].partition("?")[2]
        name = path.rpartition("/")[2]
        # pip, too, takes what is behind an encoded slash for the name.
        return urls.absolute(scheme, host, path, query), name.rpartition(SLASH)[2] if SLASH in name else name

    def follow(self, href: str) -> tuple[str, str]:
        """The same of a link that the cache cannot fetch, but an installer may follow. It is passed on as it is.

        It loses a password, and the user name where that may be a token. Raises BadTarget for what is not meant for
        installers (`javascript:`), or leads to the client's own disk.
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
    """The address of the link `href` on a page at `base` (RFC 3986 §5.2). Raises BadTarget.

    `urllib.parse.urljoin` would drop empty segments, which may mean something upstream.
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
    folder = "" if to.path.startswith("/") else at.path[: at.path.rfind("/") + 1] or "/"
    return urlunsplit(at._replace(path=_without_dots(folder + to.path), query=to.query, fragment=to.fragment))


def _without_dots(path: str) -> str:
    """A path without segments of dots (RFC 3986 §5.2.4). Empty segments stay."""
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


class PageLinks:
    """Writes the links of one page: what `relative` gives for `locate_file`, but faster, since pages have thousands."""

    def __init__(self, page: Target, site: Site, base: str = "") -> None:
        """`base`: what links begin with, scheme, host and port of this cache; relative links if it is empty."""
        self._site = site
        self._host = page.host
        self._start = base
        self._folder = "" if base else page_folder(page)
        self._root = front(site.mount, None)
        self._base = urls.base_parts(site.base)
        self._own = urls.absolute(*self._base)
        self._fronts: dict[str, str] = {}  # of links to other hosts
        self._stems: dict[str, str | None] = {}  # of links to plain addresses

    def to(self, url: str, name: str, project: str = "") -> str:
        """The link to the file `name` at an address upstream. Raises BadTarget if the cache has no address for it."""
        parts = urls.plainly(url)
        if parts is not None and not project and parts[2].rpartition("/")[2] == name and plain(parts[2]):
            scheme, host, path = parts
            base_scheme, base_host, base_path = self._base
            if host != base_host or scheme != base_scheme or not path.startswith(base_path):
                if host != self._host:
                    return self._front(host) + path.replace("+", "%2B")
            elif filenames.is_file(name) and not path.startswith(MARKER, len(base_path)):
                return self._link(self._root + path[len(base_path) :].replace("+", "%2B"))
        return self._link(format_path(urls.locate_file(url, self._site, name, project)))

    def stem(self, url: str, name: str) -> str:
        """How the plain address of the file `name` begins, up to where the rest of it is the rest of its link.

        Empty if its link may not end so.
        """
        own = self._own
        if not url.startswith(own):
            return url[: url.index("/", _SCHEME) + 1]
        return url[: url.find("/", len(own)) + 1] if filenames.is_file(name) else ""

    def is_apart(self, stem: str) -> bool:
        """Whether it is the stem of every plain address that begins so: that of a host on which the index is not."""
        return not self._own.startswith(stem) and not stem.startswith(self._own)

    def front_for(self, stem: str) -> str | None:
        """How the links to addresses with a stem begin, in place of it; None if each is to be made by itself."""
        if stem not in self._stems:
            try:
                self._stems[stem] = self._front_for(stem)
            except BadTarget:
                self._stems[stem] = None
        return self._stems[stem]

    def _front_for(self, stem: str) -> str | None:
        parts = urls.plainly(f"{stem}x")
        if parts is None or parts[1] == self._host:
            return None
        if not stem.startswith(self._own):
            return self._front(parts[1])
        if stem == f"{self._own}{MARKER}/":
            return None if self._host else self._front(parts[1]) + stem[stem.index("/", _SCHEME) + 1 :]
        there = self._root + stem[len(self._own) :]
        # A file in a folder that the page is in has a shorter link.
        return None if self._folder.startswith(there) else self._link(there)

    def _front(self, host: str) -> str:
        """How links to another host begin."""
        found = self._fronts.get(host)
        if found is None:
            there = front(self._site.mount, urls.foreign_host(host))
            found = self._fronts[host] = self._link(there)
        return found

    def _link(self, there: str) -> str:
        """The link to a path on this cache, which has a slash at its front."""
        return self._start + between(self._folder, there)


# ---------------------------------------------------------------------- users


def redacted(text: bytes) -> bytes:
    """The text without users in its addresses. Those of repositories (`ssh://git@host`) lose only a password."""
    return _USER.sub(_shown, text) if b"@" in text else text


def _shown(found: re.Match[bytes]) -> bytes:
    slashes, user = found.groups()
    before = _BEFORE.search(found.string[max(found.start() - _BEFORE_SLASHES, 0) : found.start()])
    if before is None or _WEB_ADDRESS.fullmatch(before[1]):
        return slashes
    if before[1].endswith(b":"):
        return slashes + user.partition(b":")[0] + b"@"
    return found[0]  # a path with an empty segment


class Redactor:
    """The same for a stream of text. Mutable state: the beginning of a word whose end has not come yet."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on, now that `chunk` has come."""
        text = self._pending + chunk
        end = max(map(text.rfind, _ENDS)) + 1
        if len(text) - end > _LONGEST:
            end = len(text)
        self._pending = text[end:]
        return redacted(text[:end])

    def finish(self) -> bytes:
        """The rest, now that the text has ended."""
        rest, self._pending = self._pending, b""
        return redacted(rest)
