"""Values read out of the engine's answers: containers, and what images and BuildKit's cache take on the disk.

Called by `engine`, `builders` and those that show it. It asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

ROLE_LABEL = "pullthrough.role"  # on what this program starts: "cache", "prometheus", "grafana"
CACHE_MOUNT = "exec.cachemount"  # the type of a record that is a cache mount of some RUN
OWN_MOUNTS = "pullthrough-"  # how the ids of the cache mounts of `Dockerfile.cached` begin

_ID = re.compile(r' with id "(?:[^"/]*/)*([^"/]+)"')
_PLACE = re.compile(r"cached mount (\S+) from ")
_FRACTION = re.compile(r"\.\d+")


@dataclass(frozen=True, slots=True)
class ContainerMount:
    """`source` is a path of the engine's machine; of a volume its name is in `volume`."""

    source: str
    target: str
    volume: str = ""

    @property
    def host_path(self) -> PurePosixPath:
        """The source as this machine names it: Docker Desktop puts a folder of its own before it."""
        return PurePosixPath("/" + self.source.removeprefix("/host_mnt").lstrip("/"))


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """`host` and `port` of the engine's machine lead to `inside`, a port of the container."""

    host: str
    port: int
    inside: int


@dataclass(frozen=True, slots=True)
class EngineContainer:
    """A container, running or not. `networks`: its address in each network; empty while it does not run."""

    id: str
    name: str
    image: str
    state: str  # "running", "exited", "created", "restarting", "paused", "dead"
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[ContainerMount, ...] = ()
    ports: tuple[PublishedPort, ...] = ()
    networks: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether commands can be run in it."""
        return self.state == "running"

    def has(self, folder: PurePosixPath) -> bool:
        """Whether this folder of the host, or one above it, is mounted into it."""
        return any(mount.source and folder.is_relative_to(mount.host_path) for mount in self.mounts)


def read_container(listed: Mapping[str, Any]) -> EngineContainer:
    """A container of the answer of /containers/json."""
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    return EngineContainer(
        id=listed["Id"],
        name=next(iter(listed.get("Names") or ()), "").lstrip("/"),
        image=listed.get("Image", ""),
        state=listed.get("State", ""),
        labels=listed.get("Labels") or {},
        mounts=tuple(
            ContainerMount(one.get("Source", ""), one.get("Destination", ""), one.get("Name") or "")
            for one in listed.get("Mounts") or ()
        ),
        ports=tuple(_published(listed.get("Ports") or ())),
        networks={name: one["IPAddress"] for name, one in networks.items() if one and one.get("IPAddress")},
    )


def _published(ports: Sequence[Mapping[str, Any]]) -> Iterator[PublishedPort]:
    for one in ports:
        if one.get("PublicPort") and one.get("Type", "tcp") == "tcp":
            yield PublishedPort(one.get("IP") or "", int(one["PublicPort"]), int(one["PrivatePort"]))


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """A record of BuildKit's cache: a layer, or a cache mount (`kind` is CACHE_MOUNT). Sizes are bytes."""

    id: str
    kind: str
    size: int
    in_use: bool
    shared: bool
    description: str = ""

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
