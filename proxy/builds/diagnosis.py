"""The diagnosis of `doctor`: everything that a build through the cache needs, looked at in order.

Each finding is given as soon as it is there. What cannot be looked at because of an earlier finding is skipped, and
nothing is changed on this machine but the remembered address of the builder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from proxy.builds import builders, end_to_end, engine_checks, file_checks, folder_check
from proxy.builds.build_site import BuildSite, CachePlace
from proxy.builds.builders import Builder
from proxy.builds.docker_command import CommandFacts, DockerCommand
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.findings import Finding, ok, skipped, wrong
from proxy.builds.probe import Ground
from proxy.builds.reach import RememberedAddresses
from proxy.builds.running_cache import RunningCache

T = TypeVar("T")
_Step = Generator[Finding, None, T]  # findings, and in the end what later steps need

_LIKELY = ("python", "debian", "ubuntu", "alpine", "busybox")  # images that can ask for a page


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
        file = Dockerfile.read(patient.dockerfile.read_text(encoding="utf-8", errors="replace"))
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
            yield from end_to_end.fetched(cache, patient.place.mount, patient.place.index, patient.project)
        if file is not None and patient.dockerfile is not None:
            yield from file_checks.dockerfile(patient.dockerfile, file)
            if engine is not None:
                yield from file_checks.images(file, engine.image_environment)
            yield from file_checks.uv_settings(patient.context)


def _command(patient: Patient) -> _Step[tuple[DockerCommand, CommandFacts] | None]:
    try:
        command = DockerCommand.find(patient.environ)
        facts = command.facts()
    except EngineTrouble as trouble:
        yield wrong("docker", str(trouble))
        return None
    yield engine_checks.command(facts, command.path)
    return command, facts


def _engine(patient: Patient, facts: CommandFacts | None, stack: contextlib.ExitStack) -> _Step[Engine | None]:
    try:
        engine = stack.enter_context(Engine.connect(patient.environ))
    except EngineTrouble as trouble:
        yield wrong("engine", str(trouble))
        return None
    now = datetime.now(UTC)
    yield engine_checks.engine(engine.facts, facts)
    clock = engine_checks.clock("engine's clock", engine.facts.time, now, desktop=engine.facts.desktop)
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
    yield engine_checks.buildkit(engine.facts if engine else None, facts, patient.environ)
    docker_config = builders.read_docker_config(patient.environ)
    proxies = engine_checks.proxies(docker_config)
    if proxies is not None:
        yield proxies
    try:
        chosen = builders.chosen(command, facts, patient.builder, docker_config)
    except EngineTrouble as trouble:
        yield wrong("builder", str(trouble))
        return None
    yield engine_checks.builder(chosen)
    usable = facts.no_buildkit is None and (engine is not None or not chosen.engines_own)
    return (command, chosen) if usable else None


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
    clock = engine_checks.clock("cache's clock", cache.clock, datetime.now(UTC))
    if clock is not None:
        yield clock
    return cache


def _folder(patient: Patient, cache: RunningCache | None, engine: Engine | None) -> Iterator[Finding]:
    if cache is None or cache.container is None or engine is None:
        yield folder_check.folder(patient.data)
        return
    for mount in cache.container.mounts:
        if mount.volume:
            yield ok("folder", f"the cache's data is in Docker's volume {mount.volume}")
        elif Path(mount.host_path).exists():
            # In a virtual machine the folder is everybody's: its file system gives each user what this one may do.
            owner = None if engine.facts.desktop else engine.user_of(cache.container)
            yield folder_check.folder(Path(mount.host_path), owner=owner)


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
    """An image of the engine that can most likely ask for a page."""
    names = engine.image_names() if engine else []
    likely = (name for word in _LIKELY for name in names if name.rpartition("/")[2].startswith(word))
    name = next(likely, None)
    return Ground(name, builder) if name else None
