"""A whole system of this machine's own release: made by debootstrap, entered by chroot, gone when its test is.

Used by the end-to-end tests only, as root. Whatever runs in a system has mounts and processes of its own, which the
kernel ends with it; so nothing is left mounted, also when the tests are killed. No name but `localhost` has an address
in a system: what it gets, it gets from the cache.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.e2e.apt import Ran, Source, own_sources, taken_over
from tests.e2e.clients import Failed
from tests.e2e.ways import below_prefix

_LIMIT = 600.0  # seconds that one run may take
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
}
_NO_TERMINAL = 'Dpkg::Use-Pty "false";'  # /dev/pts is not mounted
_KEYRINGS = Path("/usr/share/keyrings")


@dataclass(frozen=True, slots=True)
class System:
    """A system in `folder`."""

    folder: Path

    def point(self, sources: Sequence[Source], options: Sequence[str]) -> None:
        """Let it have these sources, these lines of apt's settings, and no lists and packages of others."""
        settings = self.folder / "etc/apt"
        (settings / "sources.list").unlink(missing_ok=True)
        stanzas = "\n".join(self._trusting(source).stanza() for source in sources)
        (settings / "sources.list.d/test.sources").write_text(stanzas, "utf-8")
        (settings / "apt.conf.d/01test").write_text("\n".join([*taken_over(), _NO_TERMINAL, *options, ""]), "utf-8")
        shutil.rmtree(self.folder / "var/lib/apt/lists")
        self.run("apt-get", "clean")

    def update(self) -> Ran:
        """Fetch the lists; any source that fails makes it fail, at once."""
        return self.run("apt-get", "update", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=0")

    def install(self, package: str) -> Ran:
        """Install a package and what it needs."""
        return self.run("apt-get", "install", "-y", "--no-install-recommends", package)

    def purge(self, package: str) -> Ran:
        """Have never had a package."""
        return self.run("apt-get", "purge", "-y", package)

    def installed(self) -> dict[str, str]:
        """What is installed: the version by name."""
        asked = self.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\\n")
        return dict(re.findall(r"^ii\s+(\S+) (\S+)$", asked.output, re.MULTILINE))

    def run(self, *command: str) -> Ran:
        """Run a program in it. It never fails a test by itself."""
        return _run([*_ALONE, "--root", str(self.folder), *command])

    def _trusting(self, source: Source) -> Source:
        """The source with its key where the system has keys. A key that it has itself is its own."""
        if not source.signed_by.startswith("/"):
            return source
        path = _KEYRINGS / Path(source.signed_by).name
        there = self.folder / path.relative_to("/")
        if not there.exists():
            shutil.copyfile(source.signed_by, there)
            there.chmod(0o644)  # apt's checker is another user
        return replace(source, signed_by=str(path))


@contextlib.contextmanager
def made(folder: Path, source: Source, url: str) -> Iterator[System]:
    """The smallest system that has apt, from `source` through the cache at `url`. Raises Failed if that can't be."""
    there = below_prefix(source, url)
    keys = ["--keyring", source.signed_by] if source.signed_by.startswith("/") else []
    command = ["debootstrap", "--variant=minbase", "--force-check-gpg", *keys, source.suite, str(folder), there.address]
    try:
        ran = _run([*_ALONE, *command])
        if ran.status:
            raise Failed(f"debootstrap ended with {ran.status}:\n{ran.output}{_log(folder)}")
        _shut(folder)
        yield System(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def release() -> tuple[Source, list[Source]]:
    """The source of the machine's own release, and it with its updates: all that have the same key.

    Raises Failed if there is none.
    """
    sources = own_sources()
    first = next((source for source in sources if not set("-/") & set(source.suite)), None)
    if first is None:
        raise Failed("no source below /etc/apt has the release itself for a suite; write one beside its updates")
    return first, [source for source in sources if source.signed_by == first.signed_by]


def obstacle() -> str:
    """Why no system can be made here and what to do, or nothing."""
    if shutil.which("debootstrap", path=_ENVIRONMENT["PATH"]) is None:
        return "these tests need Debian's debootstrap: apt-get install debootstrap"
    ran = _run([*_ALONE, "true"])
    if ran.status:
        return (
            f"these tests mount and chroot: run them as root, in a container with --privileged ({ran.output.strip()})"
        )
    return ""


def _shut(folder: Path) -> None:
    """Let no name have an address but the system's own."""
    switch = folder / "etc/nsswitch.conf"
    rest = re.sub(r"^hosts:.*\n", "", switch.read_text("utf-8"), flags=re.MULTILINE) if switch.exists() else ""
    switch.write_text(f"{rest}hosts: files\n", "utf-8")
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n", "utf-8")
    for path in (switch, folder / "etc/hosts"):
        path.chmod(0o644)


def _log(folder: Path) -> str:
    log = folder / "debootstrap/debootstrap.log"
    return "".join(log.read_text("utf-8", "replace").splitlines(keepends=True)[-20:]) if log.exists() else ""


def _run(command: Sequence[str]) -> Ran:
    done = subprocess.run(
        command,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    return Ran(done.returncode, done.stdout)
