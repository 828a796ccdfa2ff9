"""Waiting until a cache that was just started answers. Called by `setup`."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from proxy.builds import running_cache
from proxy.builds.running_cache import RunningCache

_PAUSE = 0.2  # seconds between two questions


def wait(
    hosts: Sequence[str], port: int, patience: float, ended: Callable[[], bool] = lambda: False
) -> RunningCache | None:
    """The cache at the first of these places, once it is ready; None if it is not within `patience` seconds.

    `ended`: whether it is known by now that it will not be.
    """
    until = time.monotonic() + patience
    while True:
        cache = running_cache.find(hosts, port)
        if cache is not None and ready(cache):
            return cache
        if time.monotonic() > until or ended():
            return None
        time.sleep(_PAUSE)


def ready(cache: RunningCache) -> bool:
    """Whether the cache says that it can store what it fetches."""
    connection = http.client.HTTPConnection(cache.host, cache.port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", "/readyz", headers={"Connection": "close"})
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False
