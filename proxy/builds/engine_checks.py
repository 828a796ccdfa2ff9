"""What `doctor` says of Docker: the command, the engine, BuildKit, the builder, the clocks. Pure, of what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts
from proxy.builds.engine import EngineFacts
from proxy.builds.findings import Finding, doubtful, ok, wrong
from proxy.builds.secret_files import NAME

_NEW_CLIENTS = "Install a docker of version 25 or later: an engine of version 29 speaks no API before 1.44."
_BUILDKIT_BY_ITSELF = 23  # the first version whose `docker build` is BuildKit without a variable
_LARGEST_SKEW = 30.0  # seconds: certificates and apt's Valid-Until allow for little more


def command(facts: CommandFacts, path: str) -> Finding:
    """The command `docker`."""
    plugin = f", buildx {facts.buildx}" if facts.buildx else ""
    return ok("docker", f"{path}, version {facts.version or 'unknown'}{plugin}")


def engine(facts: EngineFacts, client: CommandFacts | None) -> Finding:
    """The engine, and whether it and the command speak a common version of the API."""
    kind = f"{facts.system}{', rootless' if facts.rootless else ''}"
    text = f"version {facts.version} at {facts.address}, context {facts.context} ({kind})"
    if client and client.api and _number(client.api) < _number(facts.least_api):
        return wrong(
            "engine", f"{text} speaks API {facts.least_api} or later, and docker {client.api} at most", _NEW_CLIENTS
        )
    return ok("engine", text)


def buildkit(facts: EngineFacts | None, client: CommandFacts, environ: Mapping[str, str]) -> Finding:
    """Whether builds are BuildKit's: without it there are neither secrets nor cache mounts."""
    if client.no_buildkit:
        return wrong("buildkit", client.no_buildkit)
    if environ.get("DOCKER_BUILDKIT") == "0":
        return doubtful("buildkit", "DOCKER_BUILDKIT=0 turns it off in plain `docker build`", "unset DOCKER_BUILDKIT")
    old = client.major < _BUILDKIT_BY_ITSELF or (facts is not None and facts.major < _BUILDKIT_BY_ITSELF)
    if old and environ.get("DOCKER_BUILDKIT") != "1":
        return ok("buildkit", "on for `pullthrough build`; plain `docker build` needs DOCKER_BUILDKIT=1")
    return ok("buildkit", "on")


def builder(chosen: Builder) -> Finding:
    """The builder that builds, and its driver."""
    where = f" at {chosen.endpoint}" if chosen.endpoint and not chosen.engines_own else ""
    return ok("builder", f"{chosen.name}, driver {chosen.driver}{where}")


def proxies(docker_config: Mapping[str, Any]) -> Finding | None:
    """A proxy that Docker's own configuration gives to every RUN; None if there is none."""
    configured = (docker_config.get("proxies") or {}).get("default") or {}
    proxy = configured.get("httpProxy") or configured.get("allProxy")
    if not proxy:
        return None
    if NAME in str(configured.get("noProxy") or "").split(","):
        return ok("proxy", f"Docker gives builds the proxy {_without_password(proxy)}, and leaves {NAME} out")
    return doubtful(
        "proxy",
        f"Docker gives builds the proxy {_without_password(proxy)}; `pullthrough build` alone leaves the cache out",
        f'For plain `docker build`: add {NAME} to "noProxy" in ~/.docker/config.json.',
    )


def _without_password(proxy: str) -> str:
    scheme, slashes, rest = proxy.rpartition("//")
    return f"{scheme}{slashes}{rest.rpartition('@')[2]}"


def clock(subject: str, theirs: datetime | None, here: datetime, *, desktop: bool = False) -> Finding | None:
    """Whether another clock agrees with this machine's; None where it was not told."""
    if theirs is None:
        return None
    skew = (theirs - here).total_seconds()
    if abs(skew) <= _LARGEST_SKEW:
        return ok(subject, f"agrees with this machine's within {_LARGEST_SKEW:.0f} s")
    side = "ahead of" if skew > 0 else "behind"
    remedy = (
        "Restart Docker Desktop: its clock stops while the computer sleeps."
        if desktop
        else ("sudo timedatectl set-ntp true")
    )
    return wrong(subject, f"{abs(skew):.0f} s {side} this machine's: apt and TLS refuse what is not valid yet", remedy)


def _number(api: str) -> tuple[int, ...]:
    return tuple(int(part) for part in api.split(".") if part.isdigit())
