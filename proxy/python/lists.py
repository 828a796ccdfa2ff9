"""Lists of projects: the root of an index, passed on as it streams by, and the roots of a group's members as one.

Called by the service. Tens of megabytes pass without being held. A list is no authority: who has a project is decided
when its page is asked for, by `pages`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from html import escape

from proxy.cache.content_coding import Nature, uncoded
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Wanted
from proxy.errors import NotFound, UpstreamBroken, UpstreamDenied
from proxy.model import Group, Member, Query, Site, Target
from proxy.python import negotiation, urls
from proxy.python.groups import members_for
from proxy.python.links import Redactor
from proxy.python.negotiation import UPSTREAM_ACCEPT, Format
from proxy.python.parsing import LOOKED_AT, begun, typed
from proxy.python.projects import NamesInHtml, NamesInJson, ProjectListRewriter

_REMEMBERED = 100_000  # names of earlier members that are not said again


@dataclass(frozen=True, slots=True)
class ProjectStream:
    """A list of projects on its way. Whoever sends it calls `pieces`, unless only its head is wanted, and `close`."""

    pieces: Callable[[], AsyncGenerator[bytes]]
    content_type: str
    mount: str
    _stack: AsyncExitStack

    async def close(self) -> None:
        """Let the connections upstream go."""
        await self._stack.aclose()


class Lists:
    """Answers for lists of projects. `sites` is by mount. It has no state of its own."""

    def __init__(self, sites: Mapping[str, Site], downloads: Downloads) -> None:
        self._sites = sites
        self._downloads = downloads

    async def of_index(self, query: Query[Target], site: Site) -> ProjectStream:
        """The list of all projects of an index, with links that stay below it. Raises UpstreamError."""
        fmt = negotiation.choose(query.accept, query.format)
        async with AsyncExitStack() as stack:
            came = await self._open(stack, site, query.target, fmt.value)
            return ProjectStream(lambda: _rewritten(came), came.form.content_type, site.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def of_group(self, query: Query[Target], group: Group) -> ProjectStream:
        """The projects of all members of a group, each once as far as the bound goes, in the order of the members.

        A member without a list is passed by. Raises NotFound if none has one, or an UpstreamError.
        """
        fmt = negotiation.choose(query.accept, query.format)
        async with AsyncExitStack() as stack:
            lists: list[tuple[Member, _Came]] = []
            for member in dict.fromkeys(group.members):
                target = Target(member.mount, None, member.index)
                try:
                    came = await self._open(stack, self._sites[member.mount], target, UPSTREAM_ACCEPT)
                except NotFound:
                    continue
                lists.append((member, came))
            if not lists:
                raise NotFound("No index of this group has a list of its projects.")
            shown = fmt.content_type
            return ProjectStream(lambda: _merged(group, lists, fmt), shown, group.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def _open(self, stack: AsyncExitStack, site: Site, target: Target, accept: str) -> _Came:
        address = urls.upstream_url(target, site)
        wanted = Wanted("", address, site, binary=False, text=True)
        passthrough = await self._downloads.pass_through(wanted, 0, None, {"Accept": accept})
        stack.push_async_callback(passthrough.close)
        if not site.owns(passthrough.url):
            raise UpstreamDenied("Upstream redirects its list of projects to another host, whose word is not its own.")
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
        return _Came(passthrough.url, form, head, pieces)


@dataclass(frozen=True, slots=True)
class _Came:
    """One list on its way. `head`: what was read of it to tell its form."""

    url: str
    form: Format
    head: bytes
    _rest: AsyncGenerator[bytes]

    async def chunks(self) -> AsyncGenerator[bytes]:
        """All of it, once, without names of users."""
        discretion = Redactor()
        yield discretion.feed(self.head)
        async with aclosing(self._rest):
            async for chunk in self._rest:
                yield discretion.feed(chunk)
        yield discretion.finish()


async def _rewritten(came: _Came) -> AsyncGenerator[bytes]:
    rewriter = ProjectListRewriter(came.url) if came.form is not Format.JSON else None
    async with aclosing(came.chunks()) as chunks:
        async for chunk in chunks:
            if piece := rewriter.feed(chunk) if rewriter is not None else chunk:
                yield piece
    if rewriter is not None and (piece := rewriter.finish()):
        yield piece


async def _merged(group: Group, lists: list[tuple[Member, _Came]], fmt: Format) -> AsyncGenerator[bytes]:
    head, tail, written = _JSON if fmt is Format.JSON else _HTML
    yield head
    said: set[str] = set()
    between = b""
    for number, (member, came) in enumerate(lists):
        reader = NamesInJson() if came.form is Format.JSON else NamesInHtml(came.url)
        async with aclosing(came.chunks()) as chunks:
            async for chunk in chunks:
                fresh = [name for name in reader.feed(chunk) if name not in said and _may_answer(group, member, name)]
                # Only what a later member could say again.
                if number + 1 < len(lists) and len(said) < _REMEMBERED:
                    said.update(fresh)
                if fresh:
                    yield between + written(fresh)
                    between = b"," if fmt is Format.JSON else b""
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
