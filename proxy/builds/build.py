"""`docker build` through the cache: what is added to its arguments, and what the cache gave in the end.

Called by the verb `build`. Nothing but the build itself decides how it ends: where the cache cannot be used, the build
goes without it, and one line says why. Whatever happens, the secret files are removed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.builds import dockerfile_advice, figures
from proxy.builds.build_options import BuildOptions, own_platform, proxy_arguments
from proxy.builds.build_site import BuildSite, CachePlace, survey
from proxy.builds.candidates import Candidate
from proxy.builds.diagnosis import any_image
from proxy.builds.docker_command import BuildEnd
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.figures import Savings
from proxy.builds.reach import Reacher
from proxy.builds.secret_files import NAME, secret_files, texts

# Where a build goes without the cache, the name leads nowhere. It is there all the same: names are parts of layer keys,
# and so the layers of a build without the cache are those of a build with it.
_NOWHERE = "127.0.0.1"
_START = "Start it: pullthrough setup"


@dataclass(frozen=True, slots=True)
class BuildCaller:
    """Who builds: variables, working folder, and where single lines for the person go.

    `stdout`: a descriptor for what the build prints to standard output; None: this process's own.
    """

    environ: Mapping[str, str]
    cwd: Path
    say: Callable[[str], None]
    stdout: int | None = None


@dataclass(frozen=True, slots=True)
class BuildReport:
    """How a build went. `cache`: the address of the cache that it used, for this machine; None if it used none."""

    end: BuildEnd
    seconds: float
    builder: str
    tags: tuple[str, ...]
    cache: str | None = None
    reached_at: str | None = None  # the same cache, for the build
    savings: Savings | None = None
    notes: tuple[str, ...] = ()


def build(options: BuildOptions, place: CachePlace, caller: BuildCaller) -> BuildReport:
    """Build, and report.

    Raises EngineTrouble where no build can be run at all, and OSError where the secret files cannot be written.
    """
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        caller.say(line)

    file = read_file(options, caller.environ)
    with contextlib.ExitStack() as stack:
        with survey(caller.environ, place, options.builder) as site:
            reached, reacher = _way(site, options, file, caller.say, note)
        extra = ["--add-host", f"{NAME}:{reached.host if reached else _NOWHERE}", *site.own_layers(options)]
        before = None
        if reached is not None and site.cache is not None:
            for advice in dockerfile_advice.past_the_cache(file) if file else ():
                note(str(advice))
            proxied, lines = proxy_arguments(options, file, site.docker_config, reached.port)
            for line in lines:
                note(line)
            contents = texts(reached.port, place.mount, place.index)
            own = {name: text for name, text in contents.items() if name not in options.secrets}
            written = stack.enter_context(secret_files(own, caller.environ, site.command.own_folder))
            extra += [word for name, path in written.items() for word in ("--secret", f"id={name},src={path}")]
            extra += proxied
            before = site.cache.figures()
        begun = time.monotonic()
        end = site.command.build([*extra, *options.arguments], caller.cwd, caller.stdout)
        seconds = time.monotonic() - begun
    if end.status and not end.interrupted and reacher is not None:
        site.memory.forget(reacher.key)  # the way may have changed: the next build proves it anew
    after = site.cache.figures() if site.cache and before else None
    return BuildReport(
        end=end,
        seconds=seconds,
        builder=site.builder.name,
        tags=options.tags,
        cache=site.cache.url if site.cache and reached else None,
        reached_at=str(reached) if reached else None,
        savings=figures.between(before, after) if before and after else None,
        notes=tuple(notes),
    )


def read_file(options: BuildOptions, environ: Mapping[str, str]) -> Dockerfile | None:
    """The Dockerfile of the options; None if it cannot be read here. An argument without a value is of `environ`."""
    if options.file is None:
        return None
    try:
        text = options.file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    given = {name: environ.get(name) if value is None else value for name, value in options.build_args}
    return Dockerfile.read(text, given, options.platform or own_platform())


def _way(
    site: BuildSite,
    options: BuildOptions,
    file: Dockerfile | None,
    say: Callable[[str], None],
    note: Callable[[str], None],
) -> tuple[Candidate | None, Reacher | None]:
    """The address of the cache for this build, and what found it; None if it goes without, and a line says why."""
    if site.cache is None:
        note(f"no cache answers at {site.place}{site.place.stranger()}: this build goes without one. {_START}")
        return None, None
    if file is not None and not file.runs:
        return None, None
    reacher = site.reacher(site.cache)
    found = reacher.remembered(site.place.named)
    if found is None:
        say("trying how builds reach the cache, once for this builder")
        if file is None:  # it is elsewhere, or on standard input
            ground = any_image(site.engine, options.builder)
        else:
            ground = site.ground(file, options.builder, options.platform)
        found = site.prove(reacher, ground)
    if found.address is None:
        note(f"this build goes without the cache: {found.problem}")
    return found.address, reacher
