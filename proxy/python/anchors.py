"""Anchors of a page in HTML → files and folders: by PEP 503, its attributes, and what else installers follow. Pure.

Used by `parsing`. A file has the name at the end of its address, or the one that the page gives it if that is no name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from proxy.model import Digest
from proxy.python import filenames
from proxy.python.file_list import FileList
from proxy.python.links import Base
from proxy.python.page import EMPTY, File, digest_of, digests_of_fragment, is_time
from proxy.python.plain_links import DIGITS, PlainHashes, PlainLink, PlainLinks

SPACE = " \t\n\r\f"  # what HTML strips from an address
_EGG = re.compile(r"(?:^|&)egg=([^&]+)")


def links(parser: LexborHTMLParser, base: Base) -> tuple[FileList, tuple[str, ...]]:
    """The files that a page links to, and the folders."""
    nodes = parser.css("a[href]")
    folders: dict[str, None] = {}
    files = PlainLinks(base).told(
        [_plain(node.attributes) for node in nodes], lambda place: _odd(nodes[place], base, folders)
    )
    return FileList(files), tuple(folders)


def _plain(attributes: Mapping[str, str | None]) -> PlainLink:
    """What an anchor says, as if it were plain. A link without an address is not."""
    href, _, fragment = (attributes["href"] or "").strip(SPACE).partition("#")
    algorithm, _, digits = fragment.partition("=")
    core = _metadata(_own_or_legacy(attributes)) if len(attributes) > 1 else None
    if (
        algorithm != "sha256"
        or len(digits) != DIGITS
        or not _USUAL.issuperset(attributes)
        or (isinstance(core, Digest) and core.algorithm != algorithm)
    ):
        return _OTHER
    yanked = attributes.get("data-yanked", _ABSENT)
    return PlainLink(
        filename=href.rpartition("/")[2].replace("%2B", "+"),
        url=href,
        hashes=PlainHashes(digits),
        requires_python=attributes.get("data-requires-python") or None,
        core_metadata=PlainHashes(core.value) if isinstance(core, Digest) else core,
        yanked=yanked != _ABSENT and (yanked or True),
    )


def _odd(node: LexborNode, base: Base, folders: dict[str, None]) -> File | None:
    """The file that any anchor leads to; or it leads to a folder."""
    attributes = node.attributes
    href, _, fragment = (attributes.pop("href") or "").strip(SPACE).partition("#")
    found = base.address_of(href)
    if found is None or not href or href.startswith("?"):  # such links lead to the page itself
        return None
    address, filename = found
    if "?" in address or not address.startswith("http"):
        filename = _named(filename, address, fragment, node)
    if filename:
        return _file(filename, address, fragment, attributes)
    if address.startswith("http"):
        folders[address.partition("?")[0]] = None
    return None


def _named(last: str, address: str, fragment: str, node: LexborNode) -> str:
    """The name of a file whose address may not end in it: a download by a query, or a repository."""
    if filenames.is_distribution(last):
        return last
    query = address.partition("?")[2]
    egg = _EGG.search(unquote(fragment))
    values = (unquote(value.partition("=")[2]).rpartition("/")[2] for value in query.split("&"))
    likely = (name for name in (node.text(strip=True), *values) if filenames.is_distribution(name))
    return next((name for name in (*likely, egg[1] if egg else "", last) if filenames.fits(name)), "")


def _file(filename: str, address: str, fragment: str, attributes: dict[str, str | None]) -> File:
    fragment, digests = digests_of_fragment(fragment)
    take = attributes.pop
    core = _metadata(_own_or_legacy(attributes))
    take("data-core-metadata", None), take("data-dist-info-metadata", None)
    uploaded = take("data-upload-time", None)
    if uploaded and not is_time(uploaded):  # no standard has the attribute, so it may say anything
        attributes["data-upload-time"], uploaded = uploaded, None
    yanked, gpg_sig, size = take("data-yanked", _ABSENT), take("data-gpg-sig", None), take("data-size", None)
    return File(
        filename=filename,
        url=address,
        digests=digests,
        requires_python=take("data-requires-python", None) or None,
        core_metadata=core,
        # PEP 592: the attribute may stand without a value.
        yanked=False if yanked is _ABSENT else yanked or True,
        gpg_sig=None if gpg_sig is None else gpg_sig.strip().lower() == "true",
        size=int(size) if size and size.isascii() and size.isdigit() and len(size) < len(str(1 << 63)) else None,
        upload_time=uploaded or None,
        provenance=take("data-provenance", None) or None,
        fragment=fragment,
        extra=cast("Mapping[str, object]", attributes) or EMPTY,
    )


_ABSENT = "\0"  # no attribute has this value, since HTML replaces the character
_USUAL = frozenset({"href", "data-requires-python", "data-core-metadata", "data-dist-info-metadata", "data-yanked"})
_OTHER = PlainLink("", "", PlainHashes("0" * DIGITS))


def _own_or_legacy(attributes: Mapping[str, str | None]) -> str | None:
    """The attribute of the metadata, under its old name if need be (PEP 714)."""
    return attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata", _ABSENT))


def _metadata(value: str | None) -> bool | Digest | None:
    if value == _ABSENT:
        return None
    name, _, digits = (value or "").strip().partition("=")
    # pip takes any other value for a yes.
    return digest_of(name, digits) or name.lower() != "false"
