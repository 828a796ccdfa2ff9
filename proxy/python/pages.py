"""Pages: a project's page on one index, or the first that a group of indexes has; flat pages.

Called by the service. A page comes from `page_cache`, `supplements` says what is known of it, and `rendered_pages` has
it in the form that `negotiation` chose (ADR 13). Never merges the pages of two indexes.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from proxy.cache.documents import Document
from proxy.cache.representation import CHANGING, Representation
from proxy.errors import Forwarded, NotAllowed, NotFound, Offline, UpstreamDenied, UpstreamError, Withheld
from proxy.model import Group, Kind, Outcome, Query, Site, Target
from proxy.python import addresses, negotiation
from proxy.python.codings import accepted
from proxy.python.metadata_offers import MetadataOffers
from proxy.python.negotiation import Format
from proxy.python.page_cache import PageCache
from proxy.python.rendered_pages import PageView, RenderedPages
from proxy.python.routes import Elsewhere, OtherSpelling, is_none_of, members_for
from proxy.python.store_keys import PageAddress
from proxy.python.supplements import Supplement, Supplements

_LONGEST = 600.0  # seconds for which PyPI lets clients keep a page; uv and pip do


class Pages:
    """Answers for pages. `sites` is by mount. It has no state of its own."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        cache: PageCache,
        supplements: Supplements,
        rendered: RenderedPages,
        offers: MetadataOffers,
    ) -> None:
        self._sites = sites
        self._cache = cache
        self._supplements = supplements
        self._rendered = rendered
        self._offers = offers

    async def page(self, query: Query[Target], site: Site, target: Target, project: str) -> Representation:
        """The page at `target`, with links for a page at the query's target. `project` is empty for a flat page.

        Raises NotFound, or another UpstreamError when there is no copy to fall back on.
        """
        try:
            return await self._shown(query, site, target, project)
        except Withheld as refusal:
            if not _is_missing(refusal, site) and (site.authenticated or isinstance(refusal, Forwarded)):
                # There may be such a project. A 404 would make clients try their next index.
                raise UpstreamDenied(str(refusal)) from refusal
            raise

    async def other_spelling(
        self, query: Query[Target], site: Site, target: Target, route: OtherSpelling
    ) -> Representation | Elsewhere:
        """The page at an address whose name is not normalised: the root of a channel, such as `rocm6.4/`.

        If upstream has nothing there, the name is one of a project, spelt differently. Raises as `page` does.
        """
        normal = Elsewhere(route.location) if route.location is not None else None
        try:
            shown = await self.page(query, site, target, route.project)
        except NotFound:
            if normal is None:
                raise
            return normal
        except (UpstreamError, NotAllowed):
            usual = PageAddress(site, route.project, f"{addresses.parent_of(target)}{route.project}/")
            if normal is None or query.contended or self._cache.stored(usual) is None:
                raise
            return normal
        stored = self._cache.stored(PageAddress(site, route.project, target.path))
        if normal is not None and stored is not None and stored.entry.url.endswith(f"/{route.project}/"):
            return normal  # upstream redirected to it
        return shown

    async def _shown(self, query: Query[Target], site: Site, target: Target, project: str) -> Representation:
        """The page. Raises Withheld, too."""
        form = negotiation.choose(query.accept, query.format)
        coding = accepted(query.accept_encoding)
        address = PageAddress(site, project, target.path)
        document, supplement = await self._got(address, query)
        entry, stands = document.entry, self._cache.stands
        offers, version = self._offers, self._offers.version
        base = query.base if form is Format.JSON else ""
        view = PageView(document, query.target, site, supplement, base)
        rendered = await self._rendered.get(view, form, coding)
        return Representation(
            body=rendered.body,
            kind=Kind.PAGE,
            mount=site.mount,
            content_type=form.content_type,
            cache_control=_cache_control(site, supplement),
            etag=rendered.etag,
            outcome=document.outcome,
            source=document.source,
            # A client that asks for a revalidation must not get a remembered answer the next time.
            fresh_until=document.fresh_until if supplement.lasting and not query.no_cache else 0.0,
            encoding=coding.value if coding else None,
            vary="Accept, Accept-Encoding",
            age=document.age,
            # Which metadata is promised depends on what is learnt of hosts. A page that is not kept is for one answer.
            stands=lambda: offers.version == version and stands(entry),
            project=project or None,
        )

    async def grouped(self, query: Query[Target], group: Group, project: str) -> Representation:
        """The page of the first member of a group that has the project.

        A member that fails, refuses, or had the project before is not passed by: whoever can break an internal index
        must not get its names answered from outside. Raises NotFound if no member has the project, or an UpstreamError.
        """
        for number, member in enumerate(members_for(group, project)):
            site, target = self._sites[member.mount], Target(member.mount, None, f"{member.index}{project}/")
            try:
                shown = await self._shown(query, site, target, project)
            except Withheld as refusal:
                forwarded_stranger = isinstance(refusal, Forwarded) and is_none_of(group, member, project)
                if not forwarded_stranger and not _is_missing(refusal, site):
                    raise UpstreamDenied(
                        f"The index {member.mount} of this group gives no answer. {refusal}"
                    ) from refusal
            except Offline:
                if not is_none_of(group, member, project):
                    raise
            except NotFound:
                if self._cache.stored(PageAddress(site, project, target.path)) is not None:
                    raise
            else:
                # A member before this one may have the project in a moment.
                return structs.replace(shown, fresh_until=0.0) if number else shown
        raise NotFound("No index of this group has such a project.")

    async def _got(self, address: PageAddress, query: Query[Target]) -> tuple[Document, Supplement]:
        """The page, and what is known here of it. If the index has it no more: what is left of it here."""
        try:
            document = await self._cache.get(
                address, revalidate=query.no_cache, ahead=query.ahead, contended=query.contended
            )
        except NotFound:
            stored = self._cache.stored(address)
            left = await self._supplements.withdrawn(address, stored) if stored is not None else None
            if stored is None or left is None:
                raise
            return structs.replace(stored, outcome=Outcome.STALE), left
        supplement = await self._supplements.of(address, document)
        if not self._cache.reaches(document):
            supplement = await self._supplements.limited(address, document, supplement)
        return document, supplement


def _cache_control(site: Site, supplement: Supplement) -> str:
    """`Cache-Control` of a page: no client keeps it for longer than it counts as fresh here.

    A page of what is left here, while its index cannot be reached or has the project no more, is for now.
    """
    if supplement.withdrawn or supplement.only is not None:
        return CHANGING
    return f"max-age={min(_LONGEST, site.ttl):.0f}, public"


def _is_missing(refusal: Withheld, site: Site) -> bool:
    """Whether the settings say that a refusal of this kind means: no such project."""
    return site.redirected_is_missing if isinstance(refusal, Forwarded) else site.forbidden_is_missing
