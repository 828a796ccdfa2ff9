"""Containers that this program started, as the engine lists them. Called by `engine`; it asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

ROLE_LABEL = "pullthrough.role"  # on what this program starts: "cache", "prometheus", "grafana"


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
