"""Wishes → what the cache has afterwards: resolve, choose, fetch, then the same for what builds need.

Called by `commands.warm`. What one wish fails by is reported, and stops no other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.pylock import Pylock
from packaging.requirements import InvalidRequirement

from proxy.warming import archives
from proxy.warming.archives import ArchiveFile, NoPackages, Packages
from proxy.warming.choice import Chosen, LeftOut, Platform, Refused, choose
from proxy.warming.fetching import Wanted, Warmed, Warming
from proxy.warming.requirement_files import Requirements, elsewhere
from proxy.warming.resolving import Unresolved, resolve
from proxy.warming.uv_lock import UvLock
from proxy.warming.wishes import Wishes

TOOLS = ("pip", "setuptools", "wheel", "uv")  # what builds need besides, and nobody writes down
_ROUNDS = 10  # builds that need builds


@dataclass(slots=True)
class Report:
    """What was found, for people and programs. Sizes in bytes.

    `unread`: lines of Dockerfiles; `left_out`: what is from no index; `files`: what is here.
    """

    here: int = 0
    came: int = 0
    size_here: int = 0
    size_came: int = 0
    missing: list[str] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    files: list[Wanted] = field(default_factory=list)

    def add(self, outcome: Warmed) -> None:
        """Take in what one round came to."""
        for had in outcome.had:
            self.files.append(had.chosen)
            if had.came:
                self.came += 1
                self.size_came += had.size
            else:
                self.here += 1
                self.size_here += had.size
        self.missing += [chosen.filename for chosen in outcome.missing]
        for one in outcome.refused:
            self.refuse(one)

    def refuse(self, one: Refused) -> None:
        """Take in what cannot be had, once."""
        if one not in self.refused:
            self.refused.append(one)

    def leave_out(self, one: LeftOut) -> None:
        """Take in what is no matter of the cache, once."""
        if one not in self.left_out:
            self.left_out.append(one)

    @property
    def complete(self) -> bool:
        """Whether all is here."""
        return not self.missing and not self.refused


@dataclass(frozen=True, slots=True)
class WarmTarget:
    """A platform, what uv calls it (None: this machine's), and its version of Python."""

    platform: Platform
    name: str | None
    python: str


def run(  # noqa: PLR0913 - what is wanted, where, and how
    wishes: Wishes,
    warming: Warming,
    targets: Sequence[WarmTarget],
    environ: Mapping[str, str],
    *,
    check: bool = False,
    offline: bool = False,
) -> Report:
    """Have all of it in the cache; or look what is there. `offline`: the cache asks no upstream.

    Raises NoCache, WrongUsage.
    """
    report, done = Report(unread=wishes.unread, left_out=[*wishes.left_out]), set[tuple[str, str | None]]()
    files = {_key(one): one for one in (*wishes.files, *_packages(wishes.packages, warming, environ, report))}
    distributions = wishes.distributions
    for _ in range(_ROUNDS):
        for one in _distributions(distributions, warming, targets, environ, report, fetching=offline or not check):
            if _key(one) not in done:
                files[_key(one)] = one
        outcome = asyncio.run(warming.fetch(files.values(), check=check))
        report.add(outcome)
        done |= set(files)
        files = {}
        if not outcome.needs:
            break
        # Each alone: builds may need versions that do not go together.
        distributions = [Requirements([need]) for need in sorted(outcome.needs)]
    return report


def _key(one: Wanted) -> tuple[str, str | None]:
    """What tells files apart: several indexes and archives may have one under the same name."""
    return (one.path, None) if isinstance(one, ArchiveFile) else (one.filename, one.index)


def _distributions(  # noqa: PLR0913 - what is wanted, where, and how
    wishes: Sequence[Pylock | UvLock | Requirements],
    warming: Warming,
    targets: Sequence[WarmTarget],
    environ: Mapping[str, str],
    report: Report,
    *,
    fetching: bool,
) -> Iterator[Chosen]:
    for target in targets:
        for wish in wishes:
            if isinstance(wish, UvLock):
                lock = wish.on(target.platform.environment)
            elif isinstance(wish, Pylock):
                lock = wish
            else:
                try:
                    wanted = _of_indexes(wish, report)
                    if not wanted.lines:
                        continue
                    lock = resolve(wanted, warming.usual, target.name, target.python, environ, fetching=fetching)
                except Unresolved as error:
                    report.refuse(Refused(", ".join(wish.lines), str(error)))
                    continue
            for one in choose(lock, [target.platform]):
                if isinstance(one, Refused):
                    report.refuse(one)
                elif isinstance(one, LeftOut):
                    report.leave_out(one)
                else:
                    yield one


def _of_indexes(wish: Requirements, report: Report) -> Requirements:
    """The wish without what is from an address: whoever resolves it would fetch that, past the cache."""
    lines = []
    for line in wish.lines:
        try:
            other = elsewhere(line)
        except (InvalidRequirement, RecursionError):  # the latter of deep parentheses
            other = None  # who resolves it says what is wrong
        if other is None:
            lines.append(line)
        else:
            report.leave_out(other)
    return replace(wish, lines=lines)


def _packages(
    wishes: Sequence[Packages], warming: Warming, environ: Mapping[str, str], report: Report
) -> Iterator[Wanted]:
    for wish in wishes:
        try:
            yield from archives.resolve(wish, warming.cache, environ)
        except NoPackages as error:
            report.refuse(Refused(" ".join(wish.names), str(error)))
