"""Small packages made for a test: wheels and sdists that pip and uv install, of any size, the same every time.

`Origin.publish` serves them. A large wheel costs no memory: its padding is `bodies.Noise`, read when it is sent.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bodies import Body, Joined, Noise, Plain, pieces, sha256
from tests.pages import Link

_MOMENT = (2025, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """A file of a project. `metadata` is what its `.metadata` file holds; None for an sdist."""

    project: str
    version: str
    filename: str
    body: Body
    metadata: bytes | None = None
    requires_python: str | None = None

    @property
    def sha256(self) -> str:
        """Digest of the whole file, in hexadecimal."""
        return sha256(self.body)

    def link(self, url: str) -> Link:
        """The link of an index page to this file at `url`, with all that can be said of it."""
        return Link(
            filename=self.filename,
            url=url,
            sha256=self.sha256,
            size=self.body.size,
            requires_python=self.requires_python,
            metadata=None if self.metadata is None else hashlib.sha256(self.metadata).hexdigest(),
        )


class _Sink(io.RawIOBase):
    """Where zipfile writes to: keeps what it writes, but for padding, which is remembered as a description."""

    def __init__(self) -> None:
        self.parts: list[Body] = []
        self.silent = False

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        data = bytes(content)  # type: ignore[call-overload]
        if not self.silent:
            self.parts.append(Plain(data))
        return len(data)


@functools.lru_cache(maxsize=128)
def wheel(
    project: str = "demo",
    version: str = "1.0",
    *,
    requires: tuple[str, ...] = (),
    requires_python: str | None = None,
    padding: int = 0,
    seed: int = 0,
    tag: str = "py3-none-any",
) -> Package:
    """A pure wheel with one module that knows its version, and `padding` further bytes that depend on `seed`.

    The local version label may hold a plus sign, which is what makes an address of it interesting.
    """
    name = re.sub(r"[-_.]+", "_", project).lower()
    info = f"{name}-{version}.dist-info"
    metadata = _metadata(project, version, requires, requires_python)
    members: dict[str, Body] = {f"{name}/__init__.py": Plain(f'__version__ = "{version}"\n'.encode())}
    if padding:
        members[f"{name}/padding.bin"] = Noise(padding, seed)
    members[f"{info}/METADATA"] = Plain(metadata)
    members[f"{info}/WHEEL"] = Plain(
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    members[f"{info}/RECORD"] = Plain(_record(members, f"{info}/RECORD"))
    normalized = re.sub(r"[-_.]+", "-", project).lower()
    filename = f"{name}-{version}-{tag}.whl"
    return Package(normalized, version, filename, _zipped(members), metadata, requires_python)


@functools.lru_cache(maxsize=128)
def sdist(
    project: str = "demo", version: str = "1.0", *, requires: tuple[str, ...] = (), pyproject: str = ""
) -> Package:
    """A source archive with the backend of setuptools, unless `pyproject` names another; nothing here builds it.

    `pyproject` is what its pyproject.toml holds beside the project's table.
    """
    name = re.sub(r"[-_.]+", "_", project).lower()
    members = {
        "PKG-INFO": _metadata(project, version, requires, None),
        "pyproject.toml": f'[project]\nname = "{project}"\nversion = "{version}"\n{pyproject}'.encode(),
        f"{name}/__init__.py": f'__version__ = "{version}"\n'.encode(),
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in members.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    return Package(re.sub(r"[-_.]+", "-", project).lower(), version, f"{name}-{version}.tar.gz", Plain(packed))


def _metadata(project: str, version: str, requires: Sequence[str], requires_python: str | None) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {project}", f"Version: {version}"]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return ("\n".join(lines) + "\n").encode()


def _record(members: dict[str, Body], own: str) -> bytes:
    rows = []
    for path, body in members.items():
        digest = base64.urlsafe_b64encode(bytes.fromhex(sha256(body))).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{body.size}")
    return "\n".join([*rows, f"{own},,", ""]).encode()


def _zipped(members: dict[str, Body]) -> Body:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:  # stored, not compressed: so that sizes are what was asked for
        for path, body in members.items():
            entry = zipfile.ZipInfo(path, _MOMENT)
            entry.file_size = body.size
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w") as member:
                sink.silent = isinstance(body, Noise)
                for piece in pieces(body):
                    member.write(piece)
                if sink.silent:
                    sink.parts.append(body)
                sink.silent = False
    return Joined(tuple(_merged(sink.parts)))


def _merged(parts: list[Body]) -> list[Body]:
    merged: list[Body] = []
    for part in parts:
        if merged and isinstance(part, Plain) and isinstance(last := merged[-1], Plain):
            merged[-1] = Plain(last.content + part.content)
        else:
            merged.append(part)
    return merged
