"""Trying out whether the disk works, so that a failure is over when it is over, not when the next client comes."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.storage.disk_health import Component
from proxy.storage.holdings import Holdings

_BYTES = 64 << 10


async def probe(holdings: Holdings) -> None:
    """Write a file and a row, and remove them. Raises StoreFull, StoreBroken."""
    await holdings.threads.sync(_write, holdings.folder.spool / "probe.tmp")
    holdings.threads.health.worked(Component.FILES)
    await holdings.threads.index(holdings.index.probe)


def _write(path: Path) -> None:
    try:
        with path.open("wb") as file:
            file.write(bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
