"""The ways into the cache: sources and settings of a machine that comes through it, in one form or the other.

Used by the end-to-end tests that run the real apt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proxy import clients
from tests.e2e.apt import AptRoot, Source
from tests.e2e.clients import Server

FORMS = ("proxy form", "prefix form")
FETCHED = "pullthrough_fetched_bytes_total"
SENT = "pullthrough_sent_bytes_total"


def pointed(folder: Path, sources: Sequence[Source], url: str, form: str) -> AptRoot:
    """A root that fetches through the cache at `url`."""
    there, options = way(sources, url, form)
    return AptRoot(folder, there, options)


def way(sources: Sequence[Source], url: str, form: str) -> tuple[list[Source], list[str]]:
    """Sources, and lines of settings, for the cache at `url`; https archives are fetched by the cache."""
    if form == "proxy form":
        return [through_proxy(source) for source in sources], clients.apt_lines(url)
    return [below_prefix(source, url) for source in sources], []


def through_proxy(source: Source) -> Source:
    """The source as it stands in a root with the cache for a proxy."""
    scheme, _, rest = source.address.partition("://")
    address = f"http://HTTPS///{rest}" if scheme == "https" else source.address
    return Source(address, source.suite, source.components, source.signed_by)


def below_prefix(source: Source, url: str) -> Source:
    """The source below the cache's own address."""
    return Source(prefixed(source.address, url), source.suite, source.components, source.signed_by)


def prefixed(address: str, url: str) -> str:
    """The address of an archive below that of the cache, as docs/apt.md writes it. The cache fetches https by https."""
    scheme, _, rest = address.partition("://")
    return f"{url}/HTTPS///{rest}" if scheme == "https" else f"{url}/{rest}"


def pool_passed(server: Server) -> float:
    """Bytes of packages that clients were sent and that were not in the cache."""
    return sum(server.metric(SENT, upstream="apt", kind="file", source=source) for source in ("upstream", "shared"))
