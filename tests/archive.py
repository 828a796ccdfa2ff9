"""An apt archive of the tests' upstream, made here: published again and again, whole or in the middle of a change.

`Archive.state` computes what an archive with given packages is; `show` puts it, or parts of it, onto an `Origin`.
Signatures are text that depends on what is signed: nobody in these tests checks them, but two states never share one.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.bodies import Body, as_body, sha256
from tests.origin import Origin

LONG_AGO = 1_735_689_600.0  # seconds since the epoch: 1 January 2025


@dataclass(frozen=True, slots=True)
class Deb:
    """A package; `path` is what the index calls its file."""

    name: str
    body: Body
    version: str = "1.0"
    folder: str = "pool/main/d/demo/"
    architecture: str = "amd64"

    @property
    def path(self) -> str:
        return f"{self.folder}{self.name}_{self.version}_{self.architecture}.deb"

    def paragraph(self) -> str:
        return (
            f"Package: {self.name}\nVersion: {self.version}\nArchitecture: {self.architecture}\nFilename: {self.path}\n"
            f"Size: {self.body.size}\nSHA256: {sha256(self.body)}\n"
        )


@dataclass(frozen=True, slots=True)
class State:
    """What an archive is at one moment: bodies by path below the suite, and when they were made."""

    release: dict[str, bytes]
    indexes: dict[str, bytes]
    hashed: dict[str, bytes]
    debs: tuple[Deb, ...]
    modified: float

    @property
    def inrelease(self) -> bytes:
        return self.release["InRelease"]


@dataclass(slots=True)
class Archive:
    """An archive with one suite. A flat one has everything in one folder (`root`)."""

    origin: Origin
    root: str = "/debian/"
    suite: str = "stable"
    by_hash: bool = True
    inline: bool = True
    flat: bool = False
    valid_until: float | None = None
    names: Sequence[str] = ("Packages.gz", "Packages")
    architecture: str = "amd64"
    kinds: Sequence[str] = ("SHA256",)
    key: str = ""  # with which it is signed; the signatures of another one have another length if it has
    shown: set[str] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """Where the Release files are."""
        return self.root if self.flat else f"{self.root}dists/{self.suite}/"

    @property
    def binary(self) -> str:
        """Where the indexes are, below `folder`."""
        return "" if self.flat else f"main/binary-{self.architecture}/"

    def state(
        self,
        *debs: Deb,
        modified: float = LONG_AGO,
        date: float | None = None,
        more: str = "",
        further: Mapping[str, bytes] | None = None,
    ) -> State:
        """The archive with these packages. `more`: a further file `Translation-en`, so that there are two indexes.

        `further`: other files that it lists, by path below the suite.
        """
        text = "\n".join(deb.paragraph() for deb in debs).encode()
        forms = {"Packages": text, "Packages.gz": gzip.compress(text, mtime=0)}
        indexes = {f"{self.binary}{name}": forms[name] for name in self.names}
        if more:
            indexes["main/i18n/Translation-en"] = more.encode()
        indexes |= further or {}
        hashed = {}
        for path, body in indexes.items():
            folder, _, _ = path.rpartition("/")
            for kind in self.kinds:
                hashed[f"{folder}/by-hash/{kind}/{_digest(kind, body)}".removeprefix("/")] = body
        listing = self._listing(indexes, modified if date is None else date)
        release = {"InRelease": signed(listing, self.key)} if self.inline else {}
        if not self.inline:
            release = {"Release": listing, "Release.gpg": signature(listing, self.key)}
        return State(release, indexes, hashed if self.by_hash else {}, debs, modified)

    def show(self, state: State, *, release: bool = True, indexes: bool = True, debs: bool = True) -> None:
        """Put a state, or parts of it, where what was there before gives way; what is by hash stays."""
        if release:
            self._put(state.release, state.modified)
        if indexes:
            self._put(state.indexes | state.hashed, state.modified)
        for deb in state.debs if debs else ():
            self.origin.file(self.root + deb.path, deb.body)

    def publish(self, *debs: Deb, modified: float = LONG_AGO, more: str = "") -> State:
        """Show a whole state."""
        state = self.state(*debs, modified=modified, more=more)
        self.show(state)
        return state

    def url(self, path: str) -> str:
        """What the cache's prefix form calls a path below the origin."""
        return f"/{self.origin.host}:{self.origin.port}{path}"

    def _put(self, bodies: dict[str, bytes], modified: float) -> None:
        for path, body in bodies.items():
            self.origin.file(self.folder + path, body, etag=None, last_modified=formatdate(modified, usegmt=True))

    def _listing(self, indexes: dict[str, bytes], date: float) -> bytes:
        lines = [f"Origin: Tests\nSuite: {self.suite}\nCodename: {self.suite}\nDate: {_rfc2822(date)}"]
        if self.valid_until is not None:
            lines.append(f"Valid-Until: {_rfc2822(self.valid_until)}")
        if self.by_hash:
            lines.append("Acquire-By-Hash: yes")
        lines.append(f"Architectures: {self.architecture}\nComponents: main")
        for kind in self.kinds:
            lines += [f"{kind}:", *_rows(kind, indexes.items())]
        return "\n".join([*lines, ""]).encode()


def deb(name: str, content: Body | bytes | str | None = None, version: str = "1.0", folder: str | None = None) -> Deb:
    """A package of this name."""
    body = as_body(f"{name} {version}\n" * 100 if content is None else content)
    return Deb(name, body, version, "pool/main/d/demo/" if folder is None else folder)


def signed(listing: bytes, key: str = "") -> bytes:
    """The clearsigned form of a Release file (RFC 9580 §7)."""
    text = "".join(
        f"{'- ' if line.startswith('-') else ''}{line}\n" for line in listing.decode("latin-1").split("\n")[:-1]
    )
    return f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{text}".encode("latin-1") + signature(listing, key)


def signature(listing: bytes, key: str = "") -> bytes:
    """What stands for a signature of a Release file by a key; what the key is called is part of it."""
    digest = hashlib.sha256(f"signed {key} ".encode() + listing).hexdigest()
    return f"-----BEGIN PGP SIGNATURE-----\n\n{digest}{key}\n-----END PGP SIGNATURE-----\n".encode()


def _rows(kind: str, bodies: Iterable[tuple[str, bytes]]) -> list[str]:
    return [f" {_digest(kind, body)} {len(body):8} {path}" for path, body in bodies]


def _digest(kind: str, body: bytes) -> str:
    """`kind` as Release files call it."""
    return hashlib.new(kind.lower().removesuffix("sum"), body, usedforsecurity=False).hexdigest()


def _rfc2822(seconds: float) -> str:
    return formatdate(seconds, usegmt=True).replace("GMT", "UTC")
