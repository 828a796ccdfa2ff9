"""The Docker engine of this machine's current context: its version, its containers, what its caches take on the disk.

Used by the verbs `build`, `doctor`, `setup`, `stats` and `clean`. It follows DOCKER_HOST, DOCKER_CONTEXT and what
`docker context use` chose, as the command `docker` does; Docker Desktop's socket is found that way. It runs no build:
in the engine's API builds have no secrets (`docker_command`). Builders other than the engine's own are in `builders`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from proxy import operating_system
from proxy.builds.engine_answers import (
    CACHE_MOUNT,
    ROLE_LABEL,
    CacheRecord,
    EngineContainer,
    EngineUsage,
    read_container,
    read_time,
    read_usage,
)
from proxy.builds.engine_trouble import EngineTrouble, beyond_ssh, no_context, trouble

_VIRTUAL = ("Docker Desktop", "OrbStack", "desktop-linux", "colima", "rancher-desktop")
_ON_SOCKETS = ("unix", "npipe", "http+docker")
_CONTAINERD = "io.containerd.snapshotter"
_TIMEOUT = 30  # seconds for an answer of the engine
_COUNTING = 300  # seconds for one that has to count what is on the disk


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself. API versions are texts as in "1.41".

    `finds_own_layers`: whether a build with `--cache-from` finds the layers of an image that the engine has. One that
    keeps images in containerd's store asks the image's registry for them.
    """

    context: str  # the name of the context; "DOCKER_HOST" where that variable names the engine
    address: str
    version: str
    api: str
    least_api: str  # the oldest API that it speaks
    system: str  # "Docker Desktop", "Debian GNU/Linux 12 (bookworm)"
    rootless: bool
    time: datetime | None  # its clock when it answered
    proxy: str = ""  # the engine's own HTTP proxy, for what it pulls
    finds_own_layers: bool = False

    @property
    def desktop(self) -> bool:
        """Whether the engine is in a virtual machine, whose host is not the engine's own bridge."""
        named = any(mark in f"{self.system} {self.context}" for mark in _VIRTUAL)
        return named or (self.address.startswith("unix:") and not operating_system.has_containers())

    @property
    def near(self) -> bool:
        """Whether it may be on this machine: then its bridge is an address of this machine, if it has one here."""
        parts = urlsplit(self.address)
        return parts.scheme in _ON_SOCKETS or parts.hostname in ("127.0.0.1", "::1", "localhost")

    @property
    def major(self) -> int:
        """The number before the first dot; 0 where there is none."""
        first = self.version.partition(".")[0]
        return int(first) if first.isdigit() else 0


class Engine:
    """A connection to an engine. Close it, or use it as a context manager. All calls block, and raise EngineTrouble."""

    def __init__(self, client: Any, facts: EngineFacts) -> None:  # noqa: ANN401 - the library has no types
        self._client = client
        self.facts = facts

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Self:
        """Connect to the engine that `docker` would use with these variables.

        Raises EngineTrouble, whose text says what to do: no engine, no permission on its socket, an API that one of
        both sides does not speak.
        """
        name, address = _context(environ)
        if _by_command_alone(address):
            raise beyond_ssh(address)
        client: Any = None
        try:
            _knock(address)
            client = docker.DockerClient.from_env(
                environment=dict(environ) or {"": ""},
                timeout=_TIMEOUT,
                use_ssh_client=True,  # as `docker` does for ssh:// addresses; the other way needs another library
            )
            version, info = client.version(), client.info()
        except (DockerException, RequestException, OSError) as error:
            if client is not None:
                client.close()
            raise trouble(error, address) from error
        facts = EngineFacts(
            context=name,
            address=address,
            version=version.get("Version", ""),
            api=version.get("ApiVersion", ""),
            least_api=version.get("MinAPIVersion", ""),
            system=info.get("OperatingSystem", ""),
            rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
            time=read_time(info.get("SystemTime")),
            proxy=info.get("HttpProxy") or "",
            finds_own_layers=not any(_CONTAINERD in value for pair in info.get("DriverStatus") or () for value in pair),
        )
        return cls(client, facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self._client.close()

    # What is on the disk

    def usage(self) -> EngineUsage:
        """What images and BuildKit's cache take. It has to count, which takes seconds on a full engine.

        Asks for both forms of the answer: since API 1.52 the old fields are deprecated, and 1.53 has none.
        """
        api = self._client.api
        # The library sends no parameters. An engine before API 1.42 ignores `type`, one before 1.52 `verbose`.
        wanted = [("type", "image"), ("type", "build-cache"), ("verbose", "1")]
        url = f"{api.base_url}/v{api.api_version}/system/df"

        def ask() -> Any:  # noqa: ANN401
            answer = api.get(url, params=wanted, timeout=_COUNTING)
            answer.raise_for_status()
            return answer.json()

        return read_usage(self._asked(ask))

    def prune(self, record: CacheRecord) -> int:
        """Remove one record of BuildKit's cache; gives the bytes that became free: 0 where a build uses it."""
        return self._pruned({"id": record.id})

    def prune_cache_mounts(self) -> int:
        """Remove the cache mounts of all Dockerfiles that no build uses; gives the bytes that became free."""
        return self._pruned({"type": CACHE_MOUNT})

    def _pruned(self, filters: Mapping[str, str]) -> int:
        answer = self._asked(lambda: self._client.api.prune_builds(filters=dict(filters)))
        return int(answer.get("SpaceReclaimed") or 0)

    # Containers, networks, images

    def containers(self, role: str = "cache") -> list[EngineContainer]:
        """The containers that have this role (ROLE_LABEL), running ones first."""
        listed = self._asked(
            lambda: self._client.api.containers(all=True, filters={"label": f"{ROLE_LABEL}={role}"}),
        )
        return sorted(map(read_container, listed), key=lambda one: (not one.running, one.name))

    def volumes(self, project: str) -> list[str]:
        """The names of the volumes that Compose made for a project."""
        label = f"com.docker.compose.project={project}"
        listed = self._asked(lambda: self._client.api.volumes(filters={"label": label}))
        return sorted(one["Name"] for one in listed.get("Volumes") or ())

    def user_of(self, container: EngineContainer) -> int | None:
        """The number of the user as whom a container runs; None where it is a name, which only the image knows."""
        attributes = self._asked(lambda: self._client.api.inspect_container(container.id))
        user = str((attributes.get("Config") or {}).get("User") or "0").partition(":")[0]
        return int(user) if user.isdigit() else None

    def bridge_gateway(self) -> str | None:
        """The host's address on the default bridge, which a build's container reaches; None without such a network.

        A default bridge has a subnet and no gateway in its answer: then it is the subnet's first address.
        """
        try:
            attributes = self._asked(lambda: self._client.networks.get("bridge").attrs)
        except EngineTrouble as error:
            if isinstance(error.__cause__, NotFound):
                return None
            raise
        return gateway((attributes.get("IPAM") or {}).get("Config") or ())

    def image_environment(self, name: str) -> Mapping[str, str] | None:
        """The variables that an image sets for its RUNs and containers; None if the engine does not have the image."""
        image = self._image(name)
        if image is None:
            return None
        pairs = (pair.partition("=") for pair in (image.get("Config") or {}).get("Env") or ())
        return {key: value for key, _, value in pairs}

    def has_image(self, name: str) -> bool:
        """Whether the engine has an image of this name."""
        return self._image(name) is not None

    def has_triggers(self, name: str) -> bool | None:
        """Whether an image has instructions of ONBUILD; None if the engine does not have the image."""
        image = self._image(name)
        return None if image is None else bool((image.get("Config") or {}).get("OnBuild"))

    def _image(self, name: str) -> Mapping[str, Any] | None:
        try:
            attributes: Mapping[str, Any] = self._asked(lambda: self._client.images.get(name)).attrs
        except EngineTrouble as error:
            # 400: it can be no image's name. A variable for the cause would keep the answer's connection open.
            if isinstance(error.__cause__, APIError) and error.__cause__.status_code in (400, 404):
                return None
            raise
        return attributes

    def image_names(self) -> list[str]:
        """The names of all images that have one."""
        listed = self._asked(self._client.api.images)
        return sorted(name for image in listed for name in image.get("RepoTags") or () if name != "<none>:<none>")

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
        try:
            return ask()
        except (DockerException, RequestException, OSError) as error:
            raise trouble(error, self.facts.address) from error


def reached_by_command_alone(environ: Mapping[str, str]) -> bool:
    """Whether `docker` reaches the engine and this program does not: by ssh, for which the library wants another one.

    Builds need no more than the command. Raises EngineTrouble.
    """
    return _by_command_alone(_context(environ)[1])


def _by_command_alone(address: str) -> bool:
    return address.startswith("ssh://") and find_spec("paramiko") is None


def gateway(configurations: Sequence[Mapping[str, str]]) -> str | None:
    """The host's address in a network, from the network's `IPAM.Config`: IPv4 before IPv6."""
    found = []
    for one in configurations:
        with suppress(ValueError):
            subnet = ipaddress.ip_network(one.get("Subnet", ""), strict=False)
            given = one.get("Gateway", "").partition("/")[0]
            found.append(ipaddress.ip_address(given) if given else subnet.network_address + 1)
    return next((str(one) for one in sorted(found, key=lambda address: address.version)), None)


def _context(environ: Mapping[str, str]) -> tuple[str, str]:
    """The name of the context in force, and the engine's address. Raises EngineTrouble."""
    if environ.get("DOCKER_HOST"):
        return "DOCKER_HOST", environ["DOCKER_HOST"]
    try:
        context = ContextAPI.get_context(environ.get("DOCKER_CONTEXT"))
    except Exception as error:
        # The library raises a bare Exception for a context's file that cannot be read.
        raise trouble(error, "") from error
    if context is None:  # the library would use the default socket; `docker` refuses
        raise no_context(environ.get("DOCKER_CONTEXT") or "that docker's configuration names")
    return context.name, context.Host or ""


def _knock(address: str) -> None:
    """Connect to a Unix socket once. Raises OSError: the library leaves its socket open where nobody answers."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(_TIMEOUT)
            knocking.connect("/" + address.removeprefix("unix://").lstrip("/"))
