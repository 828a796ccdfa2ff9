"""The manifest in a file that a person names: a bundle, of which only the beginning is read, or the manifest alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from proxy.bundles import layout, manifest
from proxy.bundles.manifest import BadBundle, BundleMember, Manifest
from proxy.bundles.manifest_reading import ManifestReading
from proxy.bundles.tar_stream import Began, Ended, TarStream, shown

_PIECE = 1 << 18  # bytes read at once


def read(path: Path) -> Manifest:
    """The manifest of a bundle, or in a file of its own. Raises BadBundle, which names the file, and OSError."""
    reading = ManifestReading()
    members = tuple(_named(path, reading))
    return Manifest(reading.created, members)


def members(path: Path) -> Iterator[BundleMember]:
    """What `read` gives, one after another: memory does not grow with it."""
    return _named(path, ManifestReading())


def _named(path: Path, reading: ManifestReading) -> Iterator[BundleMember]:
    try:
        for piece in _pieces(path):
            yield from reading.feed(piece)
        yield from reading.finish()
    except BadBundle as error:
        raise BadBundle(f"{path}: {error}") from error


def _pieces(path: Path) -> Iterator[bytes | memoryview]:
    """The text of the manifest."""
    with path.open("rb") as file:
        data = file.read(_PIECE)
        if data.lstrip().startswith(b"{"):
            size = 0
            while data:
                yield data
                size += len(data)
                if size > manifest.LONGEST:
                    raise BadBundle(f"{layout.MANIFEST} is longer than any is.")
                data = file.read(_PIECE)
            return
        tar = TarStream()
        while data:
            for event in tar.feed(data):
                if isinstance(event, memoryview):
                    yield event
                elif isinstance(event, Ended):
                    return
                else:
                    _refuse_other(event)
            data = file.read(_PIECE)
        tar.finish()
        raise BadBundle(f"There is no {layout.MANIFEST}.")


def _refuse_other(event: Began) -> None:
    if event.path != layout.MANIFEST:
        raise BadBundle(f"This is no bundle: it begins with {shown(event.path)}, and not with {layout.MANIFEST}.")
    if event.size > manifest.LONGEST:
        raise BadBundle(f"{layout.MANIFEST} is longer than any is.")
