"""A page as upstream sent it → `Page`: JSON (PEP 691) and HTML (PEP 503), flat link pages and directory listings too.

Called in a worker thread for long pages. Lenient with single links, which are left out when they lead nowhere that can
be fetched; strict with the whole: what is no index page raises UpstreamBroken and is never taken for an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec
from selectolax.lexbor import LexborHTMLParser

from proxy.errors import BadTarget, UpstreamBroken
from proxy.model import ALGORITHMS, Digest
from proxy.python import addresses
from proxy.python.links import Base
from proxy.python.page import NOTHING, File, Page

_VERSION = re.compile(r"(\d{1,4})\.\d{1,4}")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADING = re.compile(r"\b(?:links (?:for|to)|index of|simple (?:index|api))\b", re.IGNORECASE)
_SPACE = " \t\n\r\f"  # what HTML strips from an address


def parse(body: bytes, content_type: str, url: str) -> Page:
    """Read the page that came from `url`, the final address. Raises UpstreamBroken for what is no index page.

    A type that says nothing (`binary/octet-stream` was seen on an index) is overruled by the body's first character.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    start = body[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if media_type.endswith(("+json", "/json")):
        return _parse_json(body, url)
    if media_type.endswith(("+html", "/html", "/xhtml+xml")):
        return _parse_html(body, content_type, url)
    if start.startswith(b"{"):
        return _parse_json(body, url)
    if start[:9].lower().startswith((b"<!doctype", b"<!--", b"<html", b"<head", b"<body")):
        return _parse_html(body, content_type, url)
    raise UpstreamBroken("Upstream sent something other than an index page. Check the address of the [[upstream]].")


# ---------------------------------------------------------------------- JSON


def _parse_json(body: bytes, url: str) -> Page:
    try:
        top: Any = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        raise UpstreamBroken("Upstream's index page is no JSON, though it says so.") from None
    if not isinstance(top, dict) or not isinstance(links := top.pop("files", None), list):
        raise UpstreamBroken("Upstream's JSON is no project's page: it has no list of files.")
    meta = top.pop("meta", None)
    meta = meta if isinstance(meta, dict) else {}
    name, versions = top.pop("name", None), top.pop("versions", None)
    # PEP 792 has it at the top; its own example had it in meta.
    status = top.get("project-status", meta.get("project-status"))
    status = status if isinstance(status, dict) else {"status": status}
    base = Base.of(url)
    return Page(
        name=name if isinstance(name, str) else _name_of(url),
        files=tuple(file for link in links if (file := _json_file(link, base)) is not None),
        html=False,
        api_version=_supported(_text(meta.pop("api-version", None))),
        versions=tuple(filter(None, map(_text, versions))) if isinstance(versions, list) else None,
        status=_text(status.get("status")),
        status_reason=_text(status.get("reason")),
        meta=meta or NOTHING,
        extra=top or NOTHING,
    )


def _json_file(link: object, base: Base) -> File | None:
    if not isinstance(link, dict):
        return None
    take = cast("dict[str, Any]", link).pop
    address, hashes = _text(take("url", None)), take("hashes", None)
    if address is None:
        return None
    try:
        address, last = base.resolve(address)
    except BadTarget:
        return None
    filename = _text(take("filename", None)) or last
    if not filename:
        return None
    core, legacy, misspelt = (
        take("core-metadata", None), take("dist-info-metadata", None), take("data-dist-info-metadata", None),
    )  # fmt: skip
    if core is None:  # PEP 714: the old name; and as PyPI's JSON spells it, which is as HTML does
        core = misspelt if legacy is None else legacy
    digests, others = _hashes(hashes if isinstance(hashes, dict) else {})
    yanked, gpg_sig, size = take("yanked", None), take("gpg-sig", None), take("size", None)
    return File(
        filename=filename,
        url=address,
        digests=digests,
        hashes=others,
        requires_python=_text(take("requires-python", None)),
        core_metadata=None if core is None else _json_metadata(core),
        yanked=yanked if isinstance(yanked, bool) or (isinstance(yanked, str) and yanked) else False,
        gpg_sig=gpg_sig if isinstance(gpg_sig, bool) else None,
        size=size if type(size) is int and size >= 0 else None,
        upload_time=_text(take("upload-time", None)),
        provenance=_text(take("provenance", None)),
        extra=link or NOTHING,
    )


def _json_metadata(value: object) -> bool | Digest:
    if not isinstance(value, dict):
        return bool(value)
    digests, _ = _hashes(value)
    return digests[0] if digests else True


def _hashes(given: Mapping[str, object]) -> tuple[tuple[Digest, ...], Mapping[str, object]]:
    """Those that can be checked, the most trusted first; and the others, as they came."""
    digests: list[Digest] = []
    others: dict[str, object] = {}
    for name, value in given.items():
        digest = _digest(name, value) if isinstance(value, str) else None
        if digest is not None:
            digests.append(digest)
        else:
            others[name] = value
    if len(digests) > 1:
        digests.sort(key=_trust)
    return tuple(digests), others or NOTHING


def _digest(name: str, value: str) -> Digest | None:
    if name == "sha256" and _SHA256.fullmatch(value):
        return Digest(name, value)  # nearly all are, and there are thousands
    return Digest.parse(f"{name}={value}")


def _trust(digest: Digest) -> int:
    return ALGORITHMS.index(digest.algorithm)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# ---------------------------------------------------------------------- HTML


def _parse_html(body: bytes, content_type: str, url: str) -> Page:
    parser = LexborHTMLParser(_decoded(body, content_type))
    node = parser.css_first("base[href]")
    base = Base.of(url, "" if node is None else (node.attributes["href"] or "").strip(_SPACE))
    metas = dict(_metas(parser))
    files, folders = _html_links(parser, base)
    if parser.css_first("input[type=password]") is not None and not any(map(_is_distribution, files)):
        raise UpstreamBroken("A login page came in place of the index. Something between here and upstream wants it.")
    if not (files or metas or _says_it_is_an_index(parser) or _lists(folders, base)):
        raise UpstreamBroken("Upstream sent a page without a file that does not say that it is an index page.")
    return Page(
        name=_name_of(url),
        files=files,
        html=True,
        api_version=_supported(metas.pop("pypi:repository-version", None)),
        status=metas.pop("pypi:project-status", None),
        status_reason=metas.pop("pypi:project-status-reason", None),
        folders=folders,
        meta=metas or NOTHING,
    )


def _says_it_is_an_index(parser: LexborHTMLParser) -> bool:
    """Whether a page's headings are those of an index. A network that wants a login sends pages too."""
    return any(_HEADING.search(node.text()) for node in parser.css("title, h1"))


def _metas(parser: LexborHTMLParser) -> Iterator[tuple[str, str]]:
    for node in parser.css("meta[name]"):
        name = (node.attributes["name"] or "").strip(_SPACE).lower()
        if name.startswith("pypi:"):
            yield name, (node.attributes.get("content") or "").strip(_SPACE)


def _lists(folders: tuple[str, ...], base: Base) -> bool:
    """Whether a page is nothing but a list of the folders beside it: the root of an index without any heading."""
    beside = set(folders) - {base.folder}  # a page that says "try again" links to itself
    return bool(beside) and all(folder.startswith(base.folder) for folder in beside)


def _html_links(parser: LexborHTMLParser, base: Base) -> tuple[tuple[File, ...], tuple[str, ...]]:
    """The files that a page links to, and the folders."""
    files: list[File] = []
    folders: dict[str, None] = {}
    for node in parser.css("a[href]"):
        attributes = node.attributes
        href, _, fragment = (attributes.pop("href") or "").strip(_SPACE).partition("#")
        try:
            address, filename = base.resolve(href)
        except BadTarget:
            continue
        if not href or href.startswith("?"):  # those lead to the page itself
            continue
        if filename:
            files.append(_html_file(filename, address, fragment, attributes))
        else:
            folders[address.partition("?")[0]] = None
    return tuple(files), tuple(folders)


def _html_file(filename: str, address: str, fragment: str, attributes: dict[str, str | None]) -> File:
    fragment, digests = _fragment(fragment)
    take = attributes.pop
    core, legacy = take("data-core-metadata", _ABSENT), take("data-dist-info-metadata", _ABSENT)
    yanked, gpg_sig, size = take("data-yanked", _ABSENT), take("data-gpg-sig", None), take("data-size", None)
    return File(
        filename=filename,
        url=address,
        digests=digests,
        requires_python=take("data-requires-python", None) or None,
        core_metadata=_html_metadata(legacy if core is _ABSENT else core),
        # PEP 592: the attribute may stand without a value.
        yanked=False if yanked is _ABSENT else yanked or True,
        gpg_sig=None if gpg_sig is None else gpg_sig.strip().lower() == "true",
        size=int(size) if size and size.isascii() and size.isdigit() and len(size) < len(str(1 << 63)) else None,
        upload_time=take("data-upload-time", None) or None,
        provenance=take("data-provenance", None) or None,
        fragment=fragment,
        extra=cast("Mapping[str, object]", attributes) or NOTHING,
    )


_ABSENT = "\0"  # no attribute has this value: HTML replaces the character


def _html_metadata(value: str | None) -> bool | Digest | None:
    if value == _ABSENT:
        return None
    name, _, digits = (value or "").strip().partition("=")
    # Whatever else stands there, pip takes for a yes.
    return _digest(name, digits) or name.lower() != "false"


def _fragment(fragment: str) -> tuple[str, tuple[Digest, ...]]:
    """The fragment as it is to be kept, empty where it is just a digest; and the digests in it (PEP 503)."""
    if not fragment:
        return "", ()
    decoded = unquote(fragment)
    name, _, value = decoded.partition("=")
    digest = _digest(name, value)
    if digest is not None:
        return "", (digest,)
    digests = [digest for part in decoded.split("&") if (digest := Digest.parse(part)) is not None]
    return decoded, tuple(sorted(digests, key=_trust))


def _decoded(body: bytes, content_type: str) -> str:
    declared = _CHARSET.search(content_type) or _CHARSET.search(body[:1024].decode("latin-1"))
    try:
        return body.decode(declared[1] if declared else "utf-8", "replace").removeprefix("\ufeff")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


def _is_distribution(file: File) -> bool:
    return addresses.project_of(file.filename) is not None


# ---------------------------------------------------------------------- both


def _name_of(url: str) -> str:
    """The project by the page's address: its folder, or the file of a flat page."""
    path = unquote(urlsplit(url).path)
    name = path.rstrip("/").rpartition("/")[2].removesuffix(".html")
    return addresses.normalize(name) if name else "packages"


def _supported(version: str | None) -> str | None:
    """The version, if it can be read. Raises UpstreamBroken for a major version that is not known (PEP 629)."""
    match = _VERSION.fullmatch(version.strip()) if version is not None else None
    if match is None:
        return None
    if int(match[1]) != 1:
        raise UpstreamBroken("Upstream speaks another major version of the Simple API than 1. Update this program.")
    return match[0]
