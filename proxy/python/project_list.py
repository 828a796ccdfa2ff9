"""Lists of projects: the root of an index, passed on as it streams by, and the roots of a group's members as one.

Called by the service. Hundreds of thousands of projects pass without being held in memory. PyPI's list has
root-relative links (`/simple/x/`), which would leave the mount: they become relative (`x/`), and all else passes
unchanged. JSON has no links and needs none of this. For a group the names are read out of either form. A list is no
authority: who has a project is decided when its page is asked for, by `pages`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from html import escape
from urllib.parse import unquote, urlsplit

from proxy.cache.content_coding import Nature, uncoded
from proxy.cache.downloads import Downloads
from proxy.cache.flight import WantedFile
from proxy.errors import NotFound, UpstreamBroken, UpstreamDenied
from proxy.model import Group, Member, Query, Site, Target
from proxy.python import addresses, filenames, negotiation, urls
from proxy.python.links import Redactor
from proxy.python.negotiation import UPSTREAM_ACCEPT, Format
from proxy.python.parsing import LOOKED_AT, begun, typed
from proxy.python.routes import members_for

_REMEMBERED = 100_000  # names of earlier members that are not repeated
_TAG_LIMIT = 64 << 10  # bytes of a tag without an end, after which it is passed on as it is
_HREF = re.compile(rb"(?i:<a\s(?:[^<>]*?\s)?href\s*=\s*)[\"']?([^\"'\s<>?#]+)[\"']?[^<>]*>")
_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]{1,255})"')
_USUAL = re.compile(rb"([a-z0-9]+(?:-[a-z0-9]+)*)/?")  # a normalised name (PEP 503)
_LONGEST = 512  # bytes that a name in JSON may take, with its key


@dataclass(frozen=True, slots=True)
class ProjectStream:
    """A list of projects that is streamed. The sender calls `pieces`, unless it sends only the head; and `close`."""

    pieces: Callable[[], AsyncGenerator[bytes]]
    content_type: str
    mount: str
    _stack: AsyncExitStack

    async def close(self) -> None:
        """Release the connections to upstream."""
        await self._stack.aclose()


class ProjectLists:
    """Answers for lists of projects. `sites` is by mount. It has no state of its own."""

    def __init__(self, sites: Mapping[str, Site], downloads: Downloads) -> None:
        self._sites = sites
        self._downloads = downloads

    async def of_index(self, query: Query[Target], site: Site) -> ProjectStream:
        """The list of all projects of an index, with links that stay below it. Raises UpstreamError."""
        form = negotiation.choose(query.accept, query.format)
        async with AsyncExitStack() as stack:
            source = await self._open(stack, site, query.target, form.value)
            return ProjectStream(partial(_rewritten, source), source.form.content_type, site.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def of_group(self, query: Query[Target], group: Group) -> ProjectStream:
        """The projects of all members of a group, in the order of the members. Within a bound, each is listed once.

        A member without a list is passed by. Raises NotFound if none has one, or an UpstreamError.
        """
        form = negotiation.choose(query.accept, query.format)
        async with AsyncExitStack() as stack:
            lists: list[tuple[Member, _OpenList]] = []
            for member in dict.fromkeys(group.members):
                target = Target(member.mount, None, member.index)
                try:
                    source = await self._open(stack, self._sites[member.mount], target, UPSTREAM_ACCEPT)
                except NotFound:
                    continue
                lists.append((member, source))
            if not lists:
                raise NotFound("No index of this group has a list of its projects.")
            pieces = partial(_merged, group, lists, form)
            return ProjectStream(pieces, form.content_type, group.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def _open(self, stack: AsyncExitStack, site: Site, target: Target, accept: str) -> _OpenList:
        address = urls.upstream_url(target, site)
        wanted = WantedFile("", address, site, binary=False, text=True)
        passthrough = await self._downloads.pass_through(wanted, 0, None, {"Accept": accept})
        stack.push_async_callback(passthrough.close)
        if not site.owns(passthrough.url):
            raise UpstreamDenied(
                "Upstream redirects its list of projects to another host. If that host's pages are this index's own, "
                "name it under page_hosts of the [[upstream]]."
            )
        pieces = uncoded(passthrough.chunks(), passthrough.coding, Nature.TEXT, (address, passthrough.url))
        stack.push_async_callback(pieces.aclose)
        head, form = b"", typed(passthrough.content_type)
        while form is None and len(head) < LOOKED_AT:
            piece = await anext(pieces, b"")
            head += piece
            if not piece:
                break
        form = form or begun(head)
        if form is None:
            raise UpstreamBroken("Upstream sent something other than a list of projects.")
        return _OpenList(passthrough.url, form, head, pieces)


@dataclass(frozen=True, slots=True)
class _OpenList:
    """One list that is streamed. `head`: what was read of it to tell its form."""

    url: str
    form: Format
    head: bytes
    _rest: AsyncGenerator[bytes]

    async def chunks(self) -> AsyncGenerator[bytes]:
        """All of it, without user names and passwords. Can be read once."""
        redactor = Redactor()
        yield redactor.feed(self.head)
        async with aclosing(self._rest):
            async for chunk in self._rest:
                yield redactor.feed(chunk)
        yield redactor.finish()


async def _rewritten(source: _OpenList) -> AsyncGenerator[bytes]:
    rewriter = ProjectListRewriter(source.url) if source.form is not Format.JSON else None
    async with aclosing(source.chunks()) as chunks:
        async for chunk in chunks:
            if piece := rewriter.feed(chunk) if rewriter is not None else chunk:
                yield piece
    if rewriter is not None and (piece := rewriter.finish()):
        yield piece


async def _merged(group: Group, lists: list[tuple[Member, _OpenList]], form: Format) -> AsyncGenerator[bytes]:
    head, tail, written = _JSON if form is Format.JSON else _HTML
    yield head
    listed: set[str] = set()
    between = b""
    for number, (member, source) in enumerate(lists):
        reader = NamesInJson() if source.form is Format.JSON else NamesInHtml(source.url)
        async with aclosing(source.chunks()) as chunks:
            async for chunk in chunks:
                fresh = [name for name in reader.feed(chunk) if name not in listed and _may_answer(group, member, name)]
                # Only names that a later member could repeat.
                if number + 1 < len(lists) and len(listed) < _REMEMBERED:
                    listed.update(fresh)
                if fresh:
                    yield between + written(fresh)
                    between = b"," if form is Format.JSON else b""
    yield tail


def _may_answer(group: Group, member: Member, name: str) -> bool:
    return not group.pins or member in members_for(group, name)


def _in_json(names: Iterable[str]) -> bytes:
    return ",".join([f'{{"name":"{name}"}}' for name in names]).encode()


def _in_html(names: Iterable[str]) -> bytes:
    return "".join([f'    <a href="{escape(name)}/">{escape(name)}</a><br />\n' for name in names]).encode()


_JSON = (b'{"meta":{"api-version":"1.0"},"projects":[', b"]}", _in_json)
_HTML = (
    b"<!DOCTYPE html>\n<html>\n  <head>\n    <title>Simple index</title>\n  </head>\n  <body>\n",
    b"  </body>\n</html>\n",
    _in_html,
)


# ---------------------------------------------------------------------- links and names in a list


class ProjectListRewriter:
    """Rewrites the links of one list. Mutable state: the beginning of a tag whose end has not come yet."""

    def __init__(self, base: str) -> None:
        """`base`: the list's own address upstream, or its path; it ends in a slash."""
        parts = urlsplit(base)
        front = rf"(?:(?:{re.escape(parts.scheme)}:)?//{re.escape(parts.netloc)})?" if parts.netloc else ""
        # A link that would be no relative path without its front (a second slash, a scheme) keeps it.
        guard = r"(?!/)(?![^\"'/>]*:)"
        pattern = rf"((?i:<a\s(?:[^<>]*?\s)?href\s*=\s*)[\"']?){front}{re.escape(parts.path)}{guard}"
        self._link = re.compile(pattern.encode())
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on, now that `chunk` has come."""
        text = self._pending + chunk
        end = text.rfind(b"<")
        if end < 0 or b">" in text[end:] or len(text) - end > _TAG_LIMIT:
            self._pending = b""
            return self._rewritten(text)
        self._pending = text[end:]
        return self._rewritten(text[:end])

    def finish(self) -> bytes:
        """The rest, now that the list has ended."""
        rest, self._pending = self._pending, b""
        return self._rewritten(rest)

    def _rewritten(self, text: bytes) -> bytes:
        return self._link.sub(rb"\1", text)


class NamesInHtml:
    """Reads the normalised names of projects from one list in HTML. Mutable state: that of the rewriter."""

    def __init__(self, base: str) -> None:
        """`base`: the list's own address upstream."""
        self._rewriter = ProjectListRewriter(base)

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The names that `chunk` completes: those of links to folders of the list."""
        for link in _HREF.findall(self._rewriter.feed(chunk)):
            if usual := _USUAL.fullmatch(link):
                yield usual[1].decode()  # the usual case, and there are hundreds of thousands
                continue
            written = unquote(link.decode("latin-1")).removeprefix("./")
            name = written.removesuffix("/")
            if filenames.is_project(name) and not filenames.is_file(written) and not filenames.is_page(written):
                yield addresses.normalize(name)


class NamesInJson:
    """Reads the normalised names of projects from one list in JSON. Mutable state: the last bytes of a chunk."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The names that `chunk` completes."""
        text, end = self._pending + chunk, 0
        for match in _NAME.finditer(text):
            end = match.end()
            name = match[1].decode("latin-1")
            if _USUAL.fullmatch(match[1]):
                yield name
            elif filenames.is_project(name):
                yield addresses.normalize(name)
        self._pending = text[max(end, len(text) - _LONGEST) :]
