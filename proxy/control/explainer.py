"""Says of one address what would happen, and why: out of the store and the settings, and what a running cache knows.

Called by `server` for a running cache, and by `opened_folder` where none runs on a data folder. It asks no upstream.
Messages never repeat a part of the address, which may hold a password.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import urlsplit

import msgspec

from proxy import address_text
from proxy.apt import addresses as archive_addresses
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.forecasts import ArchiveForecasts
from proxy.cache.flight import Flight
from proxy.cache.forecast import DecidingSetting, Forecast, Verdict
from proxy.control.explanation import ExplainWish, Explanation, RecentFailure
from proxy.errors import BadTarget, NotFound, PullthroughError
from proxy.ports import Upstream
from proxy.python import addresses as index_addresses
from proxy.python import filenames
from proxy.python.forecasts import IndexForecasts, Likelihood
from proxy.status import FailureStatus

_FAILURES = 5  # the last ones that are shown
_PAGES = frozenset({"page", "release", "index", "document"})  # kinds of which a host fails as it fails at pages
_OWN = ("", "metrics", "healthz", "readyz", "api")  # how the program's own addresses begin


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """What a running cache knows of upstreams, and its downloads `under_way`."""

    upstream: Upstream
    under_way: Callable[[], Iterable[Flight]]
    failures: Callable[[], Iterable[FailureStatus]]


class Explainer:
    """Reads an address in any form that a person has it in, and asks the room that it belongs to."""

    def __init__(
        self,
        indexes: IndexForecasts,
        archives: ArchiveForecasts,
        names: AbstractSet[str] = frozenset(),
        running: RunningFacts | None = None,
        *,
        offline: bool = False,
    ) -> None:
        """`names`: the cache's host names. `running`: None where no cache runs. `offline`: the setting."""
        self._offline = offline
        self._indexes = indexes
        self._archives = archives
        self._names = names
        self._running = running

    async def close(self) -> None:
        """End the threads that read pages."""
        await self._indexes.close()

    async def explain(self, wish: ExplainWish) -> Explanation:
        """What would happen. An address that nobody could ask for is refused, and the forecast says why."""
        try:
            forecast = await self._forecast(wish.url.strip())
        except (BadTarget, NotFound) as error:
            forecast = Forecast(kind="nothing", verdict=Verdict.REFUSE, why=(str(error),))
        if self._offline:
            forecast = _without_upstream(forecast)
        running = self._running
        if running is None:
            return Explanation(forecast)
        forecast = _followed(forecast, running.under_way())
        failures = [one for one in running.failures() if one.upstream == forecast.mount]
        shown = tuple(RecentFailure(one.time, one.reason) for one in failures[:_FAILURES])
        return Explanation(forecast, running=True, down=self._down(running, forecast), failures=shown)

    async def _forecast(self, text: str) -> Forecast:
        if text.startswith("/"):
            return await self._own(text)
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in address_text.PORTS:
            raise BadTarget("Name an address that begins with a slash, or with http:// or https://.")
        authority, slash, path = rest.partition("/")
        host = authority.partition("?")[0].partition("#")[0].rpartition("@")[2]
        path = (slash + path) or "/"
        plain = f"{scheme.lower()}://{host}{path}".partition("?")[0].partition("#")[0]
        if self._is_own(host, path) and not self._is_archive_beside(plain):
            return await self._own(path)
        return await self._upstream(plain)

    async def _own(self, target: str) -> Forecast:
        """Of a path on the cache."""
        path = target.partition("?")[0].partition("#")[0]
        if archive_addresses.is_prefix(path):
            return await self._archives.of(archive_addresses.parse(path))
        if path[1:].partition("/")[0] in _OWN:
            return Forecast(kind="own", verdict=Verdict.OWN, why=("The program itself answers.",), address=path)
        return await self._indexes.of(index_addresses.parse(path, self._indexes.mounts))

    async def _upstream(self, url: str) -> Forecast:
        """Of an address upstream: below a mount, of an archive, or of a file that pages link to."""
        likelihood, target = next(iter(self._indexes.targets(url)), (Likelihood.NONE, None))
        if target is not None and likelihood >= Likelihood.KNOWN:
            return await self._indexes.of(target)
        archive = _archive(url)
        named = filenames.is_distribution(urlsplit(url).path.rpartition("/")[2])
        if target is not None and not self._archives.takes(archive) and (likelihood > Likelihood.NONE or named):
            return await self._indexes.of(target)
        return await self._archives.of(archive)

    def _is_archive_beside(self, url: str) -> bool:
        """Whether the settings name an archive there, on the machine of the cache."""
        try:
            return self._archives.named(_archive(url))
        except BadTarget:
            return False

    def _is_own(self, host: str, path: str) -> bool:
        """Whether an address names this cache: by one of its names, localhost or an address, and a path that it has."""
        try:
            name, _ = address_text.host(host, rooted=True)
        except BadTarget:
            return False
        literal = name.startswith("[") or name.replace(".", "").isdecimal()
        first = path[1:].partition("/")[0].partition("?")[0]
        known = first in self._indexes.mounts or first in _OWN or archive_addresses.is_prefix(path)
        return name in self._names or name == "localhost" or (literal and known)

    def _down(self, running: RunningFacts, forecast: Forecast) -> bool:
        if forecast.upstream is None:
            return False
        try:
            return running.upstream.down(forecast.upstream, file=forecast.kind not in _PAGES)
        except PullthroughError:
            return False


def _archive(url: str) -> ArchiveAddress:
    """The file of an archive at an address upstream. Raises BadTarget."""
    scheme, _, rest = url.partition("://")
    return archive_addresses.parse(f"/{'HTTPS///' if scheme == 'https' else ''}{rest}")


def _followed(forecast: Forecast, flights: Iterable[Flight]) -> Forecast:
    """What becomes of it while the file is being downloaded."""
    if forecast.verdict is not Verdict.FETCH or not any(_brings(flight, forecast) for flight in flights):
        return forecast
    why = ("A download of it is under way, which the client follows.", *forecast.why)
    return msgspec.structs.replace(forecast, verdict=Verdict.SHARED, why=why)


def _brings(flight: Flight, forecast: Forecast) -> bool:
    """Whether a download brings the file: from where it would be fetched, or the same bytes for another address."""
    wanted = flight.wanted
    same = wanted.digest is not None and wanted.digest.strong and forecast.promised == str(wanted.digest)
    return same or forecast.upstream == wanted.url.partition("?")[0]


def _without_upstream(forecast: Forecast) -> Forecast:
    """What becomes of it while the cache is offline (ADR 19): what is stored is sent, and nothing else is had."""
    setting = DecidingSetting("offline", "true")
    match forecast.verdict:
        case Verdict.REVALIDATE:
            verdict, why = Verdict.HIT, "The cache is offline: the stored copy is sent, however old."
        case Verdict.FETCH | Verdict.PASS:
            verdict, why = Verdict.REFUSE, "The cache is offline, and does not have it."
        case Verdict.HIT | Verdict.SHARED | Verdict.REDIRECT | Verdict.OWN | Verdict.REFUSE:
            return forecast
        case _:
            assert_never(forecast.verdict)
    settings = (setting, *forecast.settings)
    return msgspec.structs.replace(forecast, verdict=verdict, why=(why, *forecast.why), settings=settings)
