"""Who has the store of a data folder, so that verbs never open one that somebody uses.

In this order: a cache that runs on this machine is asked over its socket; one in a container by the same verb inside
it; and where no cache runs, the verb opens the folder itself. Called by `stats`, `clean` and `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.builds import contained_cache
from proxy.builds.contained_store import ContainedStore
from proxy.control.client import RunningStore
from proxy.control.opened_folder import OpenedFolder
from proxy.control.protocol import ControlError, StoreControl


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A data folder, and the bytes that it may hold.

    `chosen`: whether a person named it. Else it is the default, and the one cache in a container is meant, too.
    """

    folder: Path
    limit: int
    chosen: bool


def reach(place: DataPlace, environ: Mapping[str, str]) -> StoreControl:
    """The store of this data folder; close it.

    Raises ControlError (there is no cache, or it is another user's), EngineTrouble, StoreError.
    """
    refused: OSError | None = None
    try:
        running = RunningStore.find(place.folder)
    except OSError as error:
        running, refused = None, error
    if running is not None:
        return running
    contained = contained_cache.find(place.folder, environ, chosen=place.chosen)
    if contained is not None:
        return ContainedStore(contained)
    if refused is not None:
        reason = refused.strerror or type(refused).__name__
        raise ControlError(
            f"The cache of the data folder {place.folder} cannot be asked ({reason}). Be the user who runs it."
        )
    return OpenedFolder.open(place.folder, place.limit)
