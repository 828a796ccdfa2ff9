"""Members of a bundle with short bodies, taken in many at once: what one of them alone costs is waiting for threads.

All are compared with what the manifest says of them before any is stored. What was stored of a batch is whole, also
where one of its members is wrong: those before it are taken in. Called by `importing`, on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from proxy.bundles.addresses import Addresses
from proxy.bundles.claims import BodyHashes
from proxy.bundles.manifest import BadBundle, BundleMember
from proxy.cache.workers import Workers
from proxy.errors import StoreBroken
from proxy.model import Digest, Entry
from proxy.ports import Store

_MOST_BYTES = 4 << 20
_MOST = 500
_TURN = 50  # members that are looked at in one go


class ShortMember(NamedTuple):
    """A member with its body, and those of its entries that mean something here."""

    member: BundleMember
    entries: Sequence[Entry]
    body: bytes


class Taken(NamedTuple):
    """What came of a batch: `files` of `size` bytes in all were stored, of `here` the bodies were here before."""

    files: int
    size: int
    here: int


class ShortMembers:
    """Gathers them, and takes a batch in."""

    def __init__(self, store: Store, hashing: Workers, addresses: Addresses) -> None:
        self._store = store
        self._hashing = hashing
        self._addresses = addresses
        self._gathered: list[ShortMember] = []
        self._size = 0

    def add(self, one: ShortMember) -> bool:
        """Gather one more. Whether there are so many now that they are to be taken in."""
        self._gathered.append(one)
        self._size += len(one.body)
        return len(self._gathered) >= _MOST or self._size >= _MOST_BYTES

    def gathered(self) -> list[ShortMember]:
        """Those that were gathered; none of them is any more."""
        found, self._gathered, self._size = self._gathered, [], 0
        return found

    async def take_in(self, batch: Sequence[ShortMember]) -> Taken:
        """Have what is wanted of a batch stored, and its entries. Raises BadBundle, StoreBroken."""
        sound, wrong = await self._hashing.run(_compared, batch)
        bodies: dict[str, bytes] = {}
        here = 0
        for number, one in enumerate(sound):
            await _give_way(number)
            sha256 = one.member.sha256
            if sha256 in bodies or self._store.blob(Digest("sha256", sha256)) is not None:
                here += bool(one.member.entries)
            elif self._addresses.is_body_wanted(one.member, one.entries):
                bodies[sha256] = one.body
        if bodies and not await self._store.put_all(list(bodies.items())):
            raise StoreBroken("The disk of the data folder takes no more, or fails. The log of the cache says why.")
        for number, one in enumerate(sound):
            await _give_way(number)
            await self._addresses.save(one.member, one.entries)
        if wrong is not None:
            raise wrong
        return Taken(len(bodies), sum(map(len, bodies.values())), here)


async def _give_way(number: int) -> None:
    """Let others have their turn now and then: each entry is a look into the index."""
    if number % _TURN == _TURN - 1:
        await asyncio.sleep(0)


def _compared(batch: Sequence[ShortMember]) -> tuple[Sequence[ShortMember], BadBundle | None]:
    """In a thread: the members before the first one that is wrong, and what is wrong with that."""
    for number, one in enumerate(batch):
        hashes = BodyHashes(one.member)
        hashes.update([one.body])
        try:
            hashes.check()
        except BadBundle as error:
            return batch[:number], error
    return batch, None
