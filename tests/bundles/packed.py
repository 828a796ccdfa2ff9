"""Entries with bodies, and bundles of them as files, made without a store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proxy.bundles.contents import Contents, Distribution
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


@dataclass(frozen=True)
class Packed:
    """What contents come to: the members, and the bodies of those that were made, by path."""

    members: tuple[BundleMember, ...]
    made: Mapping[str, bytes]


def contents(bodies: Mapping[str, bytes] = BODIES, before: Collection[tuple[str, str]] = frozenset()) -> Packed:
    """A bundle of these."""
    return packed([entry(key, body) for key, body in bodies.items()], before=before)


def packed(
    entries: Iterable[Entry],
    shown: Mapping[str, Distribution] = DISTRIBUTIONS,
    before: Collection[tuple[str, str]] = frozenset(),
) -> Packed:
    """The bundle of these entries, of which some are `shown` on pages."""
    with arranged(entries, shown, before) as found:
        members = list(found.members())
        made = {one.path: b"".join(found.list.made(one)) for one in members if one.start is not None}
        return Packed(tuple(msgspec.json.decode(one.line, type=BundleMember) for one in members), made)


@contextmanager
def arranged(
    entries: Iterable[Entry],
    shown: Mapping[str, Distribution] = DISTRIBUTIONS,
    before: Collection[tuple[str, str]] = frozenset(),
) -> Iterator[Contents]:
    """Contents as exports make them: in the order of the keys."""
    with Contents() as made:
        for one in sorted(entries, key=lambda one: one.key):
            if one.key.startswith("digest:"):
                made.add_name(one)
            else:
                made.add(one, shown.get(one.key))
        made.finish(before)
        yield made


@contextmanager
def bundle_tar(
    bodies: Mapping[str, bytes] = BODIES, before: Collection[tuple[str, str]] = frozenset()
) -> Iterator[BundleTar]:
    """A bundle of these that can be written."""
    with arranged([entry(key, body) for key, body in bodies.items()], before=before) as made:
        yield BundleTar(made, CREATED)


def write(
    folder: Path, bodies: Mapping[str, bytes] = BODIES, before: Collection[tuple[str, str]] = frozenset()
) -> Path:
    """A bundle as a file, its bodies straight from files."""
    bundle = folder / "bundle.tar"
    with bundle.open("wb") as file, bundle_tar(bodies, before) as tar:
        tar.write(TarOutlet(file.fileno()), opener(folder, bodies))
    return bundle


def opener(folder: Path, bodies: Mapping[str, bytes] = BODIES) -> OpenBody:
    """Opens bodies, that are files in a folder."""
    by_digest = {sha256(body): body for body in bodies.values()}

    @contextmanager
    def opened(wanted: str) -> Iterator[int]:
        path = folder / f"{wanted}.body"
        path.write_bytes(by_digest[wanted])
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    return opened
