"""Asks the cache for files, as a client does, and throws them away: afterwards they are there (ADR 20)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol, TypeAlias
from urllib.parse import quote, urljoin, urlsplit

import aiohttp

from proxy import address_text
from proxy.errors import PullthroughError
from proxy.model import ALGORITHMS
from proxy.warming import text_files
from proxy.warming.archives import ArchiveFile
from proxy.warming.choice import Chosen, Refused
from proxy.warming.sources import build_requirements

_AT_ONCE = 8  # files
_ACCEPT = "application/vnd.pypi.simple.v1+json"
_PIECE = 1 << 18  # bytes read at once
_SILENT = 120.0  # seconds without a byte
_PAUSE = 0.05  # seconds
_MISSES = 20  # answers in a row that are not from the store, after which it keeps no such file
_WAITS = 30  # redirects while metadata is not ready
_HERE = frozenset({"hit", "stale", "revalidated"})
_SENT = frozenset({"hit", "revalidate"})  # verdicts by which a client gets what is stored
Wanted: TypeAlias = Chosen | ArchiveFile  # a file of an index, or of an archive
_IN_MEMORY = 4 << 20  # bytes of a source distribution that is not on the disk while it is read


class NoCache(PullthroughError):
    """The cache does not answer. The text says how to start it."""


@dataclass(frozen=True, slots=True)
class Had:
    """A file that the cache has now. `came`: it was not there before. Size in bytes."""

    chosen: Wanted
    size: int
    came: bool


@dataclass(slots=True)
class Warmed:
    """What was there, what came, and what could not be had; and what the builds of source distributions require."""

    had: list[Had] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    missing: list[Wanted] = field(default_factory=list)  # that a check did not find
    needs: set[str] = field(default_factory=set)


class Watcher(Protocol):
    """Who shows how far it is. Sizes in bytes. Each planned file ends; those that are sent began before."""

    def planned(self, files: int) -> None: ...
    def began(self, name: str, size: int | None) -> None: ...
    def brought(self, name: str, size: int) -> None: ...
    def ended(self, name: str) -> None: ...


class Warming:
    """Asks one cache. `mounts`: the base addresses of upstreams, and the mount that stands for each."""

    def __init__(  # noqa: PLR0913, PLR0917 - what is known of the cache
        self,
        cache: str,
        index: str,
        mounts: dict[str, str],
        watcher: Watcher,
        own: Iterable[str] = (),
        asked: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`cache`: its address without a slash at the end, and `own` further ones by which others know it.

        `index`: the path of the usual index, with slashes. `asked`: what the cache says of an index upstream that
        `mounts` do not have: its path there, or None.
        """
        self.cache = cache
        self._index = index
        self._mounts = {_plain(base): mount for base, mount in mounts.items()}
        self._watcher = watcher
        self._asked = asked
        self._own = tuple(dict.fromkeys(_plain(one) for one in (cache, *own) if one))
        self._pages: dict[str, asyncio.Task[list[dict[str, Any]]]] = {}

    async def fetch(self, wanted: Iterable[Wanted], *, check: bool = False) -> Warmed:
        """Have these files in the cache; or look which are there. Raises NoCache."""
        outcome, slots = Warmed(), asyncio.Semaphore(_AT_ONCE)
        self._pages = {}  # of this event loop
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=_SILENT)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            work = self._look if check else self._have
            wanted = list(wanted)
            self._watcher.planned(len(wanted))
            tasks = [
                asyncio.create_task(self._in_turn(slots, work(http, chosen, outcome), chosen, outcome))
                for chosen in wanted
            ]
            try:
                await asyncio.gather(*tasks)
            except aiohttp.ClientConnectorError as error:
                raise NoCache(f"No cache answers at {self.cache}. Start it with: pullthrough serve") from error
            finally:
                for task in (*tasks, *self._pages.values()):
                    task.cancel()
                await asyncio.gather(*tasks, *self._pages.values(), return_exceptions=True)
        return outcome

    async def _in_turn(
        self, slots: asyncio.Semaphore, work: Coroutine[Any, Any, None], chosen: Wanted, outcome: Warmed
    ) -> None:
        """Do the work for one file when it is its turn. Raises the failure of a cache that does not answer at all."""
        async with slots:
            try:
                await work
            except aiohttp.ClientConnectorError:
                raise
            except (aiohttp.ClientError, TimeoutError, _Unfit) as error:
                outcome.refused.append(Refused(chosen.filename, str(error) or "the cache did not answer in time"))
            except OSError as error:  # of the disk on which a source distribution is kept while it is read
                why = f"it cannot be kept in {tempfile.gettempdir()} while it is read: {error.strerror or error}"
                outcome.refused.append(Refused(chosen.filename, f"{why}. TMPDIR names another folder"))
            finally:
                self._watcher.ended(chosen.filename)

    @property
    def usual(self) -> str:
        """The address of the usual index on the cache."""
        return f"{self.cache}{self._index}"

    def on_cache(self, index: str) -> str | None:
        """Where the cache has an index, by its address upstream, or on the cache itself."""
        path = self._path(index)
        return None if path is None else f"{self.cache}{path}"

    async def _have(self, http: aiohttp.ClientSession, chosen: Wanted, outcome: Warmed) -> None:
        url, expected, known = await self._place(http, chosen)
        name = chosen.filename
        if isinstance(chosen, Chosen) and name.endswith(".whl"):
            await self._metadata(http, url)
        size, hashes = 0, {kind: hashlib.new(kind) for kind in chosen.hashes if kind in ALGORITHMS}
        self._watcher.began(name, expected)
        with _kept(chosen) as source:
            async with http.get(url) as answer:
                await _check(answer)
                came = answer.headers.get("X-Cache") not in _HERE
                async for piece in answer.content.iter_chunked(_PIECE):
                    size += len(piece)
                    for one in hashes.values():
                        one.update(piece)
                    if source is not None:
                        source.write(piece)
                    self._watcher.brought(name, len(piece))
            for kind, one in hashes.items():
                if one.hexdigest() != chosen.hashes[kind].lower():
                    raise _another(kind, one.hexdigest())
            if came:
                await _stored(http, url)
            if source is not None:
                outcome.needs.update(build_requirements(name, source))
        outcome.had.append(Had(known, size, came))

    async def _look(self, http: aiohttp.ClientSession, chosen: Wanted, outcome: Warmed) -> None:
        url, size, known = await self._place(http, chosen)
        where = quote(urlsplit(url).path, safe="/%~:+@")
        async with http.get(f"{self.cache}/api/v1/explain?url={quote(where, safe='')}") as answer:
            await _check(answer)
            found = await answer.json()
        stored, wanted = found["forecast"].get("stored"), chosen.hashes.get("sha256")
        if stored is None or found["forecast"]["verdict"] not in _SENT:
            outcome.missing.append(chosen)
            return
        if wanted is not None and stored["sha256"] != wanted.lower():
            raise _another("sha256", stored["sha256"])
        outcome.had.append(Had(known, size or 0, came=False))
        with _kept(chosen) as source:
            if source is not None:  # what its build needs has to be here, too
                async with http.get(url) as answer:
                    await _check(answer)
                    async for piece in answer.content.iter_chunked(_PIECE):
                        source.write(piece)
                outcome.needs.update(build_requirements(chosen.filename, source))

    async def _place(self, http: aiohttp.ClientSession, chosen: Wanted) -> tuple[str, int | None, Wanted]:
        """The address of a file on the cache, its size as far as it is known, and the file as its index names it.

        Raises _Unfit.
        """
        if isinstance(chosen, ArchiveFile):
            return f"{self.cache}{chosen.path}", chosen.size, chosen
        url, listed = await self._listed(http, chosen)
        return url, listed.get("size"), replace(chosen, filename=listed["filename"])

    async def _listed(self, http: aiohttp.ClientSession, chosen: Chosen) -> tuple[str, dict[str, Any]]:
        """The address of a file on the cache, and what the page says of it. Raises _Unfit."""
        path = self._path(chosen.index)
        if path is None:
            url = text_files.without_user(str(chosen.index))
            raise _Unfit(f"it is from {url}; add an [[upstream]] with this url to the cache's settings")
        page = f"{self.cache}{path}{chosen.project}/"
        if page not in self._pages:
            self._pages[page] = asyncio.create_task(_page(http, page))
        files = await asyncio.shield(self._pages[page])
        # A lock file may spell the name in its own way: uv's pylock.toml has markupsafe-… for MarkupSafe-….
        named = [file for file in files if file["filename"] == chosen.filename]
        for file in named or [file for file in files if not chosen.hashes.items().isdisjoint(file["hashes"].items())]:
            return urljoin(page, file["url"].partition("#")[0]), file
        raise _Unfit(f"the index has no such file; its page is {path}{chosen.project}/")

    async def _metadata(self, http: aiohttp.ClientSession, url: str) -> None:
        """Have a wheel's metadata there, as pip and uv ask for it. A wheel without any is no failure."""
        url = f"{url}.metadata"
        for _ in range(_WAITS):
            async with http.get(url, allow_redirects=False) as answer:
                await answer.read()
                location = answer.headers.get("Location")
            if answer.status != 302 or location is None:  # noqa: PLR2004
                return
            url = urljoin(url, location)

    def _path(self, index: str | None) -> str | None:
        """The path on the cache of an index, with slashes at both ends."""
        if index is None:
            return self._index
        plain = _plain(index)
        for own in self._own:
            if plain.startswith(own):
                return f"/{plain.removeprefix(own)}"
        base = max((base for base in self._mounts if plain.startswith(base)), key=len, default=None)
        if base is None:
            return self._asked(text_files.without_user(index))
        return f"/{self._mounts[base]}/{plain.removeprefix(base)}"


def _plain(address: str) -> str:
    """An address as it is compared: without its user, with a slash at its end, its host and port written in one way."""
    text = text_files.without_user(address).rstrip("/") + "/"
    rest = text.partition("://")[2].partition("/")[2]
    try:
        scheme, host, port = address_text.origin(text)
    except ValueError:  # a port or an IPv6 address that is none
        return text
    return f"{scheme}://{address_text.bracketed(host)}:{port}/{rest}" if host else text


@contextlib.contextmanager
def _kept(chosen: Wanted) -> Iterator[IO[bytes] | None]:
    """Where a source distribution is kept while it is read: on the disk if it is large. None for what is no such."""
    if isinstance(chosen, ArchiveFile) or chosen.filename.endswith(".whl"):
        yield None
    else:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            yield file


class _Unfit(Exception):
    """A file that cannot be had. The text says why."""


def _another(kind: str, digest: str) -> _Unfit:
    return _Unfit(f"the index has another file under this name: its {kind} is {digest}")


async def _page(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with http.get(url, headers={"Accept": _ACCEPT}) as answer:
        await _check(answer)
        files: list[dict[str, Any]] = (await answer.json(content_type=None))["files"]
        return files


async def _stored(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until the cache has what it just sent. Raises _Unfit if it does not keep it."""
    missed = 0
    while missed < _MISSES:
        async with http.head(url) as answer:
            found = answer.headers.get("X-Cache")
        if found in _HERE:
            return
        missed += found != "shared"  # it is being written
        await asyncio.sleep(_PAUSE)
    raise _Unfit("the cache sends it and does not keep it: the setting `disk` may be too small, or the disk is full")


async def _check(answer: aiohttp.ClientResponse) -> None:
    """Raise _Unfit for an answer that is none."""
    if answer.status >= 400:  # noqa: PLR2004 a failure
        text = (await answer.read())[:1000].decode(errors="replace").strip()
        raise _Unfit(f"the cache answers {answer.status}: {text}")
