"""Tars and bundles for the tests of this room: well made ones, and such as nobody makes by mistake."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping

from proxy.bundles.layout import MANIFEST
from proxy.bundles.manifest import BundleMember, encode
from proxy.model import Digest, Entry, Validator


def tar(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of regular files, in this order."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for path, body in files.items() if isinstance(files, Mapping) else files:
            archive.addfile(_info(path, len(body)), io.BytesIO(body))
    return made.getvalue()


def header(path: str, kind: bytes = tarfile.REGTYPE, size: int = 0, pax: Mapping[str, str] | None = None) -> bytes:
    """The header of one member, with nothing behind it."""
    info = _info(path, size)
    info.type = kind
    info.linkname = "elsewhere" if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
    info.pax_headers = dict(pax or {})
    return info.tobuf(tarfile.PAX_FORMAT)


def block(body: bytes) -> bytes:
    """A body with what fills its last block."""
    return body + bytes(-len(body) % 512)


END = bytes(1024)


def _info(path: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size = size
    info.mtime = 1_790_000_000
    return info


def entry(key: str, body: bytes, checked: float = 1_789_000_000.0, promised: Digest | None = None) -> Entry:
    """What a cache knows of an address with this body."""
    return Entry(
        key,
        "https://files.example/demo",
        Digest("sha256", sha256(body)),
        len(body),
        "application/octet-stream",
        Validator('"e"'),
        checked,
        checked,
        promised,
    )


def member(path: str, body: bytes, *keys: str | Entry, elsewhere: bool = False) -> BundleMember:
    """A member of a bundle: what has this body, at these addresses."""
    entries = tuple(entry(key, body) if isinstance(key, str) else key for key in keys)
    return BundleMember(path, len(body), sha256(body), entries, elsewhere)


def bundle(*parts: tuple[BundleMember, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A bundle of these members, with their bodies but for those that are elsewhere."""
    text = b"".join(encode(1_790_000_000.0, [one for one, _ in parts]))
    return tar([(MANIFEST, text), *((one.path, body) for one, body in parts if not one.elsewhere)], form)


def sha256(body: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(body).hexdigest()


async def pieces(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """The bytes as they arrive."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
