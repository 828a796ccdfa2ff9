"""Names of packages → the files that apt would fetch, by real apt against the cache (ADR 20).

apt runs in a state folder of its own, with nothing of this machine's but its architecture. It installs nothing, and no
list is trusted for more than to know which files there are: whoever installs them checks the signatures, as ever.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from proxy.apt import addresses
from proxy.apt.addresses import ArchiveAddress
from proxy.builds.program import asked
from proxy.errors import BadTarget, PullthroughError, WrongUsage
from proxy.warming import text_files
from proxy.warming.choice import LeftOut

SOURCES = (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d"))  # this machine's own
_WAIT = 3600.0  # seconds
_KEPT = 4000  # characters of what apt said that are shown
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.*?-]*(?::[a-z0-9-]+)?(?:[=/][A-Za-z0-9.+:~*?-]+)?\^?")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")
_WORD = r"(?:\[[^\]]*\]|[^\s\[]|\[(?![^\]]*\]))+"  # a disc has spaces in its name, in brackets
_LINE = re.compile(
    rf"(?:deb\s+)?(?:\[(?P<options>[^\]]*)\]\s*)?(?P<url>(?!deb\s|\[){_WORD})\s+(?P<suite>\S+)(?P<components>(?:\s+\S+)*)"
)
_NO_ARCHIVE = "only archives at http:// and https:// that ask for no password are behind the cache"
_OFF = re.compile(r"no|false|without|off|disable|[+-]?0+", re.IGNORECASE)  # what apt takes for no
_URI = re.compile(r"^'(?P<url>[^']+)' \S+ (?P<size>\d+) (?:SHA256:(?P<sha256>[0-9a-f]{64}))?", re.MULTILINE)
_FOLDERS = ("lists/partial", "archives/partial", "sources.list.d", "preferences.d", "apt.conf.d", "trusted.gpg.d")
_SETTINGS = """\
Dir "{folder}/";
Dir::State "{folder}/";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/";
Dir::Etc "{folder}/";
Dir::Log "{folder}/";
APT::Sandbox::User "";
Acquire::http::Proxy "DIRECT";
Acquire::Languages "en";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::ForceHash "SHA256";
APT::Install-Recommends "{recommends}";
"""
_NONE = "This system has no apt-get, which says what packages need. Warm them on Debian or Ubuntu, or in a container."


class NoPackages(PullthroughError):
    """apt does not say which files a package needs. The text says why."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive. `size` in bytes; None: it is not known. `hashes` by algorithm."""

    address: ArchiveAddress
    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """Its name."""
        return self.address.path.rpartition("/")[2]

    @property
    def path(self) -> str:
        """Where it is on the cache."""
        return addresses.prefix(self.address)


@dataclass(frozen=True, slots=True)
class Packages:
    """What is to be installed together. `sources`: what `sources` gives; `release`: the suite that comes first (`-t`).

    `recommends`: with what they recommend, as apt does by itself.
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    architecture: str | None = None
    recommends: bool = True
    release: str | None = None


def archive_file(url: str, cache: str = "") -> ArchiveFile:
    """The file at an address upstream, or at one on the `cache`. Raises BadTarget."""
    return ArchiveFile(_address(url, cache))


def sources(texts: Sequence[str], cache: str, left_out: list[LeftOut], further: Sequence[str] = ()) -> tuple[str, ...]:
    """Sources that lead through the cache: of lines such as `http://mirror.example/debian bookworm main`, and of files.

    A file is a `.sources`, or has such lines. Without `texts` the sources are this machine's own. `further`: lines that
    nobody typed, either. `left_out` gets what files and those have of folders, discs, lists of mirrors and other places
    where no cache can be between. Raises WrongUsage, UnreadableFile.
    """
    named = [source for text in texts for source in _named(text)]
    if not texts:
        named = [source for path in SOURCES for one in _files(path) for source in _of_file(one)]
    found = []
    for source in (*named, *(_SourceLine(line, "a Dockerfile") for line in further)):
        parts = _parts(source)
        if (line := _through(parts, cache)) is not None:
            found.append(line)
        elif source.file is None:
            raise _no_source(source)
        else:
            other = LeftOut(text_files.without_user(parts["url"]), _NO_ARCHIVE)
            left_out += [other] if other not in left_out else []
    if not found:
        where = "The files of --apt-source have" if texts else "This machine has"
        raise WrongUsage(f"{where} no sources of apt at http:// or https://. Name some with --apt-source.")
    return tuple(dict.fromkeys(found))


def is_name(text: str) -> bool:
    """Whether apt would take it for the name of a package, perhaps with an architecture, a version or a suite."""
    return _PACKAGE.fullmatch(text) is not None


def resolve(packages: Packages, cache: str, environ: Mapping[str, str]) -> list[ArchiveFile]:
    """The files of packages and of all that they need, on a system where nothing is installed. Raises NoPackages.

    The lists that apt reads for that are in the cache afterwards.
    """
    for name in packages.names:
        if not is_name(name):
            raise WrongUsage(f"--apt {name}: write names of packages, such as curl, curl=7.88.1-10 or libc6:arm64")
    if packages.architecture is not None and not _ARCHITECTURE.fullmatch(packages.architecture):
        raise WrongUsage(f"--apt-architecture {packages.architecture}: write what dpkg calls it, such as arm64")
    program = shutil.which("apt-get", path=environ.get("PATH", os.defpath))
    if program is None:
        raise NoPackages(_NONE)
    try:
        with tempfile.TemporaryDirectory(prefix="pullthrough-") as made:
            folder = Path(made)
            _write(folder, packages)
            own = {
                "PATH": environ.get("PATH", os.defpath),
                "LC_ALL": "C",
                "APT_CONFIG": str(folder / "settings"),
                "TMPDIR": made,
            }
            _run([program, "update", "-o", "APT::Update::Error-Mode=any"], own)
            first = ["--target-release", packages.release] if packages.release else []
            said = _run([program, "install", "--print-uris", "--yes", *first, *packages.names], own)
    except OSError as error:
        where = tempfile.gettempdir()
        raise NoPackages(
            f"There is no room for apt in {where}: {error.strerror}. TMPDIR names another folder."
        ) from error
    return [
        ArchiveFile(_address(one["url"], cache), int(one["size"]), {"sha256": one["sha256"]} if one["sha256"] else {})
        for one in _URI.finditer(said)
    ]


def _write(folder: Path, packages: Packages) -> None:
    """Make the state folder."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    lines = _SETTINGS.format(folder=folder, recommends=str(packages.recommends).lower())
    if packages.architecture is not None:
        lines += f'#clear APT::Architectures;\nAPT::Architecture "{packages.architecture}";\n'
        lines += f'APT::Architectures {{ "{packages.architecture}"; }};\n'
    (folder / "settings").write_text(lines, encoding="utf-8")
    (folder / "sources.list").write_text("\n".join(packages.sources) + "\n", encoding="utf-8")


def _run(command: Sequence[str], environ: Mapping[str, str]) -> str:
    try:
        ended = asked(command, environ, _WAIT)
    except OSError as error:
        raise NoPackages(f"apt-get could not be run: {error.strerror}.") from error
    except subprocess.TimeoutExpired as error:
        raise NoPackages("apt-get did not end within an hour.") from error
    if ended.returncode:
        lines = (ended.stdout + ended.stderr).splitlines()
        why = [line for line in lines if line.startswith(("E:", "W:", "Err:")) or " : Depends:" in line]
        raise NoPackages("apt says:\n" + "\n".join(why or lines)[-_KEPT:])
    return ended.stdout


# ---------------------------------------------------------------------- sources


class _SourceLine(NamedTuple):
    """A line of a source. `file`: where it stands; None: somebody typed it."""

    line: str
    file: str | None = None


def _named(text: str) -> Iterator[_SourceLine]:
    if os.path.exists(text):  # noqa: PTH110 - a text that is too long for a path is none
        for one in _files(Path(text)):
            yield from _of_file(one)
    else:
        yield _SourceLine(text)


def _files(path: Path) -> Iterator[Path]:
    """The files of sources at a path, which may be a folder."""
    if path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if one.suffix in {".list", ".sources"} and one.is_file())
    elif path.is_file():
        yield path


def _of_file(path: Path) -> Iterator[_SourceLine]:
    """The sources of a file, one a line. Raises UnreadableFile."""
    text = text_files.read(path, errors="replace")  # apt reads bytes: a comment may have others
    lines = of_stanzas(text) if path.suffix == ".sources" else map(str.strip, text.splitlines())
    yield from (_SourceLine(line, str(path)) for line in lines if line.startswith(("deb ", "deb\t")))


def of_stanzas(text: str) -> Iterator[str]:
    """The sources of a text in deb822 form (sources.list(5)), one a line.

    In lines apt decodes what is percent-encoded, which it does not in stanzas, and `#` begins a comment.
    """
    plain = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", plain):
        rows = re.findall(r"^([A-Za-z-]+):((?:.|\n(?=[ \t]))*)", stanza, flags=re.MULTILINE)
        fields = {name.lower(): re.findall(_WORD, value) for name, value in rows}
        if "deb" not in fields.get("types", ()) or _OFF.fullmatch((fields.get("enabled") or ["yes"])[0]):
            continue
        chosen = ((f"architectures{end}", mark) for end, mark in (("", "="), ("-add", "+="), ("-remove", "-=")))
        kept = [f"arch{mark}{','.join(fields[name])}" for name, mark in chosen if fields.get(name)]
        options = f"[{' '.join(kept)}] " if kept else ""
        for url in fields.get("uris", ()):
            for suite in fields.get("suites", ()):
                words = (url, suite, *fields.get("components", ()))
                yield f"deb {options}{' '.join(word.replace('%', '%25').replace('#', '%23') for word in words)}"


def _through(parts: re.Match[str], cache: str) -> str | None:
    """The line of a source that leads through the cache; None for an address that it cannot carry."""
    try:
        address = _address(parts["url"], cache)
    except BadTarget:
        return None
    kept = [word for word in (parts["options"] or "").split() if re.match(r"arch[+-]?=", word)]
    options = " ".join(["trusted=yes", *kept])
    return f"deb [{options}] {cache}{addresses.prefix(address)} {parts['suite']}{parts['components']}"


def _parts(source: _SourceLine) -> re.Match[str]:
    """The parts of a line. Raises WrongUsage, UnreadableFile."""
    found = _LINE.fullmatch(source.line.partition("#")[0].strip())
    if found is None:
        raise _no_source(source)
    return found


def _no_source(source: _SourceLine) -> PullthroughError:
    line = text_files.without_user(source.line)
    if source.file is not None:
        return text_files.UnreadableFile(
            f"{source.file}: this is no source such as deb http://mirror.example/debian bookworm main: {line}"
        )
    return WrongUsage(
        f"--apt-source {line}: write a source as in sources.list, such as "
        "'http://mirror.example/debian bookworm main', or a file of sources"
    )


def _address(url: str, cache: str) -> ArchiveAddress:
    """The address upstream. Raises BadTarget."""
    if cache and url.startswith(f"{cache}/"):
        return addresses.parse(url.removeprefix(cache))
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "https":
        return addresses.parse(f"/HTTPS///{rest}")
    return addresses.parse_proxied(url)
