"""What the engine's images and BuildKit's cache take on the disk: values, read out of the engine's answers.

Called by `engine`, `builders` and those that show it. It asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CACHE_MOUNT = "exec.cachemount"  # the type of a record that is a cache mount of some RUN
OWN_MOUNTS = "pullthrough-"  # how the ids of the cache mounts of `Dockerfile.cached` begin

_ID = re.compile(r' with id "(?:[^"/]*/)*([^"/]+)"')
_PLACE = re.compile(r"cached mount (\S+) from ")
_FRACTION = re.compile(r"\.\d+")


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """A record of BuildKit's cache: a layer, or a cache mount (`kind` is CACHE_MOUNT). Sizes are bytes."""

    id: str
    kind: str
    size: int
    in_use: bool
    shared: bool
    description: str = ""
    last_used: datetime | None = None

    @property
    def mount_id(self) -> str | None:
        """The id of a cache mount, as the Dockerfile gives it; None of anything else, or where it is the path."""
        if self.kind != CACHE_MOUNT:
            return None
        found = _ID.search(self.description)
        return found[1] if found else None

    @property
    def name(self) -> str:
        """What a person knows it by: a mount's id; where the engine does not tell that, where it is mounted."""
        place = _PLACE.match(self.description) if self.kind == CACHE_MOUNT else None
        return self.mount_id or (place[1] if place else self.id)

    @property
    def own(self) -> bool:
        """Whether it is a cache mount of `Dockerfile.cached` or a file like it."""
        return (self.mount_id or "").startswith(OWN_MOUNTS)


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that the engine has. `size`: bytes of all its layers, also of those that other images share."""

    id: str
    names: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """What the engine's images and BuildKit's cache take. `image_layers`: bytes, each layer once."""

    image_layers: int
    images: tuple[EngineImage, ...]
    records: tuple[CacheRecord, ...]

    @property
    def cache_mounts(self) -> tuple[CacheRecord, ...]:
        """The cache mounts of all Dockerfiles."""
        return tuple(record for record in self.records if record.kind == CACHE_MOUNT)


def read_usage(answer: Mapping[str, Any]) -> EngineUsage:
    """The answer of /system/df: the fields since API 1.52 where they are, else the older ones.

    The sum of the build cache is made of its records: some engines give 0.
    """
    images, records = answer.get("ImageUsage"), answer.get("BuildCacheUsage")
    listed = (images.get("Items") if images else answer.get("Images")) or answer.get("Images") or ()
    layers = (images.get("TotalSize") if images else None) or answer.get("LayersSize") or 0
    cached = (records.get("Items") if records else answer.get("BuildCache")) or answer.get("BuildCache") or ()
    return EngineUsage(
        image_layers=int(layers),
        images=tuple(
            EngineImage(one.get("Id", ""), tuple(one.get("RepoTags") or ()), int(one.get("Size") or 0))
            for one in listed
        ),
        records=tuple(
            CacheRecord(
                id=one.get("ID", ""),
                kind=one.get("Type", ""),
                size=int(one.get("Size") or 0),
                in_use=bool(one.get("InUse")),
                shared=bool(one.get("Shared")),
                description=one.get("Description") or "",
                last_used=read_time(one.get("LastUsedAt")),
            )
            for one in cached
        ),
    )


def read_time(text: str | None) -> datetime | None:
    """A time of RFC 3339; Go writes nanoseconds, which Python does not read."""
    if not text or text.startswith("0001-"):
        return None
    with suppress(ValueError):
        return datetime.fromisoformat(_FRACTION.sub("", text))
    return None
