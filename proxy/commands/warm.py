"""`pullthrough warm`: have in the cache what lock files and requirements name, so that a build needs nothing else.

Called by `cli`. A table goes to standard output. The exit status is 3 if `--check` found that something is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from proxy.builds import cache_indexes, running_cache
from proxy.builds.store_access import DataPlace
from proxy.commands import output
from proxy.commands.endings import DONE, FAILED, ended
from proxy.config.settings import Settings
from proxy.errors import WrongUsage
from proxy.warming import platforms
from proxy.warming.dockerfiles import is_dockerfile
from proxy.warming.fetching import NoCache, Warming
from proxy.warming.requirement_files import Requirements
from proxy.warming.rounds import TOOLS, Report, WarmTarget, run
from proxy.warming.wishes import AptWish, gather

INCOMPLETE = 3
_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]", "host.docker.internal")
_LARGE = 20_000_000  # bytes of a file that has a bar of its own


@dataclass(frozen=True, slots=True)
class WarmFlags:
    """The verb's own arguments."""

    wanted: tuple[str, ...]
    platforms: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    index: str = "pypi"
    apt: AptWish = field(default_factory=AptWish)
    check: bool = False
    tools: bool = True
    json: bool = False


def warm(flags: WarmFlags, place: DataPlace, environ: Mapping[str, str]) -> int:
    """Have it all in the running cache, or look whether it is there, running or not. Gives the exit status."""
    settings = place.settings
    assert settings is not None, "the command line gives them"

    def work() -> int:
        if flags.check:
            from proxy.commands.own_cache import answering  # noqa: PLC0415 - late: it loads the server

            with answering(place, environ) as answers:
                report = brought(flags, answers, environ)
        else:
            report = brought(flags, settings, environ)
        if flags.json:
            sys.stdout.write(output.json_text(report))
        else:
            _print(report, output.console())
        if report.complete:
            return DONE
        return INCOMPLETE if flags.check else FAILED

    return ended(work)


def brought(flags: WarmFlags, settings: Settings, environ: Mapping[str, str]) -> Report:
    """What the flags mean and what came of it. With `check` nothing is fetched. Raises PullthroughError."""
    if not flags.wanted and not flags.apt.names:
        raise WrongUsage("name a lock file, a requirement or a Dockerfile, or packages of apt with --apt")
    _check_apt(flags)
    platforms.wanted(flags.platforms, flags.pythons)  # before anything is asked
    with _shown(output.console(sys.stderr), check=flags.check) as bars:
        warming = _warming(flags, settings, bars)
        wishes = gather(flags.wanted, flags.apt, warming, environ)
        if flags.tools and wishes.distributions:
            wishes.distributions.append(Requirements([*TOOLS]))
        targets = _targets(flags.platforms or tuple(wishes.platforms), flags.pythons or tuple(wishes.pythons))
        return run(wishes, warming, targets, environ, check=flags.check, offline=settings.offline)


def _check_apt(flags: WarmFlags) -> None:
    """Raise WrongUsage for options of apt where no packages are named that they could be for."""
    apt = flags.apt
    if apt.names:
        return
    if not apt.recommends:
        raise WrongUsage("--no-install-recommends: only with --apt; a Dockerfile says it in its own lines")
    options = (("--apt-source", apt.sources), ("--apt-architecture", apt.architecture))
    given = [option for option, value in options if value]
    if given and not any(is_dockerfile(Path(text)) for text in flags.wanted):
        raise WrongUsage(f"{' and '.join(given)}: only with --apt or a Dockerfile")


def absences(report: Report) -> Iterator[str]:
    """What is missing or cannot be had, a line each."""
    yield from (f"missing: {name}" for name in report.missing)
    yield from (f"not to be had: {one.what}: {' '.join(one.why.split())}" for one in report.refused)


def exclusions(report: Report) -> Iterator[str]:
    """What is no matter of the cache, and lines that are not understood, a line each."""
    yield from (f"left out: {one.what}: {one.why}" for one in report.left_out)
    yield from (f"not understood: {line}" for line in report.unread)


def _warming(flags: WarmFlags, settings: Settings, bars: _Bars) -> Warming:
    """The cache that answers. Raises NoCache, WrongUsage."""
    found = running_cache.find(settings.host, settings.port)
    if found is None:
        raise NoCache("No cache runs at the address of the settings. Start it with: pullthrough serve")
    sites = {site.mount: site for site in settings.sites()}
    paths = {mount: f"/{mount}/{site.index}" for mount, site in sites.items()}
    groups = {group.mount: f"/{group.mount}/simple/" for group in settings.index_groups()}
    paths |= groups
    mount, _, below = flags.index.strip("/").partition("/")
    if mount not in paths:  # a cache in a container, or on another machine, has settings of its own
        paths |= {one: f"/{one}/{index}" for one, index in (cache_indexes.of(found.host, found.port) or {}).items()}
    if below and mount in paths and mount not in groups:  # as members of a group are named: pytorch/whl/cu126
        paths[flags.index] = f"/{mount}/{below}/"
    if flags.index not in paths:
        raise WrongUsage(
            f"--index {flags.index}: there is no such upstream or group; there are {', '.join(sorted(paths))}"
        )
    bases = {site.base: mount for mount, site in sites.items()}
    asked = cache(partial(cache_indexes.path_of, found.host, found.port))
    return Warming(found.url, paths[flags.index], bases, bars, _own_addresses(settings), asked)


def _own_addresses(settings: Settings) -> tuple[str, ...]:
    """Where the cache is for whoever made a lock file through it, without a slash at the end."""
    usual = settings.public_url.rstrip("/")
    ports = {settings.port, urlsplit(usual).port or settings.port}
    return (*(f"http://{host}:{port}" for host in (*_THIS_MACHINE, *settings.names) for port in ports), usual)


def _targets(names: Sequence[str], pythons: Sequence[str]) -> list[WarmTarget]:
    """The platforms, with what uv calls each."""
    found = platforms.wanted(names, pythons)
    each = pythons or ("",)
    named: list[str | None] = [name for name in names for _ in each] or [None for _ in found]
    return [WarmTarget(one, name, str(one.environment.python)) for name, one in zip(named, found, strict=True)]


def _print(report: Report, where: Console) -> None:
    table = output.table("", "", ("files", "right"), ("size", "right"))
    output.add_row(table, "were here", f"{report.here:,}", output.size(report.size_here))
    output.add_row(table, "came", f"{report.came:,}", output.size(report.size_came))
    where.print(table)
    for line in (*absences(report), *exclusions(report)):
        where.print(output.plain(line))


class _Bars:
    """A bar for all, and one for each large file."""

    def __init__(self, progress: Progress, check: bool) -> None:  # noqa: FBT001
        self._progress = progress
        self._what = "looking" if check else "warming"
        self._all = progress.add_task("resolving", total=None)
        self._large: dict[str, TaskID] = {}
        self._total = self._files = self._ended = 0

    def planned(self, files: int) -> None:
        """See `fetching.Watcher`."""
        self._files += files
        self._progress.update(self._all, description=self._description)

    @property
    def _description(self) -> str:
        return f"{self._what}: {self._ended} of {self._files} files"

    def began(self, name: str, size: int | None) -> None:
        """See `fetching.Watcher`."""
        self._total += size or 0
        self._progress.update(self._all, total=self._total)
        if size is not None and size >= _LARGE:
            self._large[name] = self._progress.add_task(name, total=size)

    def brought(self, name: str, size: int) -> None:
        """See `fetching.Watcher`."""
        self._progress.advance(self._all, size)
        if name in self._large:
            self._progress.advance(self._large[name], size)

    def ended(self, name: str) -> None:
        """See `fetching.Watcher`."""
        self._ended += 1
        self._progress.update(self._all, description=self._description)
        if name in self._large:
            self._progress.remove_task(self._large.pop(name))


@contextmanager
def _shown(where: Console, *, check: bool) -> Generator[_Bars]:
    """Bars on standard error, where something may move."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=where, transient=True, disable=not output.animated(where)) as progress:
        yield _Bars(progress, check)
