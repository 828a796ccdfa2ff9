"""The values that all rooms share. Frozen, and without access to disk, network or clock."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import MutableMapping
from typing import Generic, Self, TypeVar

import msgspec

from proxy import address_text

# In order of trust: of several digests for a file, the first of these is checked.
ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")
GROUP_INDEX = "simple/"  # the path of every group's pages, below its mount
_HEX = re.compile(r"[0-9a-f]+")
T_co = TypeVar("T_co", covariant=True)


class Digest(msgspec.Struct, frozen=True):
    """A named hash of a body, such as `sha256=9f86d0…`; `value` is lower-case hexadecimal."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `sha256=<hex>`, the form of PEP 503 fragments. None for a digest that cannot be checked."""
        algorithm, _, value = text.lower().partition("=")
        if algorithm not in ALGORITHMS or not _HEX.fullmatch(value):
            return None
        size = hashlib.new(algorithm, usedforsecurity=False).digest_size
        return cls(algorithm, value) if len(value) == size * 2 else None

    @property
    def strong(self) -> bool:
        """Whether nobody can make two files with this digest, so that it identifies the bytes from any source."""
        return self.algorithm not in ("sha1", "md5")

    def __str__(self) -> str:
        return f"{self.algorithm}={self.value}"


class Kind(enum.Enum):
    """What a request asks for; a label of the metrics."""

    PAGE = "page"
    FILE = "file"
    METADATA = "metadata"
    RELEASE = "release"
    INDEX = "index"
    OTHER = "other"


class Source(enum.Enum):
    """Where the bytes of an answer came from (invariant: sent = cache + shared + upstream)."""

    CACHE = "cache"
    SHARED = "shared"
    UPSTREAM = "upstream"

    @property
    def outcome(self) -> Outcome:
        """The outcome of an answer with a file from this source."""
        return _OUTCOMES[self]


class Outcome(enum.Enum):
    """How the cache made an answer; the client sees it in `X-Cache`."""

    HIT = "hit"
    MISS = "miss"
    SHARED = "shared"
    STALE = "stale"
    REVALIDATED = "revalidated"
    ERROR = "error"

    @property
    def source(self) -> Source:
        """Where the bytes come from of an answer that came about so."""
        return _SOURCES.get(self, Source.CACHE)


_OUTCOMES = {Source.CACHE: Outcome.HIT, Source.SHARED: Outcome.SHARED, Source.UPSTREAM: Outcome.MISS}
_SOURCES = {outcome: source for source, outcome in _OUTCOMES.items()}


class Span(msgspec.Struct, frozen=True):
    """The range of a request (RFC 9110 §14.1.2), in bytes: from `start` to before `end`, or the last `suffix` bytes."""

    start: int = 0
    end: int | None = None
    suffix: int | None = None

    def within(self, size: int) -> tuple[int, int] | None:
        """The half-open range of a body of `size` bytes; None if the range cannot be satisfied."""
        if self.suffix is not None:
            return (max(size - self.suffix, 0), size) if self.suffix and size else None
        if self.start >= size:
            return None
        return self.start, size if self.end is None else min(self.end, size)

    @property
    def length(self) -> int | None:
        """The number of bytes, at most; None for an open range."""
        return self.suffix if self.end is None else self.end - self.start


class Part(msgspec.Struct, frozen=True):
    """The bytes `[start, end)` of a representation of `size` bytes (RFC 9110 §14.4)."""

    start: int
    end: int
    size: int | None  # None where upstream does not say it


class Target(msgspec.Struct, frozen=True):
    """A request's address below a mount, decoded once.

    `host` is None for what lies below the mount's base URL, else the foreign host (`host` or `host:port`) of a
    `~files` address. `path` is decoded, has no leading slash, and no empty, `.` or `..` segment; a trailing slash is
    kept, since it tells a page from a file.
    """

    mount: str
    host: str | None
    path: str


class Client(msgspec.Struct, frozen=True):
    """Who sends a request."""

    name: str = "-"  # the same on all connections of a client
    shared: bool = False  # other clients may have the same name
    # The snapshot of each suite, on this connection.
    handed_out: MutableMapping[str, str] = msgspec.field(default_factory=dict)


class Query(msgspec.Struct, Generic[T_co], frozen=True):
    """What a client asks for, read once at the edge (RFC 9110). `target` is a `Target`, or an `ArchiveAddress`."""

    target: T_co
    method: str = "GET"
    span: Span | None = None  # of a GET only (RFC 9110 §14.2)
    if_range: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    no_cache: bool = False  # of Cache-Control: the answer has to be revalidated (RFC 9111 §5.2.1.4)
    accept: str | None = None
    accept_encoding: str | None = None
    format: str | None = None  # the value of ?format= (PEP 691)
    waited: int = 0  # how often the client was redirected here while the answer was not ready
    user_agent: str | None = None
    authorization: str | None = None  # RFC 9110 §11.6.2
    client: Client = msgspec.field(default_factory=Client)
    ahead: bool = False  # no client waits for the answer
    contended: bool = False  # requests ahead of clients are under way there: upstream's failure may be for that
    base: str = ""  # by which the client surely reaches this cache: scheme, host and port, without a slash

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "authorization")
        return f"Query({', '.join(shown)})"

    @property
    def head(self) -> bool:
        """Whether the client wants only the head of the answer."""
        return self.method == "HEAD"


class Site(msgspec.Struct, frozen=True):
    """The upstream that a mount stands for, as the services see it. `base` ends in a slash."""

    mount: str
    base: str
    index: str  # path below the base where project pages are: "simple/" on PyPI, "" on others
    ttl: float  # seconds for which a page counts as fresh
    hosts: frozenset[str] = frozenset()  # hosts that its pages may link to; empty: those that its pages do link to
    flat: bool = False  # its pages list files of any project
    siblings: tuple[str, ...] = ()  # bases that have the same files under the same paths
    volatile: tuple[str, ...] = ()  # paths below the base whose files may be replaced under their names
    keep_removed: bool = True  # pages go on listing cached files that the index has dropped
    honour_no_store: bool = False
    forbidden_is_missing: bool = False  # its 403 means "missing"; else it may mean "authenticate"
    own: frozenset[str] | None = None  # hosts (`host`, `host:port`) whose pages count as its own; None: any
    redirected_is_missing: bool = False  # a page that it redirects to any other host means "missing"
    authenticated: bool = False  # the settings have credentials for it: its answers are not public
    agent: str = ""  # the User-Agent of requests to it; empty: this program's own
    parent: str = ""  # the cache that is asked in place of it, as scheme, host and port; empty: it is asked itself
    named: bool = True  # the settings name the host of `base`; else it came with a request, and is not trusted

    def owns(self, url: str) -> bool:
        """Whether a page from `url`, the address after redirects, counts as this index's own."""
        if self.own is None or url.startswith(self.base):
            return True
        try:
            _, host, port = address_text.origin(url)
        except ValueError:
            return False
        host = address_text.bracketed(host)
        return port != 0 and (host in self.own or f"{host}:{port}" in self.own)


class Member(msgspec.Struct, frozen=True):
    """An index of a group: a mount, and the path below it where project pages are."""

    mount: str
    index: str


class Group(msgspec.Struct, frozen=True):
    """Several indexes at one mount, in order: the first that has a project answers for it.

    `pins`: patterns of normalised names (`torch*`), and the one member that may answer for those projects.
    """

    mount: str
    members: tuple[Member, ...]
    pins: tuple[tuple[str, Member], ...] = ()


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One GET to upstream. `site` says what is allowed, and whose counters the bytes go to.

    `kind`: where requests queue, pages come before files; a host may fail at one and not at the other.
    `bulk`: a further connection for a large file, or work ahead of a client: if it is refused, no client fails.
    `contended`: work ahead is under way there: a failure may be for that, and says nothing of the host.
    `own`: redirects to hosts whose pages do not count as the site's own are not followed.
    """

    url: str
    site: Site
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    kind: Kind = Kind.FILE
    bulk: bool = False
    own: bool = False
    contended: bool = False


class Validator(msgspec.Struct, frozen=True):
    """Upstream's validators of a representation (RFC 9110 §8.8)."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def strong(self) -> str | None:
        """The value that may stand in `If-Range`, or None (RFC 9110 §13.1.5: strong ETag, else Last-Modified)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def same(self, other: Validator) -> bool | None:
        """Whether both belong to one version of a representation; None if they have no validator in common.

        An answer need not repeat all validators. Where both have an ETag, the date does not count.
        """
        if self.etag and other.etag:
            return self.etag == other.etag
        dates = (self.last_modified, other.last_modified)
        return None if None in dates else dates[0] == dates[1]

    @property
    def conditions(self) -> dict[str, str]:
        """The header fields that ask whether a representation changed (RFC 9110 §13.1)."""
        fields = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in fields.items() if value}


class Entry(msgspec.Struct, frozen=True):
    """What the store knows of one address: the blob with its body, and what upstream said about it."""

    key: str
    url: str  # the final address, after redirects: relative links of a page resolve against it
    digest: Digest  # sha256 of the body as it is stored
    size: int  # bytes
    content_type: str
    validator: Validator
    stored: float  # seconds since the epoch
    checked: float  # seconds since the epoch: when upstream last confirmed it
    promised: Digest | None = None  # the index's digest, in its own algorithm, with which the body was compared
    proved: bool = True  # False: no page that might have had a digest could be read

    def known(self, algorithm: str) -> Digest | None:
        """The body's digest in an algorithm, if it is known; None if the body has to be hashed."""
        if algorithm == self.digest.algorithm:
            return self.digest
        return self.promised if self.promised is not None and self.promised.algorithm == algorithm else None


class Blob(msgspec.Struct, frozen=True):
    """A body on disk, named by its sha256. `path` may be opened only through a lease of the store."""

    digest: Digest
    size: int  # bytes
    path: str
