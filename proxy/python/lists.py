"""Lists of projects: the root of an index, passed on as it streams by, and the roots of a group's members as one.

Called by the service. Tens of megabytes pass without being held. A list is no authority: who has a project is decided
when its page is asked for, by `pages`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from html import escape

from proxy.cache.downloads import Downloads
from proxy.cache.flight import Wanted
from proxy.cache.passage import Passage
from proxy.errors import NotFound, UpstreamBroken, UpstreamDenied
from proxy.model import Group, Member, Site, Target
from proxy.python import addresses, negotiation
from proxy.python.groups import members_for
from proxy.python.negotiation import UPSTREAM_ACCEPT, Format
from proxy.python.projects import NamesInHtml, NamesInJson, ProjectListRewriter
from proxy.python.question import Question

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

    async def of_index(self, question: Question, site: Site) -> ProjectStream:
        """The list of all projects of an index, with links that stay below it. Raises UpstreamError."""
        fmt = negotiation.choose(question.accept, question.format)
        async with AsyncExitStack() as stack:
            passage = await self._open(stack, site, question.target, fmt.value)
            form, pieces = _form(passage), passage.chunks
            if form is not Format.JSON:
                rewriter = ProjectListRewriter(passage.url)

                def pieces() -> AsyncGenerator[bytes]:
                    return _rewritten(passage, rewriter)

            return ProjectStream(pieces, form.content_type, site.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def of_group(self, question: Question, group: Group) -> ProjectStream:
        """The projects of all members of a group, each once as far as the bound goes, in the order of the members.

        A member without a list is passed by. Raises NotFound if none has one, or an UpstreamError.
        """
        fmt = negotiation.choose(question.accept, question.format)
        async with AsyncExitStack() as stack:
            lists: list[tuple[Member, Passage]] = []
            for member in dict.fromkeys(group.members):
                target = Target(member.mount, None, member.index)
                try:
                    lists.append((member, await self._open(stack, self._sites[member.mount], target, UPSTREAM_ACCEPT)))
                except NotFound:
                    continue
            if not lists:
                raise NotFound("No index of this group has a list of its projects.")
            shown = fmt.content_type
            return ProjectStream(lambda: _merged(group, lists, fmt), shown, group.mount, stack.pop_all())
        raise AssertionError("unreachable")

    async def _open(self, stack: AsyncExitStack, site: Site, target: Target, accept: str) -> Passage:
        address = addresses.upstream_url(target, site)
        passage = await self._downloads.past(Wanted("", address, site, binary=False), 0, None, {"Accept": accept})
        stack.push_async_callback(passage.close)
        if not site.owns(passage.url):
            raise UpstreamDenied("Upstream redirects its list of projects to another host, whose word is not its own.")
        _form(passage)
        return passage


def _form(passage: Passage) -> Format:
    media_type = passage.content_type.partition(";")[0].strip().lower()
    if media_type.endswith(("+json", "/json")):
        return Format.JSON
    if media_type.endswith(("+html", "/html")):
        return Format.HTML if media_type.endswith("+html") else Format.TEXT
    raise UpstreamBroken("Upstream sent something other than a list of projects.")


async def _rewritten(passage: Passage, rewriter: ProjectListRewriter) -> AsyncGenerator[bytes]:
    async with aclosing(passage.chunks()) as chunks:
        async for chunk in chunks:
            if piece := rewriter.feed(chunk):
                yield piece
    if piece := rewriter.finish():
        yield piece


async def _merged(group: Group, lists: list[tuple[Member, Passage]], fmt: Format) -> AsyncGenerator[bytes]:
    head, tail, written = _JSON if fmt is Format.JSON else _HTML
    yield head
    said: set[str] = set()
    between = b""
    for number, (member, passage) in enumerate(lists):
        reader = NamesInJson() if _form(passage) is Format.JSON else NamesInHtml(passage.url)
        async with aclosing(passage.chunks()) as chunks:
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
