"""Reading behind a flight's writer, chunk by chunk: for those who cannot use sendfile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from proxy.cache.flight import Flight

_PIECE = 1 << 20  # bytes


async def follow(flight: Flight, position: int) -> AsyncGenerator[bytes]:
    """The bytes of a started flight from `position` to its end, as they become readable. Raises its error."""
    assert flight.spool is not None, "a flight that started has a spool"
    more = asyncio.Event()
    stop = flight.listen(more.set)
    try:
        with flight.share():
            while True:
                more.clear()
                over = flight.over
                end = flight.readable(position)
                if end > position:
                    piece = await flight.spool.read(position, min(end - position, _PIECE))
                    yield piece
                    position += len(piece)
                elif flight.error is not None:
                    raise flight.error.again()
                elif over:
                    return
                else:
                    await more.wait()
    finally:
        stop()


async def landing(flight: Flight) -> None:
    """Wait until nothing more will come. Raises the flight's error."""
    over = asyncio.Event()
    stop = flight.listen(lambda: over.set() if flight.over else None)
    try:
        if not flight.over:
            await over.wait()
    finally:
        stop()
    if flight.error is not None:
        raise flight.error.again()
