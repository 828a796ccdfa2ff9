"""What is wanted of `setup`, and where on this machine the cache can listen for it. It changes nothing.

Called by `setup`, and by the verb for what it prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy import address_text
from proxy.builds import compose, running_cache
from proxy.builds.build_site import CachePlace
from proxy.builds.candidates import DESKTOP_NAME
from proxy.builds.client_files import CacheAddress
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble
from proxy.config.settings import Settings
from proxy.errors import PullthroughError

LOOPBACK = "127.0.0.1"
_VARIABLE = "env:"
_OURS = "# pullthrough setup wrote this; `pullthrough setup --remove` takes it back."


class SetupFailed(PullthroughError):
    """The cache is not set up. The text says what to do; what was done so far is recorded."""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """What is wanted. `hosts`: where the cache listens, None for `listen` and this machine's builds alone.

    `own`: what a person's own lines of `.env` say, which setup does not write; `volume`: the one that they name for
    the cache's data; `not_read`: what to say of settings that a container does not read.
    `settings_file`: the one that is in force, None if there is none; `own_file`: where the user's would be;
    `variables`: names of those in which the settings have credentials.
    """

    place: CachePlace
    data: Path
    hosts: tuple[str, ...] | None = None
    process: bool = False
    monitoring: bool = False
    write: tuple[str, ...] = ()  # the clients whose files are written
    settings_file: Path | None = None
    own_file: Path | None = None
    variables: tuple[str, ...] = ()
    listen: str = LOOPBACK
    own: Mapping[str, str] = field(default_factory=dict)
    volume: str | None = None
    not_read: str = ""


@dataclass(frozen=True, slots=True)
class SetupCaller:
    """Who sets it up. `say` gets a line for each thing that was done; `project`: the folder of compose.yaml."""

    environ: Mapping[str, str]
    say: Callable[[str], None]
    project: Path = compose.PROJECT
    system: Path = Path("/")


@dataclass(frozen=True, slots=True)
class Ways:
    """Where the cache listens, and how it is reached. `engine` is None where none answers."""

    engine: Engine | None
    trouble: str
    hosts: tuple[str, ...]
    gateway: str | None

    def address(self, place: CachePlace) -> CacheAddress:
        """The addresses for the files of clients."""
        host = running_cache.where_asked(self.hosts[0])
        desktop = self.engine is not None and self.engine.facts.desktop
        inside = DESKTOP_NAME if desktop else self.gateway or host
        port = place.port
        here, there = (f"http://{address_text.bracketed(one)}:{port}" for one in (host, inside))
        return CacheAddress(here, there, place.mount, place.index)


def look(plan: SetupPlan, environ: Mapping[str, str]) -> Ways:
    """Look at the engine, and choose where to listen. The caller closes the engine. Raises SetupFailed."""
    if not plan.place.port:
        raise SetupFailed("--port 0: builds have to know the port. Choose one, such as 3142.")
    try:
        engine, trouble = Engine.connect(environ), ""
    except EngineTrouble as error:
        return Ways(None, str(error), plan.hosts or (plan.listen,), None)
    try:
        local = engine.facts.address.startswith(("unix:", "npipe:", "http+docker:"))
        if not plan.process and not local:
            raise SetupFailed(
                f"the Docker engine is on another machine ({engine.facts.address}): run pullthrough setup there."
            )
        bridged = local and not engine.facts.desktop and not engine.facts.rootless
        gateway = engine.bridge_gateway() if bridged else None
    except PullthroughError:
        engine.close()
        raise
    # Who listens everywhere listens at the bridge, too, and nobody can do so twice.
    everywhere = running_cache.where_asked(plan.listen) != plan.listen
    hosts = plan.hosts or (plan.listen, *([gateway] if gateway and not everywhere else []))
    return Ways(engine, trouble, hosts, gateway)


def serve_arguments(plan: SetupPlan, ways: Ways) -> list[str]:
    """The arguments of `pullthrough serve` for this plan."""
    arguments = [f"--host={','.join(ways.hosts)}", f"--port={plan.place.port}", f"--data={plan.data}"]
    file = plan.settings_file or plan.own_file
    return [*([f"--config={file}"] if file else []), *arguments]


def settings_text(plan: SetupPlan, *, in_folder: bool = True) -> str:
    """The settings by which all verbs know this cache. `in_folder`: whether it stores in the plan's folder.

    Without one they name none: then the verbs ask the cache in its container, whose volume no path leads to.
    """
    lines = [_OURS]
    lines += [f"data = {json.dumps(str(plan.data), ensure_ascii=False)}"] if in_folder else []
    lines.append(f"port = {plan.place.port}")
    if hosts := plan.hosts or ((plan.listen,) if plan.listen != LOOPBACK else None):
        lines.append(f"host = {json.dumps(list(hosts))}")
    return "\n".join([*lines, ""])


def wrote(file: Path) -> bool:
    """Whether a settings file is one that setup wrote."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").startswith(_OURS)
    except OSError:
        return False


def named_variables(settings: Settings) -> tuple[str, ...]:
    """The names of the variables in which the settings have credentials (`env:NAME`)."""
    sources = [archive.credentials for archive in settings.archives]
    for upstream in settings.upstreams:
        sources += [upstream.credentials, *upstream.host_credentials.values()]
    return tuple(sorted({source.removeprefix(_VARIABLE) for source in sources if source.startswith(_VARIABLE)}))
