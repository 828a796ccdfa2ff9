"""`Page` → the bytes of a page, in the form that a client asked for, with links that stay on this cache.

Links are relative and without a query, so that a page is right behind any host name. Called in a thread for long pages.
Never decides what is true of a file: `supplements` has completed the page. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any, assert_never

import msgspec

from proxy.errors import BadTarget
from proxy.model import Digest, Site, Target
from proxy.python import addresses, filenames, urls
from proxy.python.links import PageLinks, redacted
from proxy.python.negotiation import Format
from proxy.python.page import File, Page

_NEWEST_MINOR = 4  # of the version whose attributes are rendered here; HTML gets no later version (PEP 833)
_ATTRIBUTE = re.compile(r"(?!on|style$|href$)[a-z][a-z0-9_.:-]*")  # none that a browser would act on


def render(page: Page, here: Target, site: Site, form: Format) -> bytes:
    """The page as it is served at `here`."""
    links = _links(page, here, site)
    match form:
        case Format.JSON:
            return redacted(msgspec.json.encode(_json_page(page, links, _projects(page, here, site))))
        case Format.HTML | Format.TEXT:
            folders = _folders(page, here, site)
            return redacted(_html_page(page, links, folders).encode("utf-8", "replace"))
        case _:
            assert_never(form)


def record(page: Page) -> bytes:
    """The page with upstream's own addresses, to be stored and parsed again: as JSON, which can express everything."""
    return msgspec.json.encode(_json_page(page, ((file, file.url) for file in page.files)))


def _links(page: Page, here: Target, site: Site) -> Iterator[tuple[File, str]]:
    links = PageLinks(here, site)
    for file in page.files:
        try:
            yield file, links.to(file.url, file.filename, file.project)
        except BadTarget:
            yield file, file.url  # the cache has no address for it: an installer may follow it by itself


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


def _json_page(page: Page, links: Iterator[tuple[File, str]], projects: Iterable[str] = ()) -> dict[str, Any]:
    files = [_json_file(file, href, html=page.html) for file, href in links]
    if page.html:
        # PEP 700: from 1.1 on sizes and versions are required. A page in HTML has none.
        made: dict[str, Any] = {"meta": {"api-version": "1.0"}, "name": page.name, "files": files}
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


def _html_page(page: Page, links: Iterator[tuple[File, str]], folders: Iterator[tuple[str, str]]) -> str:
    title = f"Links for {escape(page.name)}"
    metas = "".join(f'    <meta name="{escape(name)}" content="{escape(content)}">\n' for name, content in _metas(page))
    listed = "".join(f'    <a href="{href}">{escape(name)}/</a><br />\n' for name, href in folders)
    anchors = listed + "".join([_anchor(file, href, html=page.html) for file, href in links])
    return (
        f"<!DOCTYPE html>\n<html>\n  <head>\n{metas}    <title>{title}</title>\n  </head>\n"
        f"  <body>\n    <h1>{title}</h1>\n{anchors}  </body>\n</html>\n"
    )


def _metas(page: Page) -> Iterator[tuple[str, str]]:
    if page.api_version is not None:
        minor = min(int(page.api_version.partition(".")[2]), _NEWEST_MINOR)
        yield "pypi:repository-version", f"1.{minor}"
    if page.status is not None:
        yield "pypi:project-status", page.status
    if page.status_reason is not None:
        yield "pypi:project-status-reason", page.status_reason
    if page.html:
        for name, content in page.meta.items():
            yield name, str(content)


def _anchor(file: File, href: str, *, html: bool) -> str:
    fragment = file.fragment or file.best_digest
    if file.best_digest and file.needed_fragment and file.best_digest.value not in file.fragment.lower():
        fragment = f"{file.best_digest}&{file.fragment}"
    link = href.replace("&", "&amp;")  # addresses have no other character that is special in HTML
    parts = [f'    <a href="{link}#{escape(str(fragment))}"' if fragment else f'    <a href="{link}"']
    if file.requires_python is not None:
        parts.append(f' data-requires-python="{escape(file.requires_python)}"')
    if file.yanked is not False:
        parts.append(f' data-yanked="{"" if file.yanked is True else escape(file.yanked)}"')
    core = file.core_metadata
    if core:
        shown = core if isinstance(core, Digest) else "true"
        parts.append(f' data-dist-info-metadata="{shown}" data-core-metadata="{shown}"')
    if file.gpg_sig is not None:
        parts.append(f' data-gpg-sig="{"true" if file.gpg_sig else "false"}"')
    if file.provenance is not None:
        parts.append(f' data-provenance="{escape(file.provenance)}"')
    if file.size is not None:
        parts.append(f' data-size="{file.size}"')
    if file.upload_time is not None:
        parts.append(f' data-upload-time="{escape(file.upload_time)}"')
    if html:
        parts.append(_unknown(file.extra))
    parts.append(f">{escape(file.filename)}</a><br />\n")
    return "".join(parts)


def _unknown(attributes: Mapping[str, object]) -> str:
    """Attributes that the standard does not have, as they came."""
    return "".join(
        [
            f" {name}" if value is None else f' {name}="{escape(str(value))}"'
            for name, value in attributes.items()
            if _ATTRIBUTE.fullmatch(name)
        ]
    )
