"""The cache set up on this machine: its folder, the cache itself, the way of builds to it, and the files of clients.

Called by the verb `setup`. Everything that is changed is recorded by `changes` before, so that `removal` can take it
back. Doing it twice changes nothing; doing it with other wishes changes what is different.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.builds import (
    client_files,
    compose,
    compose_variables,
    docker_command,
    env_file,
    findings,
    running_cache,
    service_units,
    token_file,
)
from proxy.builds.build_site import CachePlace, survey
from proxy.builds.changes import Changes
from proxy.builds.client_files import ClientFile, FileRefused
from proxy.builds.compose import Compose
from proxy.builds.diagnosis import any_image
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.findings import Health
from proxy.builds.probe import Ground
from proxy.builds.reach import RememberedAddresses
from proxy.builds.running_cache import RunningCache
from proxy.builds.service_units import ServiceUnit
from proxy.builds.setup_plan import SetupCaller, SetupFailed, SetupPlan, Ways, look, serve_arguments, settings_text

# The names of notes in the record. PROJECT: COMPOSE_PROJECT_NAME as it was when the containers were made, maybe empty.
COMPOSE, PROJECT, UNIT, ADDRESSES, TRACES = "compose", "project", "unit", "addresses", "traces"

_PATIENCE = 90.0  # seconds until a cache that was started answers
_TWO = 2  # addresses that compose.yaml publishes


def set_up(plan: SetupPlan, caller: SetupCaller, changes: Changes) -> list[str]:
    """Do it. Gives what is still wrong afterwards, a line each, empty if nothing is.

    Raises SetupFailed, EngineTrouble, UnitTrouble, OSError.
    """
    ways = look(plan, caller.environ)
    try:
        return _Setup(plan, caller, changes, ways).run()
    finally:
        if ways.engine is not None:
            ways.engine.close()


@dataclass(frozen=True, slots=True)
class _Setup:
    plan: SetupPlan
    caller: SetupCaller
    changes: Changes
    ways: Ways

    def run(self) -> list[str]:
        plan, ways = self.plan, self.ways
        starts = self._process() if plan.process else self._compose()
        self._leave_other()
        found = running_cache.find(ways.hosts, plan.place.port, ways.engine.containers() if ways.engine else ())
        found = found if found is not None and found.port == plan.place.port else None
        if found is not None and self._foreign(found):
            inside = f" in the container {found.container.name}" if found.container else ""
            self.caller.say(f"a cache that setup did not start runs at {found.url}{inside}: it is used as it is")
        else:
            if found is None:
                self._check_ports()
            if plan.volume:
                self.caller.say(
                    f"the admin token of the cache's page belongs into the volume {plan.volume}: docs/page.md"
                )
            else:
                self._folder()
                token_file.make(self.plan.data, self.changes, self.caller.say)
            self._settings(in_folder=not plan.volume)
            self._note_traces()
            starts()
        problems = self._proof()
        return [*problems, *self._clients()]

    # Starting

    def _compose(self) -> Callable[[], None]:
        """What starts the containers. What would make it fail is looked at before anything is changed."""
        if self.ways.engine is None:
            raise EngineTrouble(self.ways.trouble)
        if len(self.ways.hosts) > _TWO:
            raise SetupFailed("--host: compose.yaml publishes two addresses at most. Name two, or use --process.")
        notes, environ = self.changes.notes, self.caller.environ
        name = notes.get(PROJECT) if COMPOSE in notes else environ.get(compose.PROJECT_NAME, "")
        found = Compose.find(environ, self.caller.project, name)

        def start() -> None:
            others = self._others()
            variables = compose_variables.variables(self.plan, self.ways, environ, others, self.caller.say)
            services = (compose.CACHE, *(compose.MONITORING if self.plan.monitoring else ()))
            self.changes.note(PROJECT, name)
            self.changes.note(COMPOSE, str(found.folder))
            lines = compose.variables_text({name: one for name, one in variables.items() if name not in self.plan.own})
            content = client_files.with_block(others, lines)
            if self.changes.write(found.variables_file, _bytes(content), COMPOSE, lines, 0o600):
                self.caller.say(
                    f"wrote {found.variables_file}, from which Compose reads the cache's addresses and folder"
                )
            if self.plan.own:
                names = ", ".join(self.plan.own)
                self.caller.say(f"{names}: as your own lines of {found.variables_file} have them")
            if self.plan.not_read:
                self.caller.say(self.plan.not_read)
            found.up(services, variables)
            cache = self._wait(lambda: found.last_lines(compose.CACHE), found.shown(["logs", compose.CACHE]))
            self.caller.say(f"the cache runs in a container: {cache.url}, version {cache.version}")
            if self.plan.monitoring:
                place = found.published(*compose.GRAFANA)
                self.caller.say(f"Prometheus and Grafana run beside it{f': http://{place}' if place else ''}")

        return start

    def _others(self) -> str:
        """A person's own lines of the file that Compose reads."""
        return client_files.without_block(_text(self.changes.original(self.caller.project / compose.VARIABLES)))

    def _process(self) -> Callable[[], None]:
        """What has the system start it."""
        unit = self._unit()

        def start() -> None:
            for folder in unit.folders:
                self.changes.make_folder(folder)
            self.changes.note(UNIT, str(unit.path))
            if self.changes.write(unit.path, unit.text.encode(), UNIT, mode=0o600):
                self.caller.say(f"wrote {unit.path}:")
                for line in unit.shown.splitlines():
                    self.caller.say(f"  {line}".rstrip())
            unit.begin()
            cache = self._wait(lambda: "", unit.log)
            self.caller.say(f"the cache runs by {unit.system}: {cache.url}, version {cache.version}")
            self.caller.say(f"what it says: {unit.log}")

        return start

    def _unit(self) -> ServiceUnit:
        plan, caller = self.plan, self.caller
        arguments = serve_arguments(plan, self.ways)
        return service_units.unit(caller.environ, arguments, plan.data, caller.system, variables=plan.variables)

    def _wait(self, last_lines: Callable[[], str], log: str) -> RunningCache:
        cache = running_cache.wait_until_ready(self.ways.hosts, self.plan.place.port, _PATIENCE)
        if cache is None:
            raise SetupFailed(
                f"the cache was started, and is not ready after {_PATIENCE:.0f} s. Its log says why: {log}\n"
                f"{last_lines()}".rstrip()
            )
        return cache

    def _leave_other(self) -> None:
        """Stop the cache that setup started in the other way."""
        if self.plan.process and COMPOSE in self.changes.notes:
            folder = compose.setups_folder(self.changes.notes[COMPOSE], self.caller.project)
            variables = env_file.started_with(folder, self.changes.lines(COMPOSE), self.caller.environ)
            Compose.find(self.caller.environ, folder, self.changes.notes.get(PROJECT)).down(variables)
            self.changes.note(COMPOSE, None)
            self.changes.note(PROJECT, None)
            self.caller.say("stopped the cache in its container")
        if not self.plan.process and UNIT in self.changes.notes:
            unit = self._unit()
            unit.end()
            for one in self.changes.files:
                if one.kind == UNIT:
                    self.changes.take_back(one)
            unit.ended()
            self.changes.note(UNIT, None)
            self.caller.say(f"stopped the cache that {unit.system} ran")

    def _foreign(self, found: RunningCache) -> bool:
        if self.plan.process:
            return UNIT not in self.changes.notes
        return found.container is None or COMPOSE not in self.changes.notes

    def _check_ports(self) -> None:
        for host in dict.fromkeys(self.ways.hosts):
            if number := refused(host, self.plan.place.port):
                place = f"port {self.plan.place.port} of {host}"
                raise SetupFailed(
                    f"{place} is in use by another program. Stop it, or choose another port with --port."
                    if number == errno.EADDRINUSE
                    else f"{host} is not an address of this machine. Choose another one with --host."
                )

    def _folder(self) -> None:
        data, root = self.plan.data, os.geteuid() == 0
        if data.is_dir() and root and not self.plan.process:
            owner: int | None = data.stat().st_uid
        else:
            owner = None
        bound = self.plan.process and self._unit().system == "systemd"
        finding = findings.folder(data, owner=owner, bound=bound)
        if finding.health is Health.WRONG:
            raise SetupFailed(f"{finding.text}. {finding.remedy}")
        if not self.changes.make_folder(data):
            return
        if root and not self.plan.process:  # the cache in the container is not root
            os.chown(data, compose_variables.USER, compose_variables.USER)
        self.caller.say(f"made {data}, the folder of stored files")

    def _settings(self, *, in_folder: bool) -> None:
        """Have the other verbs know the folder and the port: by the user's settings file, if there is none at all."""
        plan = self.plan
        text = settings_text(plan, in_folder=in_folder)
        ours = {Path(one.path) for one in self.changes.files if one.kind == "settings"}
        if plan.own_file is None or (plan.settings_file is not None and plan.settings_file.resolve() not in ours):
            return
        if self.changes.write(plan.own_file, text.encode(), "settings"):
            known = "the folder and the port" if in_folder else "the port"
            self.caller.say(f"wrote {plan.own_file}, by which all verbs know {known}")

    # The way of builds, and clients

    def _note_traces(self) -> None:
        """Record what Docker's client has not left yet, before its first build."""
        if TRACES not in self.changes.notes:
            self.changes.note(TRACES, "\n".join(map(str, docker_command.absent_traces(self.caller.environ))))

    def _proof(self) -> list[str]:
        self._note_traces()
        memory = RememberedAddresses.of_user(self.caller.environ).path
        if ADDRESSES not in self.changes.notes:
            self.changes.note(ADDRESSES, memory.read_text(encoding="utf-8") if memory.exists() else "")
        place = CachePlace(self.ways.hosts, self.plan.place.port, self.plan.place.mount, self.plan.place.index)
        try:
            with survey(self.caller.environ, place) as site:
                if site.cache is None:
                    return [f"no cache answers at {place} any more"]
                inside = site.cache.container.image if site.cache.container else ""
                # An image that has lost its name to a newer one is known by its digest: nothing can be built from that.
                named = inside and not inside.startswith("sha256:")
                ground = Ground(inside) if named else any_image(site.engine, None)
                if ground is None:
                    self.caller.say("the engine has no image to try it on: the first build proves the way to the cache")
                    return []
                reach = site.prove(site.reacher(site.cache), ground)
                if reach.address is None:
                    return [reach.problem]
                self.caller.say(
                    f"builds of the builder {site.builder.name} reach it at {reach.address}: proved by a build"
                )
        except EngineTrouble as trouble:
            if self.plan.process:
                self.caller.say(f"there is no engine to build with yet: {trouble}")
                return []
            return [str(trouble)]
        return []

    def _clients(self) -> list[str]:
        problems = []
        for one in client_files.client_files(
            self.caller.environ, self.ways.address(self.plan.place), self.caller.system
        ):
            if one.client in self.plan.write:
                try:
                    problems += self._client(one)
                except OSError as error:
                    problems.append(
                        f"{one.client}: {one.path}: {error.strerror}. Put this there yourself:\n{one.lines.rstrip()}"
                    )
        return problems

    def _client(self, one: ClientFile) -> list[str]:
        if one.client == "apt" and not one.path.parent.is_dir():
            self.caller.say("apt: this machine has none")
            return []
        try:
            content = self._edited(one)
        except FileRefused as refused:
            wanted = f"To use the cache, put this there:\n{one.lines.rstrip()}"
            return [f"{one.client}: {one.path} is left alone: {refused}. {wanted}"]
        if self.changes.write(one.path, _bytes(content), one.client, one.lines):
            self.caller.say(f"{one.client}: wrote {one.path}")
        else:
            self.caller.say(f"{one.client}: {one.path} has it already")
        return []

    def _edited(self, one: ClientFile) -> str:
        """The file's new text. What an earlier setup wrote goes, also from a file that others have changed since.

        Raises FileRefused, OSError.
        """
        before, earlier = _text(self.changes.original(one.path)), self.changes.recorded(one.path)
        try:
            return one.edit(before)
        except FileRefused:
            without = client_files.without_ours(one.client, before, earlier.lines) if earlier else None
            if earlier is None or without is None:
                raise
            content = one.edit(without)
            self.changes.leave(earlier, _bytes(without))
            return content


def refused(host: str, port: int) -> int:
    """The number of the error with which the system lets nobody listen there; 0 if somebody can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            return error.errno if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL) else 0
    return 0


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
