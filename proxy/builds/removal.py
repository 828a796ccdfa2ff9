"""Taking back what `setup` did: the cache is stopped, and what was changed on this machine is as it was, byte for byte.

A file that somebody has changed since loses our lines only. What cannot be taken back is told, and stays recorded, so
that it can be tried again. Called by the verb `setup --remove`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.builds import client_files, compose, docker_command, env_file, service_units
from proxy.builds.changes import Changes, FileChange
from proxy.builds.client_files import FileRefused
from proxy.builds.compose import PROJECT as CHECKOUT
from proxy.builds.compose import Compose, setups_folder
from proxy.builds.engine import Engine
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.reach import RememberedAddresses
from proxy.builds.setup import ADDRESSES, COMPOSE, PROJECT, TRACES, UNIT
from proxy.errors import PullthroughError


@dataclass(frozen=True, slots=True)
class Remover:
    """Who takes it back. `purge`: whether stored files go as well, where setup made their folder.

    `project`: a folder with compose.yaml, for where setup's own is gone.
    """

    environ: Mapping[str, str]
    say: Callable[[str], None]
    purge: bool = False
    system: Path = Path("/")
    project: Path = CHECKOUT


def stored(changes: Changes, data: Path) -> int:
    """Bytes of the stored files in a folder that setup made; 0 where it did not, or where there are none."""
    if not changes.made(data):
        return 0
    return sum(_size(Path(place, name)) for place, _, names in os.walk(data) for name in names)


def _size(path: Path) -> int:
    """Bytes of a file; 0 of one that has gone: the cache serves meanwhile, and its files come and go."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def volumes(changes: Changes, environ: Mapping[str, str]) -> list[str]:
    """Docker's volumes that go with the stored files: the cache's own, and what Prometheus and Grafana keep.

    Empty where the cache is in no container, or no engine says.
    """
    if COMPOSE not in changes.notes:
        return []
    try:
        with Engine.connect(environ) as engine:
            return engine.volumes(changes.notes.get(PROJECT) or compose.NAME)
    except EngineTrouble:
        return []


def remove(changes: Changes, data: Path, remover: Remover) -> list[str]:
    """Take it back; gives what could not be, a line each. Raises OSError."""
    if not (changes.notes or changes.files or changes.path.exists()):
        remover.say("there is nothing to take back: setup has changed nothing for this user")
        return []
    problems = [*_stop(changes, data, remover), *_files(changes, remover)]
    if problems:
        return problems
    remembered, memory = changes.notes.get(ADDRESSES), RememberedAddresses.of_user(remover.environ).path
    if remembered is not None:
        if remembered:
            memory.write_text(remembered, encoding="utf-8")
        else:
            memory.unlink(missing_ok=True)
    if remover.purge and changes.made(data) and data.is_dir():
        shutil.rmtree(data)
        remover.say(f"deleted the stored files in {data}")
    docker_command.remove_traces([Path(line) for line in changes.notes.get(TRACES, "").splitlines()])
    for left in changes.remove_folders():
        if left == data:
            remover.say(f"the stored files in {left} are still there; delete them: rm -r {left}")
        elif left not in data.parents:
            remover.say(f"{left} is still there: it has files that are not setup's")
    remover.say("what setup changed is taken back")
    return []


def _stop(changes: Changes, data: Path, remover: Remover) -> list[str]:
    """Stop the cache, however it was started."""
    try:
        if noted := changes.notes.get(COMPOSE):
            folder = setups_folder(noted, remover.project)
            variables = env_file.started_with(folder, changes.lines(COMPOSE), remover.environ)
            name, kept = changes.notes.get(PROJECT), volumes(changes, remover.environ)
            Compose.find(remover.environ, folder, name).down(variables, volumes=remover.purge)
            changes.note(COMPOSE, None)
            changes.note(PROJECT, None)
            remover.say("stopped and removed the containers; the image stays: docker image rm pullthrough:latest")
            if kept and not remover.purge:
                remover.say(f"Docker's volumes are still there; delete them: docker volume rm {' '.join(kept)}")
            elif (volume := env_file.volume(variables)) and not remover.purge:
                remover.say(
                    f"the stored files are still in Docker's volume: docker volume ls --filter name={volume} has its "
                    "name, and docker volume rm NAME deletes them"
                )
        if changes.notes.get(UNIT):
            unit = service_units.unit(remover.environ, [], data, remover.system)
            unit.end()
            remaining = [one for one in changes.files if one.kind == UNIT]
            for one in remaining:
                Path(one.path).unlink(missing_ok=True)  # also one that was edited: it starts what is no longer there
                changes.take_back(one)
            unit.ended()
            changes.note(UNIT, None)
            remover.say(f"stopped the cache, and removed {unit.path}")
    except PullthroughError as error:
        return [str(error)]
    return []


def _files(changes: Changes, remover: Remover) -> list[str]:
    problems = []
    # While the containers are still there, stopping them takes the variables with which they were started.
    for one in (one for one in changes.files if one.kind != COMPOSE or COMPOSE not in changes.notes):
        try:
            if changes.take_back(one) or _take_out(changes, one):
                remover.say(f"took back {one.path}")
            else:
                changes.drop(one)
                remover.say(f"{one.path} was changed since setup wrote it: it stays as it is")
        except FileRefused as refused:
            problems.append(f"{one.path} still leads to the cache: {refused}. Take that out, and run it again.")
        except OSError as error:
            problems.append(f"{one.path}: {error.strerror}. Run it again as a user who may write that file.")
    return problems


def _take_out(changes: Changes, one: FileChange) -> bool:
    """Take only our lines out of a file that others have changed since. Whether that can be told.

    Raises FileRefused, OSError.
    """
    text = Path(one.path).read_bytes().decode("utf-8", "surrogateescape")
    if one.kind == COMPOSE:
        without: str | None = client_files.without_block(text)
    else:
        without = client_files.without_ours(one.kind, text, one.lines)
    if without is None:
        return False
    changes.leave(one, without.encode("utf-8", "surrogateescape"))
    return True
