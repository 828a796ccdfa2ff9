"""Archives that want to know which client asks: what one client gets of them is nobody else's.

The service asks first. Where the settings pass on what a client says of itself, the answer goes straight through: it is
neither kept nor shared, and what the cache has is no answer to such a query. Elsewhere nothing of it goes upstream.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.apt import answers
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.answers import Dated
from proxy.apt.policy import Policy
from proxy.cache.downloads import Downloads
from proxy.cache.flight import Wanted
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import ClientDenied, UpstreamBroken, UpstreamDenied
from proxy.model import Kind, Query, Source, Span

_NOBODY_ELSE = "private, no-store"


class Private:
    """Answers to clients that say who they are. It has no state."""

    def __init__(self, policy: Policy, downloads: Downloads) -> None:
        self._policy = policy
        self._downloads = downloads

    def passes(self, address: ArchiveAddress) -> bool:
        """Whether the archive is told what clients say of themselves."""
        archive = self._policy.archive_of(address)
        return archive is not None and archive.client_credentials

    def meant(self, query: Query[ArchiveAddress]) -> bool:
        """Whether an answer is for this client alone."""
        return query.authorization is not None and self.passes(query.target)

    async def answer(self, query: Query[ArchiveAddress]) -> Representation:
        """The file, as upstream gives it to this client. Raises UpstreamDenied where upstream does not know it."""
        passthrough = await self._passthrough(query, None if query.head else query.span)
        if query.head:
            await passthrough.close()
        shown = answers.file(
            passthrough, None, Dated(passthrough.last_modified), Kind.OTHER, Source.UPSTREAM, lasting=False
        )
        return replace(shown, cache_control=_NOBODY_ELSE)

    def explained(self, query: Query[ArchiveAddress], error: UpstreamDenied) -> UpstreamDenied:
        """What a client is told that upstream does not know."""
        if self.passes(query.target):
            return ClientDenied("The archive wants to know who asks, and does not know what the client said.")
        if query.authorization is None or self._policy.site_of(query.target).authenticated:
            return error
        return UpstreamDenied(
            "The archive wants to know who asks. What a client says is passed on only where an [[archive]] of the "
            "settings has client_credentials; else give the cache credentials for it there."
        )

    async def _passthrough(self, query: Query[ArchiveAddress], span: Span | None) -> Passthrough:
        address = query.target
        site = self._policy.site_of(address)
        wanted = Wanted(f"apt:private:{address.key}", address.url, site, binary=False, kind=Kind.OTHER)
        headers = {"Authorization": query.authorization or ""}
        if span is not None:
            start, end = (span.start, span.end) if span.suffix is None else (-span.suffix, None)
            condition = {"If-Range": query.if_range} if query.if_range else {}
            try:
                return await self._downloads.past(wanted, start, end, headers | condition)
            except UpstreamBroken:
                pass  # no such part is given, or of another version: the whole is
        return await self._downloads.past(wanted, 0, None, headers)
