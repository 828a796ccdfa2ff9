"""The real apt in a root of its own: lists, cache, settings and keys of a test, and nothing of the machine's.

Used by the end-to-end tests only. What is downloaded is never installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.clients import Failed

_LIMIT = 600.0  # seconds that one run may take
_MACHINE = Path("/etc/apt")
# What a root takes over from the machine: whether it may be told what time it is differs between networks.
_TAKEN_OVER = re.compile(r'^(Acquire::Check-(?:Valid-Until|Date) ".*";)$', re.MULTILINE)
_FOLDERS = (
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg.d",
    "var/lib/apt/lists/partial",
    "var/lib/dpkg",
    "var/cache/apt/archives/partial",
    "var/log/apt",
    "tmp",
)


@dataclass(frozen=True, slots=True)
class Source:
    """A source of packages. `address` has a scheme; a `suite` with a slash at its end is a flat repository.

    `trusted`: it is not signed, and that is all right.
    """

    address: str
    suite: str
    components: str = ""
    signed_by: str = ""
    trusted: bool = False

    def stanza(self) -> str:
        """The source in deb822 form."""
        lines = ["Types: deb", f"URIs: {self.address}", f"Suites: {self.suite}"]
        lines += [f"Components: {self.components}"] if self.components else []
        lines += [f"Signed-By: {self.signed_by}"] if self.signed_by else []
        lines += ["Trusted: yes"] if self.trusted else []
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run of apt ended, and all that it said."""

    status: int
    output: str

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings, one a line: those of the end, and those of single files."""
        return [line for line in self.output.splitlines() if line.startswith(("E: ", "W: ", "Err:"))]


@dataclass(slots=True)
class AptRoot:
    """One machine, as apt sees it. `options` are those of its settings, such as `Acquire::http::Proxy "…";`."""

    folder: Path
    sources: Sequence[Source]
    options: list[str] = field(default_factory=list)
    before: Sequence[str] = ()  # what each command begins with, as that of a room

    def __post_init__(self) -> None:
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "var/lib/dpkg/status").touch()
        for key in (_MACHINE / "trusted.gpg.d").glob("*"):
            shutil.copy(key, self.folder / "etc/apt/trusted.gpg.d")
        self.write_sources()

    @property
    def archives(self) -> Path:
        """Where downloaded packages lie."""
        return self.folder / "var/cache/apt/archives"

    def write_sources(self) -> None:
        """Write the sources anew, after `sources` was changed."""
        stanzas = "\n".join(source.stanza() for source in self.sources)
        (self.folder / "etc/apt/sources.list.d/test.sources").write_text(stanzas, "utf-8")

    def installed(self, packages: Iterable[tuple[str, str]]) -> None:
        """Let these packages (name, version) be installed, as far as apt knows."""
        text = "".join(
            f"Package: {name}\nStatus: install ok installed\nMaintainer: Nobody <nobody@mirror.example>\n"
            f"Architecture: all\nVersion: {version}\nDescription: one of the tests\n\n"
            for name, version in packages
        )
        (self.folder / "var/lib/dpkg/status").write_text(text, "utf-8")

    def forget(self) -> None:
        """Remove lists and packages, as a new image has none."""
        for folder in ("var/lib/apt/lists", "var/cache/apt/archives"):
            shutil.rmtree(self.folder / folder)
            (self.folder / folder / "partial").mkdir(parents=True)

    def update(self) -> Ran:
        """Fetch the lists; any source that fails makes it fail."""
        return self.run("update", "-o", "APT::Update::Error-Mode=any")

    def download(self, *packages: str) -> Ran:
        """Fetch packages and all that they need."""
        return self.run("install", "--download-only", "--yes", "--no-install-recommends", *packages)

    def upgrade(self) -> Ran:
        """Fetch what is newer than what is installed."""
        return self.run("dist-upgrade", "--download-only", "--yes")

    def run(self, *arguments: str) -> Ran:
        """Run apt-get. It never fails a test by itself: `check` does."""
        done = subprocess.run(
            [*self.before, "apt-get", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        return Ran(done.returncode, done.stdout)

    def packages(self) -> dict[str, bytes]:
        """The downloaded packages by name."""
        return {path.name: path.read_bytes() for path in sorted(self.archives.glob("*.deb"))}

    def lists(self) -> list[bytes]:
        """The lists that apt has."""
        return [path.read_bytes() for path in (self.folder / "var/lib/apt/lists").iterdir() if path.is_file()]

    def _environment(self) -> dict[str, str]:
        settings = self.folder / "apt.conf"
        own = [
            f'Dir "{self.folder}/";',
            f'Dir::State::status "{self.folder}/var/lib/dpkg/status";',
            # The user of the tests, whoever that is: root would have to let another user into the folders of the tests.
            'APT::Sandbox::User "";',
            'Acquire::Languages "none";',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            "#clear DPkg::Post-Invoke;",
            "#clear APT::Update::Post-Invoke;",
        ]
        settings.write_text("\n".join([*own, *taken_over(), *self.options]) + "\n", "utf-8")
        path = os.environ.get("PATH", "/usr/bin:/bin")
        return {"PATH": path, "LC_ALL": "C", "APT_CONFIG": str(settings), "TMPDIR": str(self.folder / "tmp")}


def check(ran: Ran) -> Ran:
    """Raise Failed with all that apt said, if it ended with an error or complained of anything."""
    if ran.status or ran.complaints:
        raise Failed(f"apt-get ended with {ran.status}:\n{ran.output}")
    return ran


def taken_over() -> list[str]:
    """What the machine's settings say of the age of lists."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return _TAKEN_OVER.findall(dump)


def takes_expired() -> bool:
    """Whether lists past their date are good on this machine."""
    return any("Valid-Until" in line for line in taken_over())


def own_sources() -> list[Source]:
    """The binary sources of this machine that are signed with its distribution's own key.

    Others may need accounts, or be far away. Raises Failed if there is none.
    """
    found = [source for text in _texts(".sources") for source in _deb822(text)]
    found += [source for text in _texts(".list") for source in _one_line(text)]
    usual = [source for source in found if not source.signed_by or "archive-keyring" in source.signed_by]
    if not usual:
        raise Failed("no source of packages was found below /etc/apt; install the tests' system from a usual image")
    return usual


def _texts(suffix: str) -> list[str]:
    files = [_MACHINE / "sources.list", *sorted((_MACHINE / "sources.list.d").glob("*"))]
    return [path.read_text("utf-8") for path in files if path.suffix == suffix and path.is_file()]


def _deb822(text: str) -> Iterable[Source]:
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, flags=re.MULTILINE))
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes") == "no":
            continue
        for address in fields["URIs"].split():
            for suite in fields["Suites"].split():
                yield Source(address.rstrip("/"), suite, fields.get("Components", ""), fields.get("Signed-By", ""))


def _one_line(text: str) -> Iterable[Source]:
    for line in text.splitlines():
        match = re.match(
            r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<address>\S+)\s+(?P<suite>\S+)\s*(?P<rest>[^#]*)", line
        )
        if match:
            signed = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield Source(
                match["address"].rstrip("/"), match["suite"], match["rest"].strip(), signed[1] if signed else ""
            )
