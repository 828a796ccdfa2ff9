"""Who has the store of a data folder, so that verbs never open one that somebody uses.

In this order: a cache that runs on this machine is asked over its socket; one in a container by the same verb inside
it; and where no cache runs, the verb opens the folder itself. Called by `stats`, `clean` and `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.builds import contained_cache
from proxy.builds.contained_cache import ContainedStore
from proxy.config.settings import Settings
from proxy.control.client import RunningStore
from proxy.control.export_wish import BundlingStore
from proxy.control.opened_folder import OpenedFolder, is_data_folder
from proxy.control.protocol import ControlError

SETUP_FOLDER = ".docker-cache"  # in the home folder: where `setup` and compose.yaml have a cache's files by default


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A data folder, and the bytes that it may hold.

    `chosen`: whether a person named it. Else it is the default, and the one cache in a container is meant, too.
    `settings`: of a cache that would run on it.
    """

    folder: Path
    limit: int
    chosen: bool
    settings: Settings | None = None


def reach(place: DataPlace, environ: Mapping[str, str], *, make: bool = False) -> BundlingStore:
    """The store of this data folder; close it. `make`: where there is none, one is made.

    Where nobody chose a folder, the one that `setup` makes in the home folder counts, too: first one whose cache runs.
    Raises ControlError (there is no cache, or it is another user's), EngineTrouble, StoreError.
    """
    found = _found(place, environ)
    return OpenedFolder.open(found, place.limit, place.settings, make=make) if isinstance(found, Path) else found


def idle_folder(place: DataPlace, environ: Mapping[str, str]) -> Path | None:
    """The data folder that `reach` would open, since no cache runs on it; None: there is one to ask, or no folder.

    Raises as `reach` does, but for errors of the folder.
    """
    found = _found(place, environ)
    if isinstance(found, Path):
        return found if is_data_folder(found) else None
    found.close()
    return None


def _found(place: DataPlace, environ: Mapping[str, str]) -> RunningStore | ContainedStore | Path:
    """The cache that has the store, or else the folder of the store."""
    folders = [place.folder]
    if not place.chosen and environ.get("HOME"):
        folders.append(Path(environ["HOME"]) / SETUP_FOLDER)
    refused: ControlError | None = None
    for folder in folders:
        try:
            running = RunningStore.find(folder)
        except OSError as error:
            refused = refused or _refused(folder, error)
        else:
            if running is not None:
                return running
    contained = contained_cache.find(folders, environ, chosen=place.chosen)
    if contained is not None:
        return ContainedStore(contained)
    if refused is not None:
        raise refused
    return next((folder for folder in folders if is_data_folder(folder)), place.folder)


def _refused(folder: Path, error: OSError) -> ControlError:
    reason = error.strerror or type(error).__name__
    return ControlError(f"The cache of the data folder {folder} cannot be asked ({reason}). Be the user who runs it.")
