"""Archives of apt packages, made with Debian's own tools: dpkg-deb, apt-ftparchive, gpg. One `State` after another.

Used by the end-to-end tests. `mirror` serves the states; each is whole by itself, as a publisher would leave it.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import itertools
import lzma
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from pathlib import Path
from typing import Self

from tests.e2e.clients import Failed

SUITE = "stable"
_STEP = 90  # seconds between the dates of two states, which lie in the past
_INDEXES: dict[str, Callable[[bytes], bytes]] = {
    "Packages": bytes,
    "Packages.gz": gzip.compress,
    "Packages.bz2": bz2.compress,
    "Packages.xz": lzma.compress,
}


class Layout(Enum):
    """How an archive is laid out."""

    BY_HASH = "by hash"  # a suite below dists/ whose indexes are also there under their hashes
    PLAIN = "plain names"
    FLAT = "flat"  # all in one folder, as NVIDIA's and many small archives
    PAIR = "list and signature apart"  # no InRelease, as made by older tools
    ALL_SUMS = "by hash, sums of all kinds"  # apt asks by the strongest

    @property
    def suite(self) -> str:
        """What stands in a source for the suite."""
        return "./" if self is Layout.FLAT else SUITE

    @property
    def sums(self) -> tuple[str, ...]:
        """The kinds of sums by which the indexes are to be had."""
        return {Layout.BY_HASH: ("SHA256",), Layout.ALL_SUMS: ("MD5Sum", "SHA1", "SHA256", "SHA512")}.get(self, ())

    @property
    def components(self) -> str:
        """What stands in a source for the components."""
        return "" if self is Layout.FLAT else "main"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a state. `modified` in seconds since the epoch."""

    body: bytes
    modified: float


@dataclass(frozen=True, slots=True)
class State:
    """An archive at one time: all its files by path, and the version of each package."""

    files: Mapping[str, File]
    versions: Mapping[str, int]


class Key:
    """A signing key in a folder of its own; `public` is its file for clients. Use as a context manager."""

    def __init__(self) -> None:
        # The agent's socket lies in it, and has to have a short path.
        self._home = Path(tempfile.mkdtemp(prefix="gnupg-"))
        self.public = self._home / "public.gpg"

    def __enter__(self) -> Self:
        try:
            self._gpg("--quick-generate-key", "The tests <nobody@mirror.example>", "ed25519", "sign", "never")
            self._gpg("--export", "--output", str(self.public))
        except BaseException:
            self.__exit__()
            raise
        self.public.chmod(0o644)
        self._home.chmod(0o755)  # apt's checker may be another user
        return self

    def __exit__(self, *_: object) -> None:
        tool(["gpgconf", "--homedir", str(self._home), "--kill", "gpg-agent"])
        shutil.rmtree(self._home, ignore_errors=True)

    def inline(self, release: bytes) -> bytes:
        """An InRelease file."""
        return self._gpg("--clearsign", given=release)

    def detached(self, release: bytes) -> bytes:
        """A Release.gpg file."""
        return self._gpg("--armor", "--detach-sign", given=release)

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        options = ("--batch", "--yes", "--quiet", "--homedir", str(self._home), "--pinentry-mode", "loopback")
        return tool(["gpg", *options, "--passphrase", "", *arguments], given=given)


@dataclass(slots=True)
class Archive:
    """An archive that is published again and again. `names` are those of its packages, each of `size` bytes."""

    folder: Path
    layout: Layout
    key: Key
    names: Iterable[str]
    size: int = 4000
    states: list[State] = field(default_factory=list)
    _versions: dict[str, int] = field(default_factory=dict)
    _pool: dict[str, File] = field(default_factory=dict)
    _hashed: dict[str, File] = field(default_factory=dict)
    _begin: float = 0.0

    def publish(self, *changed: str, at: float | None = None) -> State:
        """A new state in which `changed` packages have a new version; at first all are new.

        `at`: the date of the state, in seconds since the epoch; else a time in the past that is later than the last.
        """
        for name in changed or self.names:
            self._versions[name] = self._versions.get(name, 0) + 1
            self._add(name, self._versions[name])
        self._begin = self._begin or time.time() - 500 * _STEP
        date = at or self._begin + len(self.states) * _STEP
        folder = "" if self.layout is Layout.FLAT else f"dists/{SUITE}/"
        files = self._dists(folder, date)
        self.states.append(State(self._pool | self._hashed | files, dict(self._versions)))
        return self.states[-1]

    def churn(self, steps: int, seed: int) -> None:
        """Publish `steps` times more, each time with one or two changed packages."""
        chance = random.Random(seed)
        names = sorted(self.names)
        for _ in range(steps):
            self.publish(*chance.sample(names, chance.randint(1, 2)))

    def _add(self, name: str, version: int) -> None:
        """Build a package and put it into the pool; the last version goes, as it does in real archives later."""
        pool = self.folder / ("." if self.layout is Layout.FLAT else "pool")
        pool.mkdir(parents=True, exist_ok=True)
        for old in pool.glob(f"{name}_*.deb"):
            old.unlink()
        path = build(pool, name, f"1.{version}", self.size)
        self._pool[str(path.relative_to(self.folder))] = File(path.read_bytes(), path.stat().st_mtime)

    def _dists(self, folder: str, date: float) -> dict[str, File]:
        pool = "." if self.layout is Layout.FLAT else "pool"
        cached = ("--db", str(self.folder / "packages.db"))
        packages = tool(["apt-ftparchive", *cached, "packages", pool], cwd=self.folder)
        at = folder and f"{folder}main/binary-{architecture()}/"
        made = {f"{at}{name}": pack(packages) for name, pack in _INDEXES.items()}
        staging = self.folder.with_name(f"{self.folder.name}-staging") / folder
        for path, body in made.items():
            file = staging / path.removeprefix(folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        for kind, (path, body) in itertools.product(self.layout.sums, made.items()):
            digest = hashlib.new(kind.lower().removesuffix("sum"), body, usedforsecurity=False).hexdigest()
            self._hashed[f"{path.rpartition('/')[0]}/by-hash/{kind}/{digest}"] = File(body, date)
        release = self._release(staging, date)
        made[f"{folder}Release"] = release
        made[f"{folder}Release.gpg"] = self.key.detached(release)
        if self.layout is not Layout.PAIR:
            made[f"{folder}InRelease"] = self.key.inline(release)
        return {path: File(body, date) for path, body in made.items()}

    def _release(self, staging: Path, date: float) -> bytes:
        given = {
            "Origin": "The tests",
            "Suite": SUITE,
            "Codename": SUITE,
            "Architectures": architecture(),
            "Components": "main",
            "Date": formatdate(date, usegmt=True),
        }
        if self.layout.sums:
            given["Acquire-By-Hash"] = "yes"
        options = [
            part for name, value in given.items() for part in ("-o", f"APT::FTPArchive::Release::{name}={value}")
        ]
        if self.layout is not Layout.ALL_SUMS:
            # As Debian's own: apt asks for an index by the strongest hash that is listed.
            options += ["-o", "APT::FTPArchive::SHA512=false"]
        return tool(["apt-ftparchive", *options, "release", "."], cwd=staging)


def build(folder: Path, name: str, version: str, size: int) -> Path:
    """Make a package of about `size` bytes of noise in `folder`."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN").chmod(0o755)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@mirror.example>\n"
        )
        (tree / "DEBIAN/control").write_text(f"{control}Description: one of the tests\n", "utf-8")
        (tree / "usr/share").mkdir(parents=True)
        (tree / "usr/share" / name).write_bytes(os.urandom(size))
        path = folder / f"{name}_{version}_all.deb"
        tool(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(path)])
    return path


def architecture() -> str:
    """What dpkg calls this machine's kind."""
    return tool(["dpkg", "--print-architecture"]).decode().strip()


def tool(command: list[str], *, given: bytes = b"", cwd: Path | None = None) -> bytes:
    """Run a program; gives its output. Raises Failed with what it complained of."""
    done = subprocess.run(command, input=given, capture_output=True, cwd=cwd, timeout=120, check=False)
    if done.returncode:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout
