"""A project's page as the newest standard has it, whatever form it came in.

Simple repository API 1.4: PEP 503, 592, 629, 658, 691, 700, 714, 740, 792. Made by `parsing`, read by `rendering` and
`catalog`. What the standard does not know stays in it, so that a page passes through with what a later standard adds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from urllib.parse import unquote

import msgspec

from proxy.model import ALGORITHMS, Digest

SMALL = 128 << 10  # bytes of a file that is fetched as fast as a part of it
_FOR_INSTALLERS = re.compile(r"(?:^|&)(?:egg|subdirectory)=")  # what pip reads in a fragment besides hashes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
EMPTY: Mapping[str, object] = MappingProxyType({})


def is_time(text: str) -> bool:
    """Whether a text is a time as JSON has it (PEP 700). pip and uv take no page on which another one stands."""
    try:
        return _TIME.fullmatch(text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def needed(fragment: str) -> str:
    """The fragment of a link if installers read it, else an empty one."""
    return fragment if fragment and _FOR_INSTALLERS.search(fragment) else ""


def origin_of(url: str) -> str:
    """Scheme and host of an address of http or https, with a slash at the end (RFC 6454 §4)."""
    return f"{'/'.join(url.split('/', 3)[:3])}/"


def _empty() -> Mapping[str, object]:
    return EMPTY


class File(msgspec.Struct, frozen=True):
    """One link of a page: to a distribution, or to any other file."""

    filename: str
    url: str  # upstream's, absolute, with its query, without a fragment; of any scheme that an installer may follow
    digests: tuple[Digest, ...] = ()  # those that can be checked, the most trusted first
    hashes: Mapping[str, object] = msgspec.field(default_factory=_empty)  # by algorithm: what cannot be checked here
    requires_python: str | None = None  # PEP 345's specifiers, unescaped
    core_metadata: bool | Digest | None = None  # of its `.metadata` file (PEP 658, 714); None: the page does not say
    yanked: bool | str = False  # PEP 592: true, or the reason
    gpg_sig: bool | None = None  # whether it has an `.asc` file; None: the page does not say
    size: int | None = None  # bytes (PEP 700)
    upload_time: str | None = None  # as upstream wrote it (PEP 700)
    provenance: str | None = None  # an address outside of the index (PEP 740)
    fragment: str = ""  # of the link, unless it is just a digest: `main`, `egg=name`
    project: str = ""  # whose page lists it, normalised, where its name does not tell
    extra: Mapping[str, object] = msgspec.field(default_factory=_empty)  # further keys of JSON, or attributes of HTML

    @property
    def small(self) -> bool:
        """Whether all of it is fetched as fast as a part."""
        return self.size is not None and self.size <= SMALL

    @property
    def origin(self) -> str:
        """Scheme and host of its address, with a slash at the end (RFC 6454 §4)."""
        return origin_of(self.url)

    @property
    def needed_fragment(self) -> str:
        """The fragment if installers read it for more than hashes: it names the project, or a folder in it."""
        return needed(self.fragment)

    @property
    def fetchable(self) -> bool:
        """Whether the cache can fetch it: by http or https."""
        return self.url.startswith("http")

    @property
    def best_digest(self) -> Digest | None:
        """The digest that is checked; None if the page gives none that can be."""
        return self.digests[0] if self.digests else None

    @property
    def bare(self) -> bool:
        """Whether it is a wheel of which the index offers no metadata."""
        return not self.core_metadata and self.filename.endswith(".whl") and self.fetchable


class Page(msgspec.Struct, frozen=True):
    """All links of a project. `html`: the form that it came in; HTML has no place for sizes and versions."""

    name: str
    files: Sequence[File]
    html: bool
    api_version: str | None = None  # its own (PEP 629); None: the page does not say, which means 1.0
    versions: tuple[str, ...] | None = None  # PEP 700; None: the page does not say
    status: str | None = None  # PEP 792
    status_reason: str | None = None
    folders: tuple[
        str, ...
    ] = ()  # addresses of folders that a page in HTML links to: a listing, or the root of an index
    root: bool = False  # by its form it is a list of projects
    meta: Mapping[str, object] = msgspec.field(
        default_factory=_empty
    )  # further keys of JSON's `meta`, or the contents of further `pypi:` metas of HTML
    extra: Mapping[str, object] = msgspec.field(default_factory=_empty)  # further keys of JSON at the top

    @property
    def quarantined(self) -> bool:
        """Whether nothing of the project may be listed or served (PEP 792)."""
        return self.status is not None and self.status.strip().lower() == "quarantined"


# ---------------------------------------------------------------------- hashes that a page gives


def digests_of_table(table: Mapping[str, object]) -> tuple[tuple[Digest, ...], Mapping[str, object]]:
    """The digests in a JSON table that can be checked, the most trusted first; and the other hashes, as they came."""
    digests: list[Digest] = []
    others: dict[str, object] = {}
    for name, value in table.items():
        digest = digest_of(name, value) if isinstance(value, str) else None
        if digest is not None:
            digests.append(digest)
        else:
            others[name] = value
    if len(digests) > 1:
        digests.sort(key=trust)
    return tuple(digests), others or EMPTY


def digest_of(name: str, value: str) -> Digest | None:
    """The digest, if it is one that can be checked."""
    if name == "sha256" and _SHA256.fullmatch(value):
        return Digest(name, value)  # the usual case, and a page has thousands
    return Digest.parse(f"{name}={value}")


def trust(digest: Digest | None) -> int:
    """The place of a digest in the order of trust; none at all comes last."""
    return ALGORITHMS.index(digest.algorithm) if digest is not None else len(ALGORITHMS)


def digests_of_fragment(fragment: str) -> tuple[str, tuple[Digest, ...]]:
    """A link's fragment, decoded, and the digests in it (PEP 503). A fragment that is just a digest becomes empty."""
    if not fragment:
        return "", ()
    decoded = unquote(fragment)
    name, _, value = decoded.partition("=")
    digest = digest_of(name, value)
    if digest is not None:
        return "", (digest,)
    digests = [digest for part in decoded.split("&") if (digest := Digest.parse(part)) is not None]
    return decoded, tuple(sorted(digests, key=trust))
