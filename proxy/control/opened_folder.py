"""The store of a data folder on which no cache runs: the verb opens it itself, and has its lock meanwhile.

What only some of the calls need is imported when it is called: it takes longer to load than a short verb runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import structs

from proxy.bundles.importing import Imported, ImportWish
from proxy.bundles.tar_file import RangeOf, TarFile, nowhere
from proxy.config.settings import Settings
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.export_wish import ExportWish
from proxy.control.protocol import (
    DEFAULT_LARGEST,
    CleanPlan,
    ControlError,
    Message,
    PulledFiles,
    PullWish,
    Stats,
    Wish,
)
from proxy.storage.opening import open_disk_store
from proxy.storage.store import DiskStore

if TYPE_CHECKING:
    from proxy.bundles.addresses import Learn
    from proxy.control.caretaker import Caretaker
    from proxy.model import Entry

T = TypeVar("T")


class MachineClock:
    """`ports.Clock` on the machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class OpenedFolder:
    """`protocol.StoreControl` of a folder. Its event loop runs during calls only."""

    def __init__(self, runner: asyncio.Runner, store: DiskStore, settings: Settings | None) -> None:
        self._settings = settings
        self._runner = runner
        self._store = store
        self._made: Caretaker | None = None
        self._open = True

    @classmethod
    def open(cls, path: Path, limit: int, settings: Settings | None = None, *, make: bool = False) -> Self:
        """Open a data folder. `limit`: bytes that it may hold. `settings`: of the cache, to explain it.

        `make`: it need not be there yet. What is there does not go for the limit; a longer import is refused.

        Raises StoreError: it is in use, cannot be written, has a later format. Raises ControlError if there is none.
        """
        if not make and not is_data_folder(path):
            raise ControlError(f"There is no cache in {path} yet. Start one with: pullthrough setup")
        runner = asyncio.Runner()
        try:
            # The bound of who calls the verb need not be that of the cache.
            store = runner.run(open_disk_store(path, limit, lambda _: None, MachineClock(), keep_all=True))
        except BaseException:
            runner.close()
            raise
        return cls(runner, store, settings)

    @property
    def _caretaker(self) -> Caretaker:
        if self._made is None:
            from proxy.control.caretaker import Caretaker  # noqa: PLC0415 - late, see above

            self._made = Caretaker(self._store.inventory, self._store.folder, MachineClock())
        return self._made

    def close(self) -> None:
        """Write what is not written, and let go of the folder. May be called twice."""
        if self._open:
            self._open = False
            try:
                if self._made is not None:
                    self._runner.run(self._made.close())
                self._runner.run(self._store.close())
            finally:
                self._runner.close()

    def stats(self, largest: int = DEFAULT_LARGEST) -> Stats:
        return self._run(self._caretaker.stats(largest))

    def who(self, wish: PullWish) -> PulledFiles:
        return self._run(self._caretaker.who(wish))

    def explain(self, wish: ExplainWish) -> Explanation:
        return self._run(self._explained(wish))

    def plan(self, wish: Wish) -> CleanPlan:
        return self._run(self._caretaker.plan(wish))

    def clean(self, wish: Wish) -> Iterator[Message]:
        return self._each(self._caretaker.clean(wish))

    def verify(self) -> Iterator[Message]:
        return self._each(self._caretaker.verify())

    def export(self, wish: ExportWish, to: int, advanced: Callable[[int, int], None]) -> None:
        self._run(self._exported(wish, to, advanced))

    async def _exported(self, wish: ExportWish, to: int, advanced: Callable[[int, int], None]) -> None:
        from proxy.bundles.tar_writer import TarOutlet  # noqa: PLC0415 - late, see above
        from proxy.control.exports import Exports  # noqa: PLC0415

        exports, done = Exports(self._store.inventory, MachineClock()), 0
        try:
            async with exports.export(wish) as made:

                def taken(count: int) -> None:
                    nonlocal done
                    done += count
                    advanced(done, made.tar.size)

                await made.write(TarOutlet(to, taken))
        finally:
            await exports.close()

    def take_in(self, pieces: Iterable[bytes], wish: ImportWish) -> Imported:
        async def coming() -> AsyncGenerator[bytes]:
            for piece in pieces:
                yield piece

        range_of = pieces.range if isinstance(pieces, TarFile) else nowhere
        return self._run(self._taken_in(coming(), wish, range_of))

    async def _taken_in(self, pieces: AsyncGenerator[bytes], wish: ImportWish, range_of: RangeOf) -> Imported:
        from proxy.control.importer import Importer  # noqa: PLC0415 - late, see above

        async with AsyncExitStack() as stack:
            learn: Learn | None = None

            async def learn_from(entry: Entry, /, *, older: bool = False) -> bool:
                nonlocal learn
                if learn is None:  # only for pages of which others are here, which come one after another
                    learn = await stack.enter_async_context(self._learning())
                return await learn(entry, older=older)

            return await Importer(self._store, MachineClock(), learn=learn_from).take_in(pieces, wish, range_of)

    @asynccontextmanager
    async def _learning(self) -> AsyncGenerator[Learn]:
        """What learns from index pages."""
        from proxy.cache.bodies import Bodies  # noqa: PLC0415 - late, see above
        from proxy.cache.documents import Documents  # noqa: PLC0415
        from proxy.cache.freshness import Patience  # noqa: PLC0415
        from proxy.python.imported_pages import ImportedPages  # noqa: PLC0415
        from proxy.upstream.offline import NoUpstream  # noqa: PLC0415

        settings, store, clock, upstream = self._settings, self._store, MachineClock(), NoUpstream()
        # Which hosts' pages count depends on credentials, too. The cache that will serve them knows those.
        sites = (
            {site.mount: structs.replace(site, own=None) for site in settings.sites()} if settings is not None else {}
        )
        documents = Documents(store, upstream, clock, Bodies(clock, 0), Patience(upstream, clock))
        try:
            async with ImportedPages.of_store(sites, store, documents, clock) as pages:
                yield pages.learn
        finally:
            await documents.close()

    async def _explained(self, wish: ExplainWish) -> Explanation:
        from proxy.apt.catalog import Catalog  # noqa: PLC0415 - late, see above
        from proxy.apt.forecasts import ArchiveForecasts  # noqa: PLC0415
        from proxy.apt.policy import Policy  # noqa: PLC0415
        from proxy.control.explainer import Explainer  # noqa: PLC0415
        from proxy.python.forecasts import IndexForecasts  # noqa: PLC0415

        settings, store, clock = self._settings, self._store, MachineClock()
        if settings is None:
            raise ControlError("Without settings nothing says what an address means.")
        sites = {site.mount: site for site in settings.sites()}
        catalog = Catalog(store, clock)
        explainer = Explainer(
            IndexForecasts(sites, settings.index_groups(), store, clock),
            ArchiveForecasts(Policy.of(settings), store, catalog, clock),
            settings.names,
            offline=settings.offline,
        )
        try:
            return await explainer.explain(wish)
        finally:
            await explainer.close()
            await catalog.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def _each(self, messages: AsyncGenerator[Message]) -> Iterator[Message]:
        async def following() -> Message | None:
            return await anext(messages, None)

        try:
            while (message := self._runner.run(following())) is not None:
                yield message
        finally:
            self._runner.run(messages.aclose())


def is_data_folder(path: Path) -> bool:
    """Whether a cache was here, or may have been: opening it tells why nobody can see that."""
    try:
        (path / "format").lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
