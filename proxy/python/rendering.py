"""`Page` → the bytes of a page, in the form that a client asked for, with links that stay on this cache.

Links are without a query, and relative, so that a page is right behind any host name. In JSON they are whole addresses
where it is certain how the client reaches the cache. Called in a thread for long pages.
Never decides what is true of a file: `supplements` has completed the page. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, assert_never

import msgspec

from proxy.errors import BadTarget
from proxy.model import Digest, Site, Target
from proxy.python import addresses, filenames, urls
from proxy.python.file_list import links_of
from proxy.python.links import PageLinks, redacted
from proxy.python.negotiation import Format
from proxy.python.page import File, Page
from proxy.python.plain_links import Link, PlainLink

_NEWEST_MINOR = 4  # of the version whose attributes are rendered here; HTML gets no later version (PEP 833)
_TOGETHER = 500  # links that are encoded in one go
_STEMS = 8  # of their addresses, at most: each is replaced in all of the text
_ATTRIBUTE = re.compile(r"(?!on|style$|href$)[a-z][a-z0-9_.:-]*")  # none that a browser would act on


def render(page: Page, here: Target, site: Site, form: Format, base: str = "") -> bytes:
    """The page as it is served at `here`. `base`: with which links in JSON begin; empty for relative ones."""
    match form:
        case Format.JSON:
            return b"".join(_json_pieces(page, PageLinks(here, site, base), _projects(page, here, site)))
        case Format.HTML | Format.TEXT:
            return b"".join(_html_pieces(page, PageLinks(here, site), _folders(page, here, site)))
        case _:
            assert_never(form)


def record(page: Page) -> bytes:
    """The page with upstream's own addresses, to be stored and parsed again: as JSON, which can express everything."""
    made = _json_page(page, ())
    made["files"] = [_json_file(file, file.url, html=page.html) for file in page.files]
    return msgspec.json.encode(made)


def _parts(page: Page) -> Iterator[Sequence[Link]]:
    listed = links_of(page.files)
    for start in range(0, len(listed), _TOGETHER):
        yield listed[start : start + _TOGETHER]


def _href(link: Link, links: PageLinks) -> str:
    if isinstance(link, PlainLink):
        stem = links.stem(link.url, link.filename)
        front = links.front_for(stem)
        if front is not None:
            return front + link.url[len(stem) :]
    try:
        return links.to(link.url, link.filename, link.project)
    except BadTarget:
        return link.url  # the cache has no address for it: an installer may follow it by itself


def _folders(page: Page, here: Target, site: Site) -> Iterator[tuple[str, str]]:
    """Names and links of the folders below the upstream's base."""
    for folder in page.folders:
        try:
            target = urls.locate(folder, site)
        except BadTarget:
            continue
        if target.host is None and target.path != here.path:
            yield target.path.rstrip("/").rpartition("/")[2], addresses.relative(here, target)


def _projects(page: Page, here: Target, site: Site) -> list[str]:
    """The projects of a page without files: it is the root of an index."""
    folders = _folders(page, here, site) if not page.files else ()
    return [name for name, href in folders if href == f"{name}/" and filenames.is_project(name)]


# ---------------------------------------------------------------------- JSON (PEP 691)


def _json_pieces(page: Page, links: PageLinks, projects: Iterable[str]) -> Iterator[bytes]:
    """JSON of a page, whose list of files is encoded in pieces: a thread has the interpreter for itself meanwhile."""
    # The last one, since what upstream has in addition comes before it.
    before, after = redacted(msgspec.json.encode(_json_page(page, projects))).rsplit(b'"files":[]', 1)
    yield b'%b"files":[' % before
    comma = b""
    for part in _parts(page):
        text = _plain_json(part, links)
        if text is None:
            text = msgspec.json.encode([_json_link(link, links, html=page.html) for link in part])
        yield comma + redacted(text)[1:-1]
        comma = b","
    yield b"]" + after


def _plain_json(part: Sequence[Link], links: PageLinks) -> bytes | None:
    """JSON of links that differ from upstream's in the beginning of their addresses only; None if these are others."""
    if set(map(type, part)) != {PlainLink}:
        return None
    text = msgspec.json.encode(part)
    stem = links.stem(part[0].url, part[0].filename)
    front = links.front_for(stem)
    if front is not None and links.is_apart(stem):  # those of nearly all pages
        between = _split(text, stem)
        if len(between) == len(part) + 1:
            return _joined(between, front)
    stems = {links.stem(link.url, link.filename) for link in part}
    if len(stems) > _STEMS:
        return None
    for stem in sorted(stems, key=len, reverse=True):  # one may begin with another one
        front = links.front_for(stem)
        if front is None:
            return None
        text = _joined(_split(text, stem), front)
    return text


def _split(text: bytes, stem: str) -> list[bytes]:
    """JSON of plain links without the beginnings of the addresses that begin so."""
    # No text in JSON has a quote without a backslash, and plain links have no other key of this name.
    return text.split(b'"url":"%b' % stem.encode())


def _joined(between: Iterable[bytes], front: str) -> bytes:
    """JSON of plain links with other beginnings of these addresses."""
    return (b'"url":"%b' % front.encode()).join(between)


def _json_link(link: Link, links: PageLinks, *, html: bool) -> Any:  # noqa: ANN401 what can be encoded
    href = _href(link, links)
    return link.at(href) if isinstance(link, PlainLink) else _json_file(link, href, html=html)


def _json_page(page: Page, projects: Iterable[str]) -> dict[str, Any]:
    """The page with an empty list of files."""
    files: list[Any] = []
    if page.html:
        # PEP 700: from 1.1 on sizes and versions are required. A page in HTML has none.
        meta = {"api-version": "1.0", **_json_addresses(page, "tracks")}
        made: dict[str, Any] = {"meta": meta, "name": page.name, **_json_addresses(page, "alternate-locations")}
        made["files"] = files
        if page.status is not None:
            made["project-status"] = _json_status(page)
        return made | _listed(page, projects)
    made = {"meta": {**page.meta, "api-version": page.api_version or "1.0"}, "name": page.name, **page.extra}
    if page.versions is not None:
        made["versions"] = page.versions
    made["files"] = files
    return made | _listed(page, projects)


def _listed(page: Page, projects: Iterable[str]) -> dict[str, Any]:
    """The list of projects, which only the root of an index has. Its list of files is empty."""
    listed = [{"name": name} for name in projects]
    return {"projects": listed} if listed or page.root else {}


def _json_addresses(page: Page, name: str) -> dict[str, Any]:
    """What a page in HTML says of other indexes (PEP 708)."""
    listed = page.meta.get(f"pypi:{name}")
    return {name: listed} if listed else {}


def _json_status(page: Page) -> dict[str, str]:
    members = {"status": page.status, "reason": page.status_reason}
    return {key: value for key, value in members.items() if value is not None}


def _json_file(file: File, href: str, *, html: bool) -> dict[str, Any]:
    made: dict[str, Any] = {} if html else {**file.extra}
    made["filename"] = file.filename
    # PEP 691 has hashes apart. pip reads the rest of a fragment in JSON, too.
    made["url"] = f"{href}#{file.needed_fragment}" if file.needed_fragment else href
    made["hashes"] = {digest.algorithm: digest.value for digest in file.digests} | dict(file.hashes)
    core = file.core_metadata
    if core is not None:
        shown = {core.algorithm: core.value} if isinstance(core, Digest) else core
        made["core-metadata"] = shown
        # PEP 714: PyPI's own spelling of the old key, which pdm reads. The right spelling makes pip 22.3 to 23.1 fail.
        made["data-dist-info-metadata"] = shown
    if file.requires_python is not None:
        made["requires-python"] = file.requires_python
    made["yanked"] = file.yanked
    if file.gpg_sig is not None:
        made["gpg-sig"] = file.gpg_sig
    if file.size is not None:
        made["size"] = file.size
    if file.upload_time is not None:
        made["upload-time"] = file.upload_time
    if file.provenance is not None:
        made["provenance"] = file.provenance
    return made


# ---------------------------------------------------------------------- HTML (PEP 503)


def _html_pieces(page: Page, links: PageLinks, folders: Iterator[tuple[str, str]]) -> Iterator[bytes]:
    before, after = _html_page(page, folders)
    yield _html(before)
    for part in _parts(page):
        yield _html("".join([_anchor(link, _href(link, links), html=page.html) for link in part]))
    yield _html(after)


def _html(text: str) -> bytes:
    return redacted(text.encode("utf-8", "replace"))


def _html_page(page: Page, folders: Iterator[tuple[str, str]]) -> tuple[str, str]:
    """What comes before the anchors of files, and what comes behind them."""
    title = f"Links for {escape(page.name)}"
    metas = "".join(f'    <meta name="{escape(name)}" content="{escape(content)}">\n' for name, content in _metas(page))
    listed = "".join(f'    <a href="{href}">{escape(name)}/</a><br />\n' for name, href in folders)
    before = (
        f"<!DOCTYPE html>\n<html>\n  <head>\n{metas}    <title>{title}</title>\n  </head>\n"
        f"  <body>\n    <h1>{title}</h1>\n{listed}"
    )
    return before, "  </body>\n</html>\n"


def _metas(page: Page) -> Iterator[tuple[str, str]]:
    if page.api_version is not None:
        minor = min(int(page.api_version.partition(".")[2]), _NEWEST_MINOR)
        yield "pypi:repository-version", f"1.{minor}"
    if page.status is not None:
        yield "pypi:project-status", page.status
    if page.status_reason is not None:
        yield "pypi:project-status-reason", page.status_reason
    if page.html:
        told = dict(page.meta)
    else:  # PEP 708
        elsewhere = page.extra.get("alternate-locations")
        told = {"pypi:tracks": page.meta.get("tracks"), "pypi:alternate-locations": elsewhere}
    for name, contents in told.items():
        for content in contents if isinstance(contents, list | tuple) else ():
            yield name, str(content)


def _anchor(link: Link, href: str, *, html: bool) -> str:
    fragment = link.hashes if isinstance(link, PlainLink) else _fragment(link)
    href = href.replace("&", "&amp;")  # addresses have no other character that is special in HTML
    parts = [f'    <a href="{href}#{escape(str(fragment))}"' if fragment else f'    <a href="{href}"']
    if link.requires_python is not None:
        parts.append(f' data-requires-python="{escape(link.requires_python)}"')
    if link.yanked is not None and link.yanked is not False:
        parts.append(f' data-yanked="{"" if link.yanked is True else escape(link.yanked)}"')
    core = link.core_metadata
    if core:
        shown = "true" if core is True else core
        parts.append(f' data-dist-info-metadata="{shown}" data-core-metadata="{shown}"')
    if link.gpg_sig is not None:
        parts.append(f' data-gpg-sig="{"true" if link.gpg_sig else "false"}"')
    if link.provenance is not None:
        parts.append(f' data-provenance="{escape(link.provenance)}"')
    if link.size is not None:
        parts.append(f' data-size="{link.size}"')
    if link.upload_time is not None:
        parts.append(f' data-upload-time="{escape(link.upload_time)}"')
    if html and isinstance(link, File):
        parts.append(_unknown(link.extra))
    parts.append(f">{escape(link.filename)}</a><br />\n")
    return "".join(parts)


def _fragment(file: File) -> str | Digest | None:
    digest = file.best_digest
    if digest and file.needed_fragment and digest.value not in file.fragment.lower():
        return f"{digest}&{file.fragment}"
    return file.fragment or digest


def _unknown(attributes: Mapping[str, object]) -> str:
    """Attributes that the standard does not have, as they came."""
    return "".join(
        [
            f" {name}" if value is None else f' {name}="{escape(str(value))}"'
            for name, value in attributes.items()
            if _ATTRIBUTE.fullmatch(name)
        ]
    )
