"""Long bodies, taken off their connection: with the real client over real connections."""

from __future__ import annotations

import hashlib
import ssl

import pytest

from proxy.errors import UpstreamBroken, UpstreamTimeout
from proxy.model import Ask, Site
from proxy.ports import Reply
from tests import faults
from tests.bodies import Noise, sha256
from tests.gates import Gate
from tests.origin import Origin
from tests.upstream.conftest import Make, Seen

BODY = Noise(5_000_000, seed=7)


def ask(origin: Origin) -> Ask:
    """A request of the one file."""
    return Ask(f"{origin.url}/file", Site("demo", f"{origin.url}/", "", 600.0))


async def read(reply: Reply, size: int = 300_000) -> bytes:
    """The whole body, through a buffer of `size` bytes."""
    got, buffer = b"", memoryview(bytearray(size))
    while filled := await reply.readinto(buffer):
        got += bytes(buffer[:filled])
    return got


@pytest.mark.parametrize("secure", [False, True])
async def test_readinto__and_the_connection_serves_again(
    secure: bool, origin: Origin, secure_origin: Origin, make: Make, seen: Seen
) -> None:
    """The body arrives whole and is counted; the next request needs no new connection, with and without TLS."""
    chosen = secure_origin if secure else origin
    chosen.file("/file", BODY)
    client = make(ssl_context=ssl.create_default_context())
    for size in (300_000, 7_000_000):
        async with client.get(ask(chosen)) as reply:
            body = await read(reply, size)
        assert sha256(BODY) == hashlib.sha256(body).hexdigest()
    assert (1, 2 * BODY.size) == (chosen.accepted, seen.fetched)


@pytest.mark.parametrize("reset", [False, True])
async def test_readinto__connection_ends_in_the_middle(reset: bool, origin: Origin, make: Make, seen: Seen) -> None:
    """What came is given, the rest is a failure; the next request is right."""
    origin.file("/file", BODY)
    origin.misbehave("/file", faults.cut(2_000_000, reset=reset), times=1)
    client = make()
    async with client.get(ask(origin)) as reply:
        with pytest.raises(UpstreamBroken):
            await read(reply)
    assert ["broken"] == seen.failures
    async with client.get(ask(origin)) as reply:
        assert sha256(BODY) == hashlib.sha256(await read(reply)).hexdigest()


async def test_readinto__left_in_the_middle(origin: Origin, make: Make) -> None:
    """A body that nobody reads on costs its connection, not the next request."""
    origin.file("/file", BODY)
    client = make()
    async with client.get(ask(origin)) as reply:
        assert await reply.readinto(memoryview(bytearray(1_000_000))) > 0
        assert await reply.readinto(memoryview(bytearray(1_000_000))) > 0
    async with client.get(ask(origin)) as reply:
        assert sha256(BODY) == hashlib.sha256(await read(reply)).hexdigest()


async def test_readinto__silence(origin: Origin, make: Make, seen: Seen) -> None:
    """A body that stalls is a timeout, after what came before."""
    origin.file("/file", BODY)
    gate = Gate()
    origin.misbehave("/file", faults.hold_body(2_000_000, gate))
    client = make(read_timeout=0.2)
    got = 0
    async with client.get(ask(origin)) as reply:
        buffer = memoryview(bytearray(300_000))
        with pytest.raises(UpstreamTimeout):
            while True:
                got += await reply.readinto(buffer)
    gate.open()
    assert (2_000_000, ["timeout"]) == (got, seen.failures)


async def test_readinto__pieces_that_trickle(origin: Origin, make: Make) -> None:
    """What arrives is handed over while the rest is not there yet."""
    origin.file("/file", BODY)
    gate = Gate()
    origin.misbehave("/file", faults.hold_body(1_000_003, gate))
    got = 0
    async with make().get(ask(origin)) as reply:
        buffer = memoryview(bytearray(5_000_000))
        while got < 1_000_003:
            got += await reply.readinto(buffer[got:])
        gate.open()
        while size := await reply.readinto(buffer[got:]):
            got += size
    assert (BODY.size, sha256(BODY)) == (got, hashlib.sha256(buffer).hexdigest())
