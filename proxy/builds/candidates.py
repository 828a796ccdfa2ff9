"""Addresses at which a build may reach the cache, the likeliest first. Pure: `probe` tries them.

A build's RUN is in a network of its own, where 127.0.0.1 is the RUN itself. What leads out of it depends on the driver
of its builder, and on where the engine runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.builds.builders import Builder
from proxy.builds.engine_answers import EngineContainer

DESKTOP_NAME = "host.docker.internal"  # leads from a virtual machine to what its host has on 127.0.0.1
GATEWAY_ALIAS = "host-gateway"  # the engine itself knows its host's address; for `--add-host` alone

_CACHE_PORT = 3142  # inside the cache's own container


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """Where the cache may be reached: an IP address, or a name that the build's own network resolves, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the machine: the engine's bridge, the machine's own addresses, the cache's container if any.

    `gateway` is None where the engine has no default bridge, or none that leads to this machine.
    """

    desktop: bool = False
    rootless: bool = False
    gateway: str | None = None
    own_addresses: tuple[str, ...] = ()
    container: EngineContainer | None = None


def candidates(builder: Builder, around: Surroundings, port: int) -> tuple[Candidate, ...]:
    """All addresses that are worth a try for this builder, without repetition. `port`: on this machine."""
    return tuple(dict.fromkeys(_candidates(builder, around, port)))


def _candidates(builder: Builder, around: Surroundings, port: int) -> Iterator[Candidate]:
    if builder.network == "host":  # such a builder's RUNs are in the network of its engine's machine
        yield Candidate("127.0.0.1", port)
    on_engine = builder.engines_own or builder.driver == "docker-container"
    if on_engine and around.desktop:
        # A container of this engine forwards nothing by its own address that the host's name would not.
        yield Candidate(DESKTOP_NAME, port)
        if builder.engines_own:
            yield Candidate(GATEWAY_ALIAS, port)
    if on_engine and around.container is not None:
        # A published port can lead through the bridge; without one, the container's own address in the same network.
        network = builder.network or "bridge"
        if address := around.container.networks.get(network):
            yield Candidate(address, _CACHE_PORT)
    if on_engine and not around.desktop and not around.rootless and around.gateway:
        yield Candidate(around.gateway, port)
    for address in around.own_addresses:
        yield Candidate(address, port)


def advice(builder: Builder, around: Surroundings, tried: Iterable[Candidate], heard_on: Iterable[str]) -> str:
    """What to do when a build of this builder reached none of the addresses `tried`.

    `heard_on`: the addresses on which the cache listens, as far as they are known.
    """
    places = ", ".join(map(str, tried)) or "none is known"
    start = f"builds of the builder {builder.name} (driver {builder.driver}) do not reach the cache ({places}). "
    if builder.engines_own and around.desktop:
        return start + "Publish its port on 127.0.0.1, as `pullthrough setup` does, and let no firewall stop it."
    if builder.engines_own and around.gateway and not around.rootless:
        if around.gateway in set(heard_on):
            return start + f"It listens there, so a firewall is in the way: let the bridge's network reach {places}."
        if around.container is not None:
            return start + f"Publish its port there, too: pullthrough setup, or PULLTHROUGH_BRIDGE={around.gateway}."
        return (
            start + f"Have it listen there: pullthrough setup, or pullthrough serve --host 127.0.0.1,{around.gateway}"
        )
    return start + (
        "Have it listen on an address of this machine that the builder reaches (--host), and name that address: "
        "pullthrough build --cache ADDRESS:PORT."
    )
