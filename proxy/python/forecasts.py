"""What a request for an address of a Python index would come to, from what is stored. Never asks upstream.

Called by `control.explainer`. The rules are those of `routes`, `pages`, `files` and `file_validity`, which act on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import assert_never

import msgspec

from proxy.cache import freshness
from proxy.cache.forecast import DecidingSetting, Forecast, ListingPage, StoredCopy, Verdict
from proxy.cache.stored_files import is_stored
from proxy.config.field_types import show_duration
from proxy.errors import BadTarget
from proxy.model import GROUP_INDEX, Digest, Entry, Group, Site, Target
from proxy.ports import Clock, Store
from proxy.python import addresses, urls
from proxy.python.attachments import METADATA
from proxy.python.layouts import FileHosts
from proxy.python.page import File
from proxy.python.routes import (
    Elsewhere,
    FlatPage,
    OtherSpelling,
    PackageFile,
    ProjectList,
    ProjectPage,
    classify,
    is_volatile,
    members_for,
)
from proxy.python.store_keys import PageAddress, file_key, page_keys
from proxy.python.stored_listings import StoredListing, StoredListings

_QUARANTINED = "The index has quarantined this project: nothing of it is given."


class Likelihood(IntEnum):
    """Why an address upstream may be one of a mount."""

    NONE = 0
    PAGE = 1  # the mount has the page of a project that the name may be of
    KNOWN = 2  # the settings name the host, or the file is stored
    BELOW = 3  # it is below the mount's base


class IndexForecasts:
    """Looks into the store. `close` ends its threads."""

    def __init__(self, sites: Mapping[str, Site], groups: Iterable[Group], store: Store, clock: Clock) -> None:
        """`sites` is by mount."""
        self._sites = sites
        self._groups = {group.mount: group for group in groups}
        self._store = store
        self._clock = clock
        self._listings = StoredListings(store)
        self.mounts = frozenset((*sites, *self._groups))

    async def close(self) -> None:
        """End the threads."""
        await self._listings.close()

    def targets(self, url: str) -> list[tuple[Likelihood, Target]]:
        """The addresses on the cache of what is at an absolute address upstream, the likeliest first."""
        found = []
        for site in self._sites.values():
            with contextlib.suppress(BadTarget):
                target = urls.locate(url, site)
                found.append((self._likelihood(target, site), len(site.base), target))
        found.sort(key=lambda one: (-one[0], -one[1]))
        return [(likelihood, target) for likelihood, _, target in found]

    def _likelihood(self, target: Target, site: Site) -> Likelihood:
        if target.host is None:
            return Likelihood.BELOW
        if self._store.find(file_key(target)) is not None or FileHosts(self._sites).knows(target, site):
            return Likelihood.KNOWN
        project = addresses.project_of(target)
        return Likelihood.PAGE if project and self._store.keys(page_keys(site.mount, project)) else Likelihood.NONE

    async def of(self, target: Target) -> Forecast:
        """What would happen. Raises NotFound where no index can have such an address."""
        group = self._groups.get(target.mount)
        found = await (self._grouped(target, group) if group is not None else self._single(target))
        return msgspec.structs.replace(found, address=addresses.format_path(target), mount=found.mount or target.mount)

    async def _single(self, target: Target) -> Forecast:
        site = self._sites[target.mount]
        route = classify(target, site)
        match route:
            case Elsewhere():
                return Forecast(kind="page", verdict=Verdict.REDIRECT, why=(f"The page is at {route.location}.",))
            case ProjectList():
                why = "The list of all projects comes from upstream each time, and is not stored."
                upstream = urls.upstream_url(target, site)
                return Forecast(kind="list of projects", verdict=Verdict.PASS, why=(why,), upstream=upstream)
            case ProjectPage() | OtherSpelling():
                return self._page(PageAddress(site, route.project, target.path))
            case FlatPage():
                return self._page(PageAddress(site, "", target.path))
            case PackageFile():
                if route.name.endswith(f".whl{METADATA}"):
                    return await self._metadata(target, site)
                return await self._file(target, site)
            case _:
                assert_never(route)

    async def _grouped(self, target: Target, group: Group) -> Forecast:
        """The forecast of the member that has the project's page stored, else of the first that is asked."""
        route = classify(target, Site(group.mount, "", GROUP_INDEX, 0.0))
        if not isinstance(route, ProjectPage):
            why = "A group of indexes has pages of projects, and a list of all; files are at the mounts of its members."
            verdict = Verdict.PASS if isinstance(route, ProjectList) else Verdict.REFUSE
            return Forecast(kind="group", verdict=verdict, why=(why,))
        members = members_for(group, route.project)
        pages = [
            self._page(PageAddress(self._sites[one.mount], route.project, f"{one.index}{route.project}/"))
            for one in members
        ]
        chosen = next((page for page in pages if page.stored is not None), pages[0])
        names = ", ".join(member.mount for member in members)
        pinned = len(members) == 1 < len(group.members)
        order = f"The group pins this project to {names}." if pinned else f"The group asks, in this order: {names}."
        setting = DecidingSetting(f"[[group]] {group.mount}, {'pins' if pinned else 'members'}", names)
        return msgspec.structs.replace(chosen, why=(*chosen.why, order), settings=(*chosen.settings, setting))

    def _page(self, address: PageAddress) -> Forecast:
        site, entry = address.site, self._store.find(address.key)
        if entry is not None and not site.owns(entry.url):
            entry = None
        life = DecidingSetting(f"[[upstream]] {site.mount}, ttl", show_duration(site.ttl))
        if entry is None:
            verdict, why = Verdict.FETCH, "No copy of this page is stored."
        elif self._fresh(entry, site):
            verdict, why = Verdict.HIT, "The stored page is fresh: upstream confirmed it within its life time."
        else:
            verdict = Verdict.REVALIDATE
            why = "The stored page is older than its life time. If upstream fails or is slow, it is sent as stale."
        return Forecast(
            kind="page",
            verdict=verdict,
            why=(why,),
            mount=site.mount,
            upstream=address.url,
            settings=(life,),
            pages=(self._listing_page(address, entry, lists=True),) if entry is not None else (),
            stored=StoredCopy.of(entry),
        )

    async def _file(self, target: Target, site: Site) -> Forecast:
        entry, found = self._store.find(file_key(target)), await self._listings.of(target, site)
        promised = found.file.best_digest if found.file is not None else None
        volatile = is_volatile(target, site) and promised is None
        settings = [DecidingSetting(f"[[upstream]] {site.mount}, volatile", ", ".join(site.volatile))] * volatile
        if found.quarantined:
            verdict, why = Verdict.REFUSE, [_QUARANTINED]
        elif promised is not None:
            verdict, why = self._promised(entry, promised)
        elif entry is None:
            verdict, why = self._not_stored(target, site, found)
            if verdict is Verdict.REFUSE:
                hosts = ", ".join(sorted(site.hosts)) or "(none)"
                settings.append(DecidingSetting(f"[[upstream]] {site.mount}, hosts", hosts))
        elif volatile and not self._fresh(entry, site):
            verdict, why = Verdict.REVALIDATE, ["The settings say that upstream may replace this file under its name."]
            settings.append(DecidingSetting(f"[[upstream]] {site.mount}, ttl", show_duration(site.ttl)))
        else:
            verdict, why = _unlisted(entry, fresh=self._fresh(entry, site))
        return Forecast(
            kind="file",
            verdict=verdict,
            why=tuple(why),
            upstream=self._source(target, site, found.file),
            settings=tuple(settings),
            pages=self._pages(found),
            promised=_text(promised or (entry.promised if entry is not None else None)),
            stored=StoredCopy.of(entry),
        )

    async def _metadata(self, target: Target, site: Site) -> Forecast:
        wheel = Target(target.mount, target.host, target.path.removesuffix(METADATA))
        entry, found = self._store.find(file_key(target)), await self._listings.of(wheel, site)
        listed = found.file.core_metadata if found.file is not None else None
        verdict, why = self._of_metadata(entry, wheel, site, found)
        return Forecast(
            kind="metadata",
            verdict=verdict,
            why=(why,),
            upstream=self._source(wheel, site, found.file),
            pages=self._pages(found),
            promised=_text(listed if isinstance(listed, Digest) else None),
            stored=StoredCopy.of(entry),
        )

    def _of_metadata(self, entry: Entry | None, wheel: Target, site: Site, found: StoredListing) -> tuple[Verdict, str]:
        """Of the metadata of a wheel; `entry` is that of its own address."""
        file = found.file
        if found.quarantined:
            return Verdict.REFUSE, _QUARANTINED
        replaceable = is_volatile(wheel, site) and (file is None or file.best_digest is None)
        if entry is not None and _is_of(entry, file, confirmed=not replaceable or self._fresh(entry, site)):
            return Verdict.HIT, "The wheel's metadata is stored."
        stored, promised = self._store.find(file_key(wheel)), file.best_digest if file is not None else None
        here = stored is not None if promised is None else self._promised(stored, promised)[0] is Verdict.HIT
        if here and replaceable and stored is not None and not self._fresh(stored, site):
            return Verdict.REVALIDATE, "It is read out of the stored wheel, which upstream may replace under its name."
        if here:
            return Verdict.HIT, "The metadata is read out of the stored wheel."
        if file is not None and file.core_metadata:
            return Verdict.FETCH, "The index offers the metadata as a file of its own."
        verdict, (why,) = self._not_stored(wheel, site, found)
        parts = "The metadata is read out of the wheel, of which a part is fetched if that does."
        return verdict, why if verdict is Verdict.REFUSE else parts

    def _promised(self, entry: Entry | None, promised: Digest) -> tuple[Verdict, list[str]]:
        """Of a file whose digest a page gives; `entry` is that of its own address."""
        known = entry.known(promised.algorithm) if entry is not None else None
        if known == promised:
            return Verdict.HIT, ["It is stored, and is what a page promises."]
        if entry is not None and known is None:
            return Verdict.HIT, [
                "It is stored. It is hashed first, to compare it with the digest that a page promises."
            ]
        if is_stored(promised, self._store):
            return Verdict.HIT, ["What a page promises is stored under another address."]
        if entry is not None:
            return Verdict.FETCH, ["A page promises another file than the stored one."]
        return Verdict.FETCH, ["It is not stored. A stored page has its address."]

    def _not_stored(self, target: Target, site: Site, found: StoredListing) -> tuple[Verdict, list[str]]:
        if found.file is not None:
            return Verdict.FETCH, ["It is not stored. A stored page has its address."]
        if addresses.is_named(target):
            return Verdict.FETCH, ["It is not stored. Only its page has its address: that is asked for first."]
        if target.host in found.hosts or FileHosts(self._sites).knows(target, site):
            return Verdict.FETCH, ["It is not stored, and no stored page lists it. Its page is asked for first."]
        why = (
            "It is not stored, and no stored page links to a file of this name on this host. Its page is asked for; if "
            "that does not list the file either, it is refused."
        )
        return Verdict.REFUSE, [why]

    def _pages(self, found: StoredListing) -> tuple[ListingPage, ...]:
        return tuple(self._listing_page(page, entry, lists=lists) for page, entry, lists in found.pages)

    def _listing_page(self, address: PageAddress, entry: Entry, *, lists: bool) -> ListingPage:
        path = addresses.format_path(Target(address.site.mount, None, address.path))
        age = max(self._clock.now() - entry.checked, 0.0)
        return ListingPage(path, age, self._fresh(entry, address.site), lists)

    def _fresh(self, entry: Entry, site: Site) -> bool:
        return freshness.is_fresh(entry, self._clock.now(), site.ttl)

    def _source(self, target: Target, site: Site, file: File | None) -> str | None:
        """Where it would be fetched from; None where only a page knows."""
        if file is not None:
            return file.url.partition("?")[0]
        return None if addresses.is_named(target) else urls.upstream_url(target, site)


def _unlisted(entry: Entry, *, fresh: bool) -> tuple[Verdict, list[str]]:
    """Of a stored file that may not be replaced under its name."""
    why = ["It is stored. No stored page gives its digest."]
    if entry.promised is not None:
        why.append("It was compared with the digest that a page gave before.")
    if not entry.proved or (entry.promised is None and not fresh):
        why.append("Its page is asked for first, for a second at most.")
    return Verdict.HIT, why


def _is_of(metadata: Entry, wheel: File | None, *, confirmed: bool) -> bool:
    """Whether stored metadata is that of a wheel as a page lists it; see `FileValidity.of_metadata`."""
    if wheel is None:
        return confirmed
    if isinstance(wheel.core_metadata, Digest):
        return metadata.known(wheel.core_metadata.algorithm) in (None, wheel.core_metadata)
    return confirmed and (wheel.best_digest is None or metadata.validator.etag == str(wheel.best_digest))


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest is not None else None
