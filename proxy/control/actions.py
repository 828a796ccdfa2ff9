"""What somebody with the admin token has done to single stored files: removed, refreshed, pinned, unpinned.

On the event loop of the store. Called by `server`, which has asked for the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from proxy.control import selection
from proxy.control.protocol import Action, ActionEnd, ActionWish
from proxy.control.selection import StoredBody
from proxy.ports import Clock
from proxy.storage.disk_health import Undeleted
from proxy.storage.inventory import Inventory


class Actions:
    """Does them. Errors of the disk are StoreError: then nothing was done, or a part of it."""

    def __init__(self, inventory: Inventory, clock: Clock, life: float, forget: Callable[[], None]) -> None:
        """`life`: seconds for which anything is fresh, at most; `forget`: drops answers that are ready to send."""
        self._inventory = inventory
        self._clock = clock
        self._life = life
        self._forget = forget

    async def carry_out(self, stored: Iterable[StoredBody], wish: ActionWish) -> ActionEnd:
        """Do what is wished for. `stored`: all bodies."""
        wanted, stored = set(wish.files), list(stored)
        meant = [body for body in stored if body.sha256 in wanted]
        stay = Undeleted()
        match wish.do:
            case Action.DELETE:
                stay = await self._delete([*meant, *selection.beside(stored, meant)])
            case Action.REFRESH:
                meant = self._refreshed(meant)
            case Action.PIN:
                meant = [body for body in meant if selection.lasting(body)]
                await self._inventory.pin(body.sha256 for body in meant)
            case Action.UNPIN:
                await self._inventory.pin((), wanted)
            case _:
                assert_never(wish.do)
        done, left = [body for body in meant if body.sha256 not in stay.blobs], len(wanted) - len(meant)
        size = sum(body.size for body in done)
        return ActionEnd(wish.do, len(done), size, left, len(stay.blobs), stay.reason or None)

    async def _delete(self, meant: Sequence[StoredBody]) -> Undeleted:
        digests = [body.sha256 for body in meant]
        await self._inventory.pin((), digests)
        removal = await self._inventory.remove(digests)
        self._forget()
        return removal.left

    def _refreshed(self, meant: Iterable[StoredBody]) -> list[StoredBody]:
        before = self._clock.now() - self._life
        refreshed = [
            body for body in meant if [key for key in selection.fleeting(body) if self._inventory.expire(key, before)]
        ]
        self._forget()
        return refreshed
