"""What Docker takes on the disk for builds, and the removal of its cache mounts: the engine's own, and other builders'.

Called by the verbs `stats` and `clean`. The engine's API knows the engine's own builder alone; the others are asked
through the plugin buildx, each by its name. A builder that does not answer is named, and does not hide the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from proxy.builds import builders
from proxy.builds.builders import ENGINES_OWN
from proxy.builds.docker_command import DockerCommand
from proxy.builds.engine import Engine
from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord
from proxy.builds.engine_trouble import EngineTrouble

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BuilderCache:
    """The build cache of one builder; of the engine's own the name is `docker`."""

    builder: str
    records: tuple[CacheRecord, ...]

    @property
    def mounts(self) -> tuple[CacheRecord, ...]:
        """Its cache mounts, the largest first."""
        mounts = (record for record in self.records if record.kind == CACHE_MOUNT)
        return tuple(sorted(mounts, key=lambda record: (-record.size, record.id)))

    @property
    def removable(self) -> tuple[CacheRecord, ...]:
        """The cache mounts that no build uses now."""
        return tuple(record for record in self.mounts if not record.in_use)

    @property
    def layers(self) -> int:
        """The bytes of all that is no cache mount: results of RUN and COPY, contexts, sources."""
        return sum(record.size for record in self.records if record.kind != CACHE_MOUNT)


@dataclass(frozen=True, slots=True)
class DockerCaches:
    """What Docker takes, in bytes. `troubles`: who could not be asked, a sentence each."""

    images: int  # how many
    image_layers: int  # bytes of their layers, each once
    caches: tuple[BuilderCache, ...]
    troubles: tuple[str, ...]


def look(environ: Mapping[str, str]) -> DockerCaches:
    """What is there now. Raises EngineTrouble if no engine answers."""
    with Engine.connect(environ) as engine:
        usage = engine.usage()
    own = BuilderCache(ENGINES_OWN, usage.records)
    others, troubles = _each(environ, lambda command, name: BuilderCache(name, tuple(builders.records(command, name))))
    return DockerCaches(len(usage.images), usage.image_layers, (own, *others), tuple(troubles))


def prune(environ: Mapping[str, str], names: Sequence[str]) -> tuple[int, list[str]]:
    """Remove the cache mounts of these builders that no build uses.

    Gives the bytes that became free, and a sentence for each builder that failed. Raises EngineTrouble if no engine
    answers.
    """
    freed = 0
    if ENGINES_OWN in names:
        with Engine.connect(environ) as engine:
            freed = engine.prune_cache_mounts()
    others, troubles = _each(environ, builders.prune, names)
    return freed + sum(others), troubles


def _each(
    environ: Mapping[str, str], ask: Callable[[DockerCommand, str], T], names: Sequence[str] | None = None
) -> tuple[list[T], list[str]]:
    """What the builders other than the engine's own say, and a sentence for each that fails. `names`: None: all."""
    try:
        command = DockerCommand.find(environ)
        found = builders.others(command)
    except EngineTrouble:
        return [], []  # without the command there is no other builder
    answers: list[T] = []
    troubles: list[str] = []
    for name in found:
        if names is None or name in names:
            try:
                answers.append(ask(command, name))
            except EngineTrouble as error:
                troubles.append(str(error))
    return answers, troubles
