"""`pullthrough setup`: start the cache for good, prove that builds reach it, and point clients at it.

Called by `cli`. What was done goes to standard output, a line each; what is wrong to standard error. With `--remove`
all of it is taken back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.builds import client_files, compose, container_settings, env_file, removal, service_units, setup_plan
from proxy.builds.changes import Changes
from proxy.builds.removal import Remover
from proxy.builds.setup import COMPOSE, set_up
from proxy.builds.setup_plan import SetupCaller, SetupPlan, look, serve_arguments
from proxy.builds.store_access import SETUP_FOLDER
from proxy.commands import output
from proxy.commands.build import BuildFlags, cache_place
from proxy.config import sources
from proxy.config.loading import Resolved
from proxy.errors import PullthroughError, WrongUsage

_DOCKER_NOTE = (
    "docker: its file is written only if you name it: --write docker. The proxy in it holds for every build and "
    "container, and the cache answers only for apt archives there."
)
_WRITTEN = ("pip", "uv", "apt")  # with --write all
_FIRST = ("flag", "environment")  # whose word comes before that of `.env`, as with Compose


@dataclass(frozen=True, slots=True)
class SetupFlags:
    """The verb's own options. `resolved`: the settings, with `--host`, `--port` and `--data`; `clients`: of --write."""

    resolved: Resolved
    process: bool = False
    monitoring: bool = False
    clients: str = ""
    only_print: bool = False
    remove: bool = False
    yes: bool = False
    index: str | None = None


def setup(flags: SetupFlags, environ: Mapping[str, str], cwd: Path) -> int:
    """Set it up, or take it back. Gives the exit status; 2: wrong usage."""
    try:
        plan = planned(flags, environ, cwd)
    except WrongUsage as error:
        output.say(str(error))
        return 2
    try:
        if flags.only_print:
            _print(shown(in_container(plan, flags, environ), SetupCaller(environ, _print)))
            return 0
        changes = Changes.of_user(environ)
        if not flags.remove or COMPOSE in changes.notes:
            plan = in_container(plan, flags, environ)
        problems = _remove(plan, flags, environ, changes) if flags.remove else _set_up(plan, environ, changes)
    except PullthroughError as error:
        problems = [str(error)]
    except BrokenPipeError:
        raise  # as of other verbs (`endings`)
    except OSError as error:
        problems = [f"{error.filename or 'the record of changes'}: {error.strerror}."]
    except KeyboardInterrupt:
        output.say("interrupted; run it again to go on, or with --remove to take back what was done")
        return 130
    for line in problems:
        output.say(line)
    return int(bool(problems))


def planned(flags: SetupFlags, environ: Mapping[str, str], cwd: Path) -> SetupPlan:
    """The plan of these options. Raises WrongUsage."""
    if flags.remove and (flags.only_print or flags.clients or flags.process or flags.monitoring):
        raise WrongUsage("--remove takes everything back: give it without --print, --write, --process, --monitoring")
    settings = flags.resolved.settings
    file, _ = sources.find_file({}, environ, cwd)
    home = environ.get("HOME")
    chosen = file is not None and not setup_plan.wrote(file)  # whoever wrote that file knows the default, too
    told = flags.resolved.origin(("data",)).kind != "default" or chosen or not home
    data = settings.data if told else Path(home or "/") / SETUP_FOLDER
    contained = None if flags.process else container_settings.read(data)
    return SetupPlan(
        place=cache_place(BuildFlags(settings, index=flags.index), environ, contained),
        data=data,
        hosts=settings.host if flags.resolved.origin(("host",)).kind != "default" else None,
        process=flags.process,
        monitoring=flags.monitoring,
        write=_clients(flags.clients),
        settings_file=file,
        own_file=sources.user_file(environ),
        variables=setup_plan.named_variables(settings),
    )


def in_container(
    plan: SetupPlan, flags: SetupFlags, environ: Mapping[str, str], project: Path = compose.PROJECT
) -> SetupPlan:
    """The plan with what holds for a container alone: a person's lines of `.env`, and settings of a file of its own.

    Raises SetupFailed, OSError.
    """
    if plan.process:
        return plan
    told = {name for name in ("data", "port", "host") if flags.resolved.origin((name,)).kind in _FIRST}
    plan = env_file.taken_over(plan, project, environ, told)
    own = compose.override(project)
    override = own.read_text(encoding="utf-8", errors="replace") if own else ""
    return replace(plan, not_read=container_settings.not_read(flags.resolved, plan.data, plan.volume, override))


def _clients(text: str) -> tuple[str, ...]:
    names = _WRITTEN if text == "all" else tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in names:
        if name not in client_files.CLIENTS:
            raise WrongUsage(f"--write {name}: there are {', '.join(client_files.CLIENTS)}, and all")
    return names


def shown(plan: SetupPlan, caller: SetupCaller) -> str:
    """What `setup` would do, and the lines for clients. Changes nothing. Raises PullthroughError."""
    ways = look(plan, caller.environ)
    if ways.engine is not None:
        ways.engine.close()
    port = plan.place.port
    stored = f"Docker's volume {plan.volume}" if plan.volume else str(plan.data)
    parts = [f"# The cache listens on {' and '.join(ways.hosts)}, port {port}, and stores in {stored}"]
    if ways.engine is None:
        parts.append(f"# {ways.trouble}")
    if plan.process:
        arguments = serve_arguments(plan, ways)
        unit = service_units.unit(caller.environ, arguments, plan.data, caller.system, variables=plan.variables)
        parts.append(f"# {unit.path}\n{unit.shown}")
    elif missing := compose.without_file(caller.project):
        parts.append(f"# {missing}\n")
    else:
        services = [compose.CACHE, *(compose.MONITORING if plan.monitoring else ())]
        parts += [f"# {plan.not_read}"] if plan.not_read else []
        parts.append(f"# In {caller.project}: docker compose up --detach --build {' '.join(services)}\n")
    return "\n".join([*parts, client_lines(plan, caller, ways.address(plan.place))])


def client_lines(plan: SetupPlan, caller: SetupCaller, address: client_files.CacheAddress) -> str:
    """What belongs into the file of each client, for those that are not written."""
    files = client_files.client_files(caller.environ, address, caller.system)
    return "\n".join(f"# {one.client}: {one.path}\n{one.lines}" for one in files if one.client not in plan.write)


def _set_up(plan: SetupPlan, environ: Mapping[str, str], changes: Changes) -> list[str]:
    caller = SetupCaller(environ, _print)
    problems = set_up(plan, caller, changes)
    if not problems:
        ways = look(plan, environ)
        if ways.engine is not None:
            ways.engine.close()
        _print("")
        _print(client_lines(plan, caller, ways.address(plan.place)).rstrip())
        _print("")
        _print(_DOCKER_NOTE if plan.write else "With --write all, setup writes the files of pip, uv and apt itself.")
        _print("Now: pullthrough build")
    return problems


def _remove(plan: SetupPlan, flags: SetupFlags, environ: Mapping[str, str], changes: Changes) -> list[str]:
    purge = flags.yes
    if not purge and (
        question := asked(removal.stored(changes, plan.data), plan.data, removal.volumes(changes, environ))
    ):
        purge = bool(output.confirmed(question, output.console()))
    return removal.remove(changes, plan.data, Remover(environ, _print, purge=purge))


def asked(size: int, data: Path, volumes: Sequence[str]) -> str:
    """What is asked before stored files go, and all that goes with them; empty if there is nothing."""
    things = [f"the stored files in {data} ({output.size(size)})"] if size else []
    things += [f"Docker's volumes {', '.join(volumes)} with all that is in them"] if volumes else []
    return f"Delete {' and '.join(things)} as well?" if things else ""


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
