"""The manifest in a file that a person names: a bundle, of which only the beginning is read, or the manifest alone."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from proxy.bundles import layout, manifest
from proxy.bundles.manifest import BadBundle, Manifest
from proxy.bundles.reading import BundleReading

_PIECE = 1 << 20  # bytes read at once


def read(path: Path) -> Manifest:
    """The manifest of a bundle, or in a file of its own. Raises BadBundle, which names the file, and OSError."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except BadBundle as error:
        raise BadBundle(f"{path}: {error}") from error


def _read(file: IO[bytes]) -> Manifest:
    data = file.read(_PIECE)
    if data.lstrip().startswith(b"{"):
        text = data + file.read(manifest.LONGEST)
        if len(text) > manifest.LONGEST:
            raise BadBundle(f"{layout.MANIFEST} is longer than any is.")
        return manifest.decode(text)
    reading = BundleReading()
    while data:
        for event in reading.feed(data):
            if isinstance(event, Manifest):
                return event
        data = file.read(_PIECE)
    reading.finish()
    raise BadBundle(f"There is no {layout.MANIFEST}.")
