"""Private archives, to which clients authenticate themselves: what one client gets of them is for nobody else.

The service asks first. Where the settings pass on the credentials of clients, the answer passes through: it is neither
stored nor shared, and nothing stored answers such a query. Elsewhere, credentials of clients do not go upstream.
"""

from __future__ import annotations

from proxy.apt.addresses import ArchiveAddress, ArchiveQuery
from proxy.apt.policy import MOUNT, Policy
from proxy.cache.downloads import Downloads
from proxy.cache.flight import WantedFile
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import Representation
from proxy.errors import ClientDenied, UpstreamBroken, UpstreamDenied
from proxy.model import Kind, Source, Span

_CACHE_CONTROL = "private, no-store"


class PrivateArchives:
    """Answers to clients that authenticate themselves. It has no state."""

    def __init__(self, policy: Policy, downloads: Downloads) -> None:
        self._policy = policy
        self._downloads = downloads

    def passes(self, address: ArchiveAddress) -> bool:
        """Whether the credentials of clients are passed on to the archive."""
        archive = self._policy.archive_of(address)
        return archive is not None and archive.client_credentials

    def concerns(self, query: ArchiveQuery) -> bool:
        """Whether the answer is for this client alone."""
        return query.authorization is not None and self.passes(query.target)

    async def answer(self, query: ArchiveQuery) -> Representation:
        """The file, as upstream gives it to this client. Raises UpstreamDenied where upstream refuses the client."""
        body = await self._body(query, None if query.head else query.span)
        if query.head:
            await body.close()
        return Representation.of_file(
            body,
            kind=Kind.OTHER,
            mount=MOUNT,
            source=Source.UPSTREAM,
            digest=None,
            cache_control=_CACHE_CONTROL,
            last_modified=body.last_modified,
        )

    def explained(self, query: ArchiveQuery, error: UpstreamDenied) -> UpstreamDenied:
        """The error for a client that upstream refused."""
        if self.passes(query.target):
            return ClientDenied(
                "The archive refuses the client's credentials, or got none. Check its entry in the client's auth.conf."
            )
        if query.authorization is None or self._policy.site_of(query.target).authenticated:
            return error
        return UpstreamDenied(
            "The archive asks for credentials. Those of clients are passed on only if an [[archive]] of the settings "
            "has client_credentials; otherwise give the cache credentials for the archive there."
        )

    async def _body(self, query: ArchiveQuery, span: Span | None) -> Passthrough:
        address = query.target
        site = self._policy.site_of(address)
        wanted = WantedFile(f"apt:private:{address.key}", address.url, site, binary=False, kind=Kind.OTHER)
        headers = {"Authorization": query.authorization or ""}
        if span is not None:
            start, end = (span.start, span.end) if span.suffix is None else (-span.suffix, None)
            condition = {"If-Range": query.if_range} if query.if_range else {}
            try:
                return await self._downloads.pass_through(wanted, start, end, headers | condition)
            except UpstreamBroken:
                pass  # upstream gives no such part, or has another version: the whole is sent
        return await self._downloads.pass_through(wanted, 0, None, headers)
