"""What all parts of the store work on."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.storage.backlog import Backlog
from proxy.storage.blobs import Blobs
from proxy.storage.folder import DataFolder
from proxy.storage.index import Index
from proxy.storage.places import Places
from proxy.storage.threads import Threads


@dataclass(frozen=True, slots=True)
class Holdings:
    """An open data folder: its paths, its rows and their changes, its blobs in memory and their files, the threads."""

    folder: DataFolder
    index: Index
    backlog: Backlog
    blobs: Blobs
    places: Places
    threads: Threads
