"""What there is for a build on this machine: the command, the builder, the engine, the cache, and the way between them.

Called by `build`, and by `setup` for its proof. `doctor` looks at the same things one by one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.builds import builders, running_cache
from proxy.builds.build_options import BuildOptions
from proxy.builds.builders import Builder
from proxy.builds.candidates import Candidate
from proxy.builds.docker_command import DockerCommand
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.engine import Engine, reached_by_command_alone
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.probe import Ground
from proxy.builds.reach import Reach, Reacher, RememberedAddresses, surroundings
from proxy.builds.running_cache import RunningCache


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a cache is looked for, and which of its indexes pip and uv are to use.

    `named`: the one address that builds are to use, as a person named it; else it is found.
    """

    hosts: Sequence[str]
    port: int
    mount: str = "pypi"
    index: str = "simple/"
    named: Candidate | None = None

    def __str__(self) -> str:
        return str(self.named or f"port {self.port} of {' or '.join(self.hosts)}")

    def stranger(self) -> str:
        """Where no cache answers: which other program does, in brackets; else empty. apt-cacher-ng has that port."""
        found = (running_cache.stranger(host, self.port) for host in self.hosts if self.port and not self.named)
        return next((f" (another program does: {name})" for name in found if name), "")

    def find(self, engine: Engine | None) -> RunningCache | None:
        """The running cache. A named one need not answer to this machine: then a build has to prove it."""
        if self.named is not None:
            found = running_cache.find([self.named.host], self.named.port)
            return found or RunningCache(self.named.host, self.named.port, started="", version="")
        return running_cache.find(self.hosts, self.port, engine.containers() if engine else ())


@dataclass(frozen=True, slots=True)
class BuildSite:
    """`with survey(…) as site:`. `engine` is None where the builder needs none and none answers."""

    command: DockerCommand
    docker_config: Mapping[str, Any]
    builder: Builder
    engine: Engine | None
    place: CachePlace
    cache: RunningCache | None
    memory: RememberedAddresses

    def reacher(self, cache: RunningCache) -> Reacher:
        """What finds the address by which builds reach this cache. Raises EngineTrouble."""
        named = (self.command.environ.get(name) for name in ("DOCKER_HOST", "DOCKER_CONTEXT"))
        address = self.engine.facts.address if self.engine else next(filter(None, named), "")
        around = surroundings(self.engine, cache)
        return Reacher(self.command, self.builder, cache, around, self.memory, address)

    def ground(self, file: Dockerfile | None, builder: str | None = None, platform: str | None = None) -> Ground | None:
        """What the way to the cache is proved on: an image of the file's, one that the engine has before others.

        It is one in which the file's own RUNs run: others, such as distroless ones, may have no shell. One without
        instructions of ONBUILD comes first.
        """
        bases = (file.run_bases or file.bases) if file else []
        triggers = {base: self.engine.has_triggers(base) if self.engine else None for base in bases}
        base = min(bases, key=lambda one: (False, True, None).index(triggers[one]), default=None)
        return Ground(base, builder, platform, triggers[base]) if base else None

    def own_layers(self, options: BuildOptions) -> list[str]:
        """The options by which the image of the last build is the cache of this one, also after a prune of BuildKit's.

        The image gets what its layers were made of into its configuration (inline cache): hashes, and nothing else.
        """
        able = self.engine is not None and self.engine.facts.finds_own_layers and self.builder.engines_own
        if not able or not options.tags or options.own_cache:
            return []
        before = next((tag for tag in options.tags if self.engine and self.engine.has_image(tag)), None)
        return ["--build-arg", "BUILDKIT_INLINE_CACHE=1", *(["--cache-from", before] if before else [])]

    def prove(self, reacher: Reacher, ground: Ground | None) -> Reach:
        """Prove the way by a build; where `docker` fails, that is the problem."""
        try:
            return reacher.prove(ground, self.place.named)
        except EngineTrouble as trouble:
            return Reach(None, str(trouble))


@contextlib.contextmanager
def survey(environ: Mapping[str, str], place: CachePlace, builder: str | None = None) -> Iterator[BuildSite]:
    """Look at everything. `builder`: the value of `--builder`.

    Raises EngineTrouble where no build can be run at all: no `docker`, no BuildKit, no engine for this builder.
    """
    command = DockerCommand.find(environ)
    facts = command.facts()
    if facts.no_buildkit:
        raise EngineTrouble(facts.no_buildkit)
    docker_config = builders.read_docker_config(environ)
    with contextlib.ExitStack() as stack:
        engine, trouble = None, None
        try:
            engine = stack.enter_context(Engine.connect(environ))
        except EngineTrouble as error:
            trouble = error
        chosen = builders.chosen(command, facts, builder, docker_config)
        if trouble is not None and chosen.engines_own and not reached_by_command_alone(environ):
            raise trouble
        memory = RememberedAddresses.of_user(environ)
        yield BuildSite(command, docker_config, chosen, engine, place, place.find(engine), memory)
