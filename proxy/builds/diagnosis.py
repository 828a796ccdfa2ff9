"""The diagnosis of `doctor`: everything that a build through the cache needs, looked at in order.

Each finding is given as soon as it is there. What cannot be looked at because of an earlier finding is skipped, and
nothing is changed on this machine but the remembered address of the builder.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
from packaging.utils import canonicalize_name

from proxy.builds import builders, findings, running_cache
from proxy.builds.build_options import own_platform
from proxy.builds.build_site import BuildSite, CachePlace
from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts, DockerCommand
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine import Engine, reached_by_command_alone
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.findings import Finding, doubtful, ok, skipped, wrong
from proxy.builds.probe import Ground
from proxy.builds.reach import RememberedAddresses
from proxy.builds.running_cache import Answer, RunningCache

T = TypeVar("T")
_Step = Generator[Finding, None, T]  # findings, and in the end what later steps need

_LIKELY = ("python", "debian", "ubuntu", "alpine", "busybox")  # images that can ask for a page
_NO_SHELL = "distroless"
_PAGE = "application/vnd.pypi.simple.v1+json"
_LOG = "The cache's log says why: upstream, a proxy on the way, or its settings."
_WAIT = 60.0  # seconds: upstream may be slow
_LARGEST = 20 << 20  # bytes of a page, or of a file that is tried
_DATA = "/data"  # of the image: where the cache has its folder


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at. `dockerfile` is None where there is none; `project` is fetched from the index."""

    place: CachePlace
    data: Path
    environ: Mapping[str, str]
    context: Path
    dockerfile: Path | None = None
    builder: str | None = None
    project: str = "six"


def diagnose(patient: Patient) -> Iterator[Finding]:
    """Look at everything, from the command `docker` to a file through the cache."""
    file: Dockerfile | None = None
    if patient.dockerfile is not None:
        text = patient.dockerfile.read_text(encoding="utf-8", errors="replace")
        file = Dockerfile.read(text, platform=own_platform())
    with contextlib.ExitStack() as stack:
        docker = yield from _command(patient)
        engine = yield from _engine(patient, docker[1] if docker else None, stack)
        usable = yield from _builder(patient, docker, engine)
        cache = yield from _cache(patient, engine)
        yield from _folder(patient, cache, engine)
        if usable and cache:
            memory = RememberedAddresses.of_user(patient.environ)
            site = BuildSite(usable[0], {}, usable[1], engine, patient.place, cache, memory)
            yield from _reach(patient, site, cache, file)
        else:
            yield skipped("way", "whether builds reach the cache: something above is missing")
        if cache:
            yield from fetched(cache, patient.place.mount, patient.place.index, patient.project)
        if file is not None and patient.dockerfile is not None:
            yield from findings.dockerfile(patient.dockerfile, file)
            if engine is not None:
                yield from findings.images(file, engine.image_environment)
            yield from findings.uv_settings(patient.context)


def _command(patient: Patient) -> _Step[tuple[DockerCommand, CommandFacts] | None]:
    try:
        command = DockerCommand.find(patient.environ)
        facts = command.facts()
    except EngineTrouble as trouble:
        yield wrong("docker", str(trouble))
        return None
    yield findings.command(facts, command.path)
    return command, facts


def _engine(patient: Patient, facts: CommandFacts | None, stack: contextlib.ExitStack) -> _Step[Engine | None]:
    try:
        engine = stack.enter_context(Engine.connect(patient.environ))
    except EngineTrouble as trouble:
        if _beyond(patient):
            yield skipped(
                "engine", "it is on another machine, by ssh: the command docker builds there, and is all that looks"
            )
        else:
            yield wrong("engine", str(trouble))
        return None
    now = datetime.now(UTC)
    yield findings.engine(engine.facts, facts)
    clock = findings.clock("engine's clock", engine.facts.time, now, desktop=engine.facts.desktop)
    if clock is not None:
        yield clock
    return engine


def _builder(
    patient: Patient, docker: tuple[DockerCommand, CommandFacts] | None, engine: Engine | None
) -> _Step[tuple[DockerCommand, Builder] | None]:
    if docker is None:
        yield skipped("buildkit", "there is no docker to ask")
        return None
    command, facts = docker
    yield findings.buildkit(engine.facts if engine else None, facts, patient.environ)
    docker_config = builders.read_docker_config(patient.environ)
    proxies = findings.proxies(docker_config)
    if proxies is not None:
        yield proxies
    try:
        chosen = builders.chosen(command, facts, patient.builder, docker_config)
    except EngineTrouble as trouble:
        yield wrong("builder", str(trouble))
        return None
    yield findings.builder(chosen)
    usable = facts.no_buildkit is None and (engine is not None or not chosen.engines_own or _beyond(patient))
    return (command, chosen) if usable else None


def _beyond(patient: Patient) -> bool:
    """Whether the engine is one that the command alone reaches."""
    try:
        return reached_by_command_alone(patient.environ)
    except EngineTrouble:
        return False


def _cache(patient: Patient, engine: Engine | None) -> _Step[RunningCache | None]:
    try:
        cache = patient.place.find(engine)
    except EngineTrouble as trouble:
        yield wrong("cache", str(trouble))
        return None
    if cache is None:
        stranger = patient.place.stranger()
        remedy = "Stop it, or give the cache another port: PULLTHROUGH_PORT" if stranger else "pullthrough setup"
        yield wrong("cache", f"none answers at {patient.place}{stranger}", remedy)
        return None
    inside = f", in the container {cache.container.name}" if cache.container else ""
    yield ok("cache", f"version {cache.version} at {cache.url}{inside}" if cache.version else f"{cache.url}, as named")
    clock = findings.clock("cache's clock", cache.clock, datetime.now(UTC))
    if clock is not None:
        yield clock
    return cache


def _folder(patient: Patient, cache: RunningCache | None, engine: Engine | None) -> Iterator[Finding]:
    if cache is None or cache.container is None or engine is None:
        yield findings.folder(patient.data)
        return
    # Certificates, settings and whatever else is mounted are no folders of stored files.
    for mount in (one for one in cache.container.mounts if one.target == _DATA):
        if mount.volume:
            yield ok("folder", f"the cache's data is in Docker's volume {mount.volume}")
        elif os.path.exists(mount.host_path):  # noqa: PTH110 - it may be where this user may not look
            # In a virtual machine the folder is everybody's: its file system gives each user what this one may do.
            owner = None if engine.facts.desktop else engine.user_of(cache.container)
            yield findings.folder(Path(mount.host_path), owner=owner)


def _reach(patient: Patient, site: BuildSite, cache: RunningCache, file: Dockerfile | None) -> Iterator[Finding]:
    ground = site.ground(file, patient.builder) or any_image(site.engine, patient.builder)
    if ground is None:
        yield skipped("way", "there is no image to try it on: name a Dockerfile with -f, or docker pull debian:12")
        return
    try:
        found = site.prove(site.reacher(cache), ground)
    except EngineTrouble as trouble:
        yield wrong("way", str(trouble))
        return
    if found.address is None:
        yield wrong("way", found.problem)
    else:
        yield ok("way", f"builds of {site.builder.name} reach the cache at {found.address} (tried on {ground.base})")


def any_image(engine: Engine | None, builder: str | None) -> Ground | None:
    """An image of the engine that can most likely ask for a page: Docker's own images before those of others."""
    names = [name for name in engine.image_names() if _NO_SHELL not in name] if engine else []
    own, others = ([name for name in names if ("/" in name) is elsewhere] for elsewhere in (False, True))
    likely = (
        name for some in (own, others) for word in _LIKELY for name in some if name.rpartition("/")[2].startswith(word)
    )
    name = next(likely, None)
    return Ground(name, builder) if name else None


def fetched(cache: RunningCache, mount: str, index: str, project: str) -> list[Finding]:
    """A page of the index and the smallest file on it. `project`: as a person writes it."""
    path = f"/{mount}/{index}{canonicalize_name(project)}/"
    try:
        answer = _get(cache, path)
        listed = _files(answer.body) if answer.status == http.client.OK else []
        page = _page(path, answer, len(listed))
        if not listed:
            return [page]
        one = min(listed, key=lambda file: file.get("size") or _LARGEST)
        answer = _get(cache, urlsplit(urljoin(f"{cache.url}{path}", one["url"])).path)
    except (OSError, http.client.HTTPException) as error:
        return [wrong("page", f"{cache.url}{path} gives no answer: {error}", "pullthrough setup")]
    return [page, _file(one, answer)]


def _page(path: str, answer: Answer, files: int) -> Finding:
    other = "pullthrough doctor --project NAME"
    if answer.status == http.client.NOT_FOUND:
        return doubtful("page", f"{path}: this index has no such project", other)
    if answer.status != http.client.OK:
        return wrong("page", f"{path}: status {answer.status}: {_line(answer.body)}", _LOG)
    if not files:
        return doubtful("page", f"{path}: no file on it has a sha256", other)
    return ok("page", f"{path}: {files} files")


def _file(promised: dict[str, Any], answer: Answer) -> Finding:
    name, read = promised["filename"], len(answer.body)
    if answer.status != http.client.OK:
        return wrong("file", f"{name}: status {answer.status}: {_line(answer.body)}", _LOG)
    if read == _LARGEST:
        return ok("file", f"{name}: its first {read} bytes; of a file so long the digest is not tried")
    if not answer.whole:
        return wrong("file", f"{name}: it breaks off after {read} bytes", _LOG)
    if hashlib.sha256(answer.body).hexdigest() != promised["hashes"]["sha256"]:
        return wrong("file", f"{name}: its digest is not the page's", "pullthrough verify")
    return ok("file", f"{name}: {read} bytes, and their digest is the page's")


def _files(body: bytes) -> list[dict[str, Any]]:
    try:
        page = msgspec.json.decode(body)
        listed = page["files"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []
    return [one for one in listed if one.get("hashes", {}).get("sha256")]


def _get(cache: RunningCache, path: str) -> Answer:
    return running_cache.get(cache.host, cache.port, path, accept=_PAGE, wait=_WAIT, longest=_LARGEST)


def _line(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split())
