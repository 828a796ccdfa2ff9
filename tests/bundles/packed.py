"""Entries with bodies, and bundles of them as files, made without a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proxy.bundles.contents import Contents, Distribution, arrange
from proxy.bundles.manifest import BundleMember
from proxy.bundles.tar_writer import BundleTar, OpenBody, TarOutlet
from proxy.model import Digest, Entry, Validator

CREATED = 1_790_000_000.5
WHEEL = "file:pypi:demo:files.example:a/demo-1-py3-none-any.whl"
METADATA = f"{WHEEL}.metadata"
SDIST = "file:pypi:demo::old/demo-0.9.tar.gz"
PAGE = "page:pypi:demo:simple/demo/"
PACKAGE = "apt:file:http://deb.example/debian/pool/main/d/demo/demo_1_all.deb"
RELEASE = "apt:release:http://deb.example/debian/dists/sid/:InRelease"
BODIES = {
    WHEEL: b"wheel" * 100_000,
    METADATA: b"Metadata-Version: 2.1\n",
    SDIST: b"sdist" * 1000,
    PAGE: b"<!DOCTYPE html>",
    PACKAGE: b"deb" * 333,
    RELEASE: b"Suite: sid\n",
}
DISTRIBUTIONS = {
    WHEEL: Distribution("demo", "demo-1-py3-none-any.whl", ">=3.9,<4"),
    SDIST: Distribution("demo", "demo-0.9.tar.gz", None, "broken & old"),
}


def sha256(body: bytes) -> str:
    """Of a body."""
    return hashlib.sha256(body).hexdigest()


def entry(key: str, body: bytes) -> Entry:
    """What a store knows of it."""
    digest = Digest("sha256", sha256(body))
    return Entry(key, f"https://{key}", digest, len(body), "x/y", Validator(), 1_789_000_000.25, 1_789_000_001.0)


def contents(bodies: Mapping[str, bytes] = BODIES, before: Collection[tuple[str, str]] = frozenset()) -> Contents:
    """A bundle of these."""
    return arrange([entry(key, body) for key, body in bodies.items()], DISTRIBUTIONS, before)


def write(
    folder: Path, bodies: Mapping[str, bytes] = BODIES, before: Collection[tuple[str, str]] = frozenset()
) -> Path:
    """A bundle as a file, its bodies straight from files."""
    bundle = folder / "bundle.tar"
    with bundle.open("wb") as file:
        BundleTar(contents(bodies, before), CREATED).write(TarOutlet(file.fileno()), opener(folder, bodies))
    return bundle


def opener(folder: Path, bodies: Mapping[str, bytes] = BODIES) -> OpenBody:
    """Opens bodies, that are files in a folder."""
    by_digest = {sha256(body): body for body in bodies.values()}

    @contextmanager
    def opened(member: BundleMember) -> Iterator[int]:
        path = folder / f"{member.sha256}.body"
        path.write_bytes(by_digest[member.sha256])
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    return opened
