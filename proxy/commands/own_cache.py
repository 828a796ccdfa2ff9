"""A cache that answers a verb's questions about a store while no other cache runs on it, and only that long.

Called by `export`, `warm --check` and `diff`. It is offline, listens on a free port of the loopback address, and leaves
nothing in a log or in the history. The event loop is a thread's own, so that the verb can ask as it asks any cache.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from proxy import app
from proxy.builds import running_cache
from proxy.builds.store_access import DataPlace, idle_folder
from proxy.config.credentials import KnownCredentials
from proxy.config.settings import Settings
from proxy.errors import StoreBroken
from proxy.storage.opening import PendingStore

T = TypeVar("T")

_HOST = "127.0.0.1"


@contextmanager
def answering(place: DataPlace, environ: Mapping[str, str]) -> Generator[Settings]:
    """Settings by which a cache answers: the one that runs, else one of its own that has the folder as long.

    Raises as `idle_folder` and `own_cache` do. Where there is neither, who asks notices.
    """
    assert place.settings is not None, "the command line gives them"
    running = running_cache.find(place.settings.host, place.settings.port) is not None
    folder = None if running else idle_folder(place, environ)
    if folder is None:
        yield place.settings
    else:
        with own_cache(place.settings, folder, environ) as settings:
            yield settings


@contextmanager
def own_cache(settings: Settings, folder: Path, environ: Mapping[str, str]) -> Generator[Settings]:
    """Serve from a data folder until the end of the block, which gets settings that name the address.

    Their `public_url` is where the cache is otherwise, as lock files that were made through it have it.

    Raises ConfigError, StoreError (the folder is in use, or cannot be used), OSError.
    """
    alone = _alone(settings, folder)
    credentials = KnownCredentials.find(settings, environ)  # they say whose pages count
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, _loop() as run:
        # The bound of who calls the verb need not be that of the cache.
        running = run(app.start(alone, credentials=credentials, log=nowhere, keep_all=True))
        try:
            if isinstance(running.opened, PendingStore):
                raise StoreBroken(f"The data folder {folder} cannot be used now. pullthrough verify says more.")
            usual = settings.public_url or f"http://{_HOST}:{settings.port}"
            yield alone.model_copy(update={"port": urlsplit(running.url).port, "public_url": usual})
        finally:
            run(running.close())


def _alone(settings: Settings, folder: Path) -> Settings:
    """The same cache, for nobody else and without upstream."""
    return settings.model_copy(
        update={
            "data": folder,
            "host": (_HOST,),
            "port": 0,
            "offline": True,
            "public_url": "",
            "history": settings.history.model_copy(update={"days": 0}),
            "apt": settings.apt.model_copy(update={"announce": False}),
        }
    )


@contextmanager
def _loop() -> Generator[Callable[[Coroutine[Any, Any, T]], T]]:
    """Run an event loop in a thread; gives what has a coroutine run there, and waits for its result."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="own cache", daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
