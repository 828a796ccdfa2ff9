"""Whether a bundle is what it says, without any cache: every member is hashed, as an import would. Blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.bundles.claims import BodyHashes, known
from proxy.bundles.manifest import BundleMember
from proxy.bundles.member_table import MemberTable
from proxy.bundles.reading import BundleReading
from proxy.bundles.tar_stream import Ended

_PIECE = 1 << 17  # bytes that are read and hashed at once, while the processor's cache has them


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that is right. `files` of `size` bytes are in it, `elsewhere` so many that an earlier one has.

    `created`: seconds since the epoch.
    """

    created: float
    files: int
    size: int
    elsewhere: int


def verify(path: Path, advanced: Callable[[int, int], None] = lambda _done, _of: None) -> VerifiedBundle:
    """Read all of a bundle. Raises BadBundle, which names the first member that is wrong, and OSError.

    `advanced` is called with bytes done, and of how many.
    """
    hashes = None
    with BundleReading() as reading, path.open("rb") as file:
        done, of = 0, path.stat().st_size
        while data := file.read(_PIECE):
            for event in reading.feed(data):
                match event:
                    case MemberTable():
                        for member in event:
                            known(member, time.time())
                    case BundleMember():
                        hashes = BodyHashes(event)
                    case Ended():
                        assert hashes is not None, "it began"
                        hashes.check()
                    case piece:
                        assert hashes is not None, "it began"
                        hashes.update([piece])
            done += len(data)
            advanced(done, of)
        reading.finish()
        files = size = gone = 0
        for member in reading.members:
            files += not member.elsewhere
            size += 0 if member.elsewhere else member.size
            gone += member.elsewhere
        return VerifiedBundle(reading.created, files, size, gone)
