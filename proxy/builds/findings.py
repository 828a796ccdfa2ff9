"""What `doctor` finds: of Docker, of a project, of the data folder; one line for each thing that was looked at.

The clocks, the engine and the builder are judged by what was asked of them before: nothing here asks Docker.
"""

from __future__ import annotations

import enum
import os
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from proxy.builds import dockerfile_advice
from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine import EngineFacts
from proxy.builds.secret_files import NAME

_NEW_CLIENTS = "Install a docker of version 25 or later: an engine of version 29 speaks no API before 1.44."
_BUILDKIT_BY_ITSELF = 23  # the first version whose `docker build` is BuildKit without a variable
_LARGEST_SKEW = 30.0  # seconds: certificates and apt's Valid-Until allow for little more
_LITTLE_ROOM = 5 * 10**9  # bytes
_NO_ROOM = 10**9


class Health(enum.Enum):
    """How a thing is. WRONG alone makes the diagnosis fail."""

    OK = "ok"
    DOUBTFUL = "look"  # it works, and may not do what is meant
    WRONG = "wrong"
    SKIPPED = "skip"  # it could not be looked at, because of something that another line tells


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy`: the command that mends it, or what to do; empty of what is fine."""

    subject: str
    health: Health
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Health.OK, text)


def doubtful(subject: str, text: str, remedy: str) -> Finding:
    """It works, and may not do what is meant."""
    return Finding(subject, Health.DOUBTFUL, text, remedy)


def wrong(subject: str, text: str, remedy: str = "") -> Finding:
    """It does not work. A text that says by itself what to do needs no remedy."""
    return Finding(subject, Health.WRONG, text, remedy)


def skipped(subject: str, text: str) -> Finding:
    """It could not be looked at."""
    return Finding(subject, Health.SKIPPED, text)


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


def dockerfile(path: Path, file: Dockerfile) -> Iterator[Finding]:
    """What of its RUNs goes past the cache."""
    advices = dockerfile_advice.past_the_cache(file)
    for advice in advices:
        yield doubtful("dockerfile", f"{path.name}, line {advice.line}: {advice.text}", advice.remedy)
    if dockerfile_advice.wants_http_proxy(file):
        yield ok("dockerfile", f"{path.name}: apt has no secret; `pullthrough build` gives it http_proxy")
    elif not advices:
        yield ok("dockerfile", f"{path.name}: nothing of it goes past the cache")


def images(file: Dockerfile, environment: Callable[[str], Mapping[str, str] | None]) -> Iterator[Finding]:
    """What variables of its base images do to the secrets. `environment`: of an image; None: the engine has it not."""
    for base in file.bases:
        variables = environment(base)
        if variables is None:
            yield skipped("base image", f"{base} is not pulled yet: docker pull {base}")
            continue
        set_anew = _set_by(file, base)
        found = dockerfile_advice.of_image({key: one for key, one in variables.items() if key not in set_anew}, base)
        for advice in found:
            yield doubtful("base image", advice.text, advice.remedy)
        if not found:
            yield ok("base image", f"{base} sets nothing that overrides the secrets")


def _set_by(file: Dockerfile, base: str) -> set[str]:
    """The variables that an ENV sets in each stage of this base image that has a RUN: the image's own value is gone."""
    stages = [stage for stage in file.stages if stage.base == base and stage.of("RUN")]
    names = [{name for one in stage.of("ENV") for name in one.assigned} for stage in stages]
    return set.intersection(*names) if names else set()


def uv_settings(context: Path) -> Iterator[Finding]:
    """The default index of a project comes before that of the secret file."""
    for name, keys in (("pyproject.toml", ("tool", "uv")), ("uv.toml", ())):
        try:
            table = tomllib.loads((context / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        for key in keys:
            table = table.get(key) or {}
        indexes = table.get("index") or []
        own = [one for one in indexes if isinstance(one, dict) and one.get("default")]
        if own or table.get("index-url"):
            yield doubtful(
                "uv",
                f"{name} has a default index of its own, so uv goes past the cache",
                "Remove it there.",
            )


def folder(path: Path, *, owner: int | None = None, bound: bool = False) -> Finding:
    """The folder at `path`. `owner`: the user who writes it, where that is not this one, as in a container.

    `bound`: whether root, too, may write only what is its own, as in a unit that has no other rights.
    """
    if os.path.lexists(path) and not path.is_dir():
        return wrong("folder", f"{path} is not a folder", "Move it away, or choose another one: PULLTHROUGH_DATA")
    above = path
    while not os.path.exists(above):  # noqa: PTH110 - `Path.exists` fails below a folder that this user may not enter
        above = above.parent
    if not os.access(above, os.W_OK | os.X_OK) and owner is None:
        who = above.stat().st_uid
        made = "cannot be written" if above == path else f"cannot be made in {above}"
        mended = _chown(path) if above == path else _made(path)
        return wrong("folder", f"{path} {made} by user {os.geteuid()}: it is user {who}'s", mended)
    writer = os.geteuid() if owner is None else owner
    looked_at = (writer != 0 or bound) and os.path.isdir(path)  # noqa: PTH112 - likewise
    foreign = _foreign(path, writer) if looked_at else None
    if foreign is not None:
        text = f"{foreign} is user {foreign.lstat().st_uid}'s: the cache cannot write it"
        return wrong("folder", text, _chown(path, owner))
    free = shutil.disk_usage(above).free
    room = f"{free / 10**9:.1f} GB free"
    if free < _NO_ROOM:
        return wrong("folder", f"{path}: {room}", "pullthrough clean, or another disk: PULLTHROUGH_DATA")
    if free < _LITTLE_ROOM:
        return doubtful("folder", f"{path}: {room}", "pullthrough clean")
    return ok("folder", f"{path}: {room}" if above == path else f"{path} is made at the first start; {room}")


def _foreign(path: Path, owner: int) -> Path | None:
    """The folder, or the first thing directly in it, that belongs to another user."""
    try:
        inside = [path, *sorted(path.iterdir())]
    except OSError:
        return path
    return next((one for one in inside if one.lstat().st_uid != owner), None)


def _chown(path: Path, owner: int | None = None) -> str:
    """Gives a folder to a user. None: to this one, with its group."""
    who = f"{os.geteuid()}:{os.getegid()}" if owner is None else str(owner)
    return f"sudo chown -R {who} {shlex.quote(str(path))}"


def _made(path: Path) -> str:
    """Makes the folder alone: the one above it, which may be `/`, keeps its owner."""
    return f"sudo install -d -o {os.geteuid()} -g {os.getegid()} {shlex.quote(str(path))}"
