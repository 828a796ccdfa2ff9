"""What all parts of the store work on."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.storage.blobs import Blobs
from proxy.storage.folder import Folder
from proxy.storage.index import Index
from proxy.storage.threads import Threads


@dataclass(frozen=True, slots=True)
class Holdings:
    """An open data folder: its paths, its rows, the picture of its blobs in memory, and the threads that work on it."""

    folder: Folder
    index: Index
    blobs: Blobs
    threads: Threads
