"""What clients have asked for so far: for each install the projects, in which versions, from which pages.

Mutable state, all of it bounded, and forgotten when a client has been silent for a while. Asks for nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet

from proxy.bounded import Bounded
from proxy.foresight import requirements
from proxy.foresight.environments import Environment
from proxy.foresight.requirements import Wanted
from proxy.model import Target

_INSTALLS = 256
_SILENT = 120.0  # seconds without a question or a download after which the next question begins a new install
_PROJECTS = 2000  # of one install
_PAGES = 4  # on which one project is looked for


@dataclass(slots=True)
class Project:
    """One project of an install, as far as it is known."""

    pages: tuple[Target, ...] = ()  # where the client looks for it
    specifier: SpecifierSet = field(default_factory=SpecifierSet)  # of all who require it
    extras: frozenset[str] = frozenset()
    requirements: tuple[str, ...] | None = None  # of the wheel; None: its metadata was not read yet
    wheel: Target | None = None  # whose metadata was taken, or foreseen

    def narrowed(self, wanted: Wanted, pages: Iterable[Target]) -> bool:
        """Take one more requirement in. Whether that tells anything new."""
        specifier = requirements.narrowed(self.specifier, wanted.specifier)
        extras = requirements.extended(self.extras, wanted.extras)
        merged = tuple(dict.fromkeys((*self.pages, *pages)))[:_PAGES]
        news = (specifier, extras, merged) != (self.specifier, self.extras, self.pages)
        self.specifier, self.extras, self.pages = specifier, extras, merged
        return news


@dataclass(slots=True)
class Install:
    """What one client asked for, and what is foreseen for it."""

    environment: Environment
    accept: str | None = None  # the form,
    accept_encoding: str | None = None  # the coding,
    base: str = ""  # and the base of links in which it takes pages
    seen: float = 0.0  # monotonic seconds of its last question, or of the end of its last download
    projects: dict[str, Project] = field(default_factory=dict)
    taken: dict[Target, None] = field(default_factory=dict)  # wheels by the order in which their metadata was taken
    looking: bool = False  # for the next files;
    look_again: bool = False  # something ended meanwhile
    downloading: int = 0  # files that it asked for and that are on their way
    files: int = 0  # files on their way that it did not ask for;
    ahead: dict[Target, int] = field(default_factory=dict)  # and bytes of all that it did not ask for yet

    def project(self, name: str) -> Project | None:
        """A project by its normalised name; None if there are too many already."""
        known = self.projects.get(name)
        if known is None and len(self.projects) < _PROJECTS:
            known = self.projects[name] = Project()
        return known

    def asked_page(self, name: str, page: Target) -> None:
        """The client asked for a page of a project."""
        project = self.project(name)
        if project is not None and page not in project.pages:
            project.pages = (*project.pages, page)[:_PAGES]

    def took_metadata(self, name: str, wheel: Target) -> Project | None:
        """The client took the metadata of a wheel: by now it tries this one."""
        project = self.project(name)
        if project is not None:
            if project.wheel is not None and project.wheel != wheel:
                self.taken.pop(project.wheel, None)
                project.requirements = None
            project.wheel = wheel
            self.taken[wheel] = None
        return project

    def asked_file(self, wheel: Target) -> bool:
        """The client asked for a file. Whether it took its metadata before: then it downloads what it chose."""
        self.ahead.pop(wheel, None)
        if wheel not in self.taken:
            return False
        del self.taken[wheel]
        return True

    @property
    def busy(self) -> bool:
        """Whether files are on their way: a client that waits for a large one may ask for nothing for minutes."""
        return self.downloading > 0 or self.files > 0

    @property
    def bytes_ahead(self) -> int:
        """Bytes of files that it did not ask for yet."""
        return sum(self.ahead.values())


class Installs:
    """The installs under way. Mutable state: by client, the longest silent first."""

    def __init__(self) -> None:
        self._installs: Bounded[str, Install] = Bounded(_INSTALLS)

    def of(self, client: str, now: float, environment: Environment) -> Install:
        """The install that a client's question belongs to; another one for each environment."""
        self._forget_silent(now)
        install = self._installs.get(client)
        if install is None or install.environment != environment:
            install = Install(environment)
        self._heard(client, install, now)
        return install

    def ended(self, client: str, install: Install, now: float) -> None:
        """A file of an install is here, or failed: the client is likely to ask for the next one now."""
        if self._installs.get(client) is install:
            self._heard(client, install, now)

    def _heard(self, client: str, install: Install, now: float) -> None:
        install.seen = now
        self._installs[client] = install

    def _forget_silent(self, now: float) -> None:
        """A large one takes a megabyte, which nobody needs any more."""
        while self._installs:
            client, install = next(iter(self._installs.items()))
            if now - install.seen <= _SILENT:
                return
            if install.busy:
                self._heard(client, install, now)
            else:
                del self._installs[client]
