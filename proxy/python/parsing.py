"""A page as upstream sent it → `Page`: JSON (PEP 691) and HTML (PEP 503), flat link pages and directory listings too.

Called in a thread for long pages. Lenient with single links: those that no installer could follow are left out. Strict
with the whole: what is no index page raises UpstreamBroken, and is never taken for an empty one. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import msgspec
from selectolax.lexbor import LexborHTMLParser

from proxy.errors import UpstreamBroken
from proxy.model import Digest
from proxy.python import addresses, anchors, filenames
from proxy.python.anchors import SPACE
from proxy.python.file_list import FileList
from proxy.python.json_pieces import NOT_JSON, cut
from proxy.python.links import Base
from proxy.python.negotiation import Format
from proxy.python.page import EMPTY, File, Page, digests_of_fragment, digests_of_table, needed
from proxy.python.plain_links import Link, PlainLink, PlainLinks

_VERSION = re.compile(r"(\d{1,4})\.\d{1,4}")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]+)", re.IGNORECASE)
_HEADING = re.compile(
    r"\b(?:links (?:for|to)|index of|simple (?:index|api|list)|directory listing (?:for|of)|files within)\b"
    r"|^directory: |^\S+ - /(?:\S*/)?$",
    re.IGNORECASE,
)
LOOKED_AT = 1024  # bytes at the beginning of a page that tell its form, if its media type does not
_COUNTED = re.compile(r"\b[0-9]+\s+director(?:y|ies)")  # Caddy's words above a listing


def parse(body: bytes, content_type: str, url: str) -> Page:
    """Read a page. `url`: its address after redirects. Raises UpstreamBroken for what is no index page."""
    match typed(content_type) or begun(body[:LOOKED_AT]):
        case Format.JSON:
            return _parse_json(body, url)
        case Format.HTML | Format.TEXT:
            return _parse_html(body, content_type, url)
        case None:
            raise UpstreamBroken(
                "Upstream sent something other than an index page. Check the address of the [[upstream]]."
            )


def typed(content_type: str) -> Format | None:
    """The form of a page by its media type; None for a type that does not tell (`binary/octet-stream`)."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.endswith(("+json", "/json")):
        return Format.JSON
    if media_type.endswith(("/html", "/xhtml+xml")):
        return Format.TEXT
    return Format.HTML if media_type.endswith("+html") else None


def begun(head: bytes) -> Format | None:
    """The form of a page by its beginning: `LOOKED_AT` bytes of it, or all."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return Format.JSON
    html = start[:9].lower().startswith((b"<!doctype", b"<!--", b"<html", b"<head", b"<body"))
    return Format.TEXT if html else None


# ---------------------------------------------------------------------- JSON


_DECODER = msgspec.json.Decoder(list[PlainLink])


def _parse_json(body: bytes, url: str) -> Page:
    body = body.removeprefix(b"\xef\xbb\xbf")
    base = Base.of(url)
    page = cut(body)
    if page is not None:
        try:
            return _json_page(page.top, FileList(_json_links(page.pieces(), base)), url, base)
        except NOT_JSON:
            pass  # it was cut in a wrong place, or is no JSON
    try:
        top: Any = msgspec.json.decode(body)
    except NOT_JSON:
        raise UpstreamBroken("Upstream's index page is not valid JSON, although its type says so.") from None
    if not isinstance(top, dict):
        raise UpstreamBroken("Upstream's JSON is no index page.")
    links = top.pop("files", None)
    files = FileList(filter(None, (_json_file(link, base) for link in links))) if isinstance(links, list) else None
    return _json_page(top, files, url, base)


def _json_links(pieces: Iterable[bytes], base: Base) -> Iterator[Link]:
    """What the links of a page lead to. Raises one of NOT_JSON."""
    plain = PlainLinks(base)
    for piece in pieces:
        try:
            links = _DECODER.decode(piece)
        except msgspec.ValidationError:  # they have keys or values that the standard does not have
            yield from filter(None, [_json_file(link, base) for link in msgspec.json.decode(piece)])
        else:
            yield from plain.told(links, partial(_odd, links, base))


def _odd(links: Sequence[PlainLink], base: Base, place: int) -> File | None:
    return _json_file(msgspec.to_builtins(links[place]), base)


def _json_page(top: dict[str, Any], files: FileList | None, url: str, base: Base) -> Page:
    """The page with these keys at the top. `files`: None if it has no list of files."""
    projects = top.pop("projects", None)
    if files is None and not isinstance(projects, list):
        raise UpstreamBroken("Upstream's JSON is no index page: it has neither a list of files nor one of projects.")
    meta = top.pop("meta", None)
    meta = meta if isinstance(meta, dict) else {}
    name, versions = top.pop("name", None), top.pop("versions", None)
    # PEP 792 has it at the top. An example in it had it in meta.
    status = top.get("project-status", meta.get("project-status"))
    status = status if isinstance(status, dict) else {"status": status}
    return Page(
        name=name if isinstance(name, str) else _name_of(url),
        files=FileList() if files is None else files,
        html=False,
        folders=tuple(_json_folders(projects, base)) if isinstance(projects, list) else (),
        root=files is None,
        api_version=_supported(_text(meta.pop("api-version", None))),
        versions=tuple(filter(None, map(_text, versions))) if isinstance(versions, list) else None,
        status=_text(status.get("status")),
        status_reason=_text(status.get("reason")),
        meta=meta or EMPTY,
        extra=top or EMPTY,
    )


def _json_folders(projects: Iterable[object], base: Base) -> Iterator[str]:
    """The addresses of the pages of projects that a root lists."""
    for project in projects:
        name = project.get("name") if isinstance(project, dict) else None
        if isinstance(name, str) and filenames.is_project(name):
            yield f"{base.folder}{addresses.normalize(name)}/"


def _json_file(link: object, base: Base) -> File | None:
    if not isinstance(link, dict):
        return None
    take = cast("dict[str, Any]", link).pop
    href, table = _text(take("url", None)), take("hashes", None)
    if href is None:
        return None
    found = base.address_of(href)
    if found is None:
        return None
    address, last = found
    filename = _text(take("filename", None)) or ""
    filename = filename if filenames.fits(filename) else last
    if not filename:
        return None
    core, legacy, misspelt = (
        take("core-metadata", None), take("dist-info-metadata", None), take("data-dist-info-metadata", None),
    )  # fmt: skip
    if core is None:  # PEP 714: the old name, also as PyPI's JSON spells it, which is HTML's spelling
        core = misspelt if legacy is None else legacy
    digests, others = digests_of_table(table if isinstance(table, dict) else {})
    fragment, more = digests_of_fragment(href.partition("#")[2]) if "#" in href else ("", ())
    yanked, gpg_sig, size = take("yanked", None), take("gpg-sig", None), take("size", None)
    return File(
        filename=filename,
        url=address,
        digests=digests or more,
        hashes=others,
        requires_python=_text(take("requires-python", None)),
        core_metadata=None if core is None else _json_metadata(core),
        yanked=yanked if isinstance(yanked, str) and yanked else bool(yanked),  # PEP 691: whatever is true
        gpg_sig=gpg_sig if isinstance(gpg_sig, bool) else None,
        size=size if type(size) is int and size >= 0 else None,
        upload_time=_text(take("upload-time", None)),
        provenance=_text(take("provenance", None)),
        fragment=needed(fragment),
        extra=link or EMPTY,
    )


def _json_metadata(value: object) -> bool | Digest:
    if not isinstance(value, dict):
        return bool(value)
    digests, _ = digests_of_table(value)
    return digests[0] if digests else True


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# ---------------------------------------------------------------------- HTML


def _parse_html(body: bytes, content_type: str, url: str) -> Page:
    parser = LexborHTMLParser(_decoded(body, content_type))
    node = parser.css_first("base[href]")
    base = Base.of(url, "" if node is None else (node.attributes["href"] or "").strip(SPACE))
    metas = _metas(parser)
    files, folders = anchors.links(parser, base)
    if parser.css_first("input[type=password]") is not None and not any(map(_is_distribution, files)):
        raise UpstreamBroken(
            "A login page came in place of the index. A proxy or network between here and upstream wants a login."
        )
    listed = any(map(_may_be_installed, files))
    if not (listed or metas or _says_it_is_an_index(parser) or (not files and _lists(folders, base))):
        raise UpstreamBroken("Upstream sent a page without a file that does not say that it is an index page.")
    return Page(
        name=_name_of(url),
        files=files,
        html=True,
        api_version=_supported(_last(metas, "pypi:repository-version")),
        status=_last(metas, "pypi:project-status"),
        status_reason=_last(metas, "pypi:project-status-reason"),
        folders=folders,
        root=not files and any(map(base.is_beside, folders)),
        meta={name: tuple(contents) for name, contents in metas.items()} or EMPTY,
    )


def _says_it_is_an_index(parser: LexborHTMLParser) -> bool:
    """Whether the headings are those of an index. A network that wants a login sends pages, too."""
    if any(_HEADING.search(node.text().strip()) for node in parser.css("title, h1")):
        return True
    if any(_COUNTED.search(node.text()) for node in parser.css("#summary, .meta")):
        return True
    # Go's file server has no heading. An empty folder is an empty list, and nothing else.
    body = parser.body
    return parser.css_first("body > pre") is not None and body is not None and not body.text(strip=True)


def _metas(parser: LexborHTMLParser) -> dict[str, list[str]]:
    """The contents of the standard's metas by name. PEP 708 has several of one name."""
    found: dict[str, list[str]] = {}
    for node in parser.css("meta[name]"):
        name = (node.attributes["name"] or "").strip(SPACE).lower()
        if name.startswith("pypi:"):
            found.setdefault(name, []).append((node.attributes.get("content") or "").strip(SPACE))
    return found


def _last(metas: dict[str, list[str]], name: str) -> str | None:
    return metas.pop(name, [None])[-1]


def _lists(folders: tuple[str, ...], base: Base) -> bool:
    """Whether all links lead to folders below the page: then it is the root of an index without a heading."""
    below = set(folders) - {base.folder}  # a page that says "try again" links to itself
    return bool(below) and all(folder.startswith(base.folder) for folder in below)


def _decoded(body: bytes, content_type: str) -> str:
    declared = _CHARSET.search(content_type) or _CHARSET.search(body[:1024].decode("latin-1"))
    try:
        return body.decode(declared[1] if declared else "utf-8", "replace").removeprefix("\ufeff")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


def _is_distribution(file: File) -> bool:
    return filenames.is_distribution(file.filename)


def _may_be_installed(file: File) -> bool:
    """Whether a link is one of an index: any page has links, also one that asks for a login or an agreement."""
    return bool(file.digests or file.hashes or file.needed_fragment) or filenames.is_file(file.filename)


# ---------------------------------------------------------------------- both


def _name_of(url: str) -> str:
    """The project by the page's address: the name of its folder, or of the file of a flat page."""
    path = unquote(urlsplit(url).path)
    name = path.rstrip("/").rpartition("/")[2].removesuffix(".html")
    return addresses.normalize(name) if name else "packages"


def _supported(version: str | None) -> str | None:
    """The version, if it can be read. Raises UpstreamBroken for an unknown major version (PEP 629)."""
    match = _VERSION.fullmatch(version.strip()) if version is not None else None
    if match is None:
        return None
    if int(match[1]) != 1:
        raise UpstreamBroken("Upstream speaks another major version of the Simple API than 1. Update this program.")
    return match[0]
