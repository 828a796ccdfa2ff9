"""Which snapshot of a suite a client was given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from proxy.apt import handed_out as module
from proxy.apt import release
from proxy.apt.addresses import ArchiveAddress
from proxy.apt.handed_out import HandedOut
from proxy.apt.suites import Received, ReleaseForm, Snapshot
from proxy.errors import Unsettled
from proxy.model import Client, Entry, Validator
from tests.apt.conftest import SUITE, WALL, listing
from tests.cache.conftest import HandClock

OTHER = replace(SUITE, path="debian/dists/other/")


def snapshot(number: int) -> Snapshot:
    """A snapshot for each number."""
    body = listing({"Packages": bytes(number)})
    entry = Entry("key", "http://x/", release.digest(body), len(body), "", Validator(), WALL, WALL)
    return Snapshot(ReleaseForm.INLINE, Received(entry), release.parse(body, clearsigned=False))


PRESENT, FORMER, FORGOTTEN = (snapshot(number) for number in (3, 2, 1))


class Room:
    """What was handed out of a suite of which two snapshots are known."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.handed_out = HandedOut(self._known, self.clock)

    @staticmethod
    async def _known(suite: ArchiveAddress) -> list[Snapshot]:
        return [PRESENT, FORMER] if suite == SUITE else []


@pytest.fixture
def room() -> Room:
    """A room in which nothing was handed out."""
    return Room()


def test_name__by_connection_before_client(room: Room) -> None:
    """Two clients of one name are distinguished by their connections."""
    one, name = Client("192.0.2.1"), room.handed_out.name
    room.handed_out.note(one, SUITE, FORMER)
    room.handed_out.note(Client("192.0.2.1"), SUITE, PRESENT)

    assert FORMER.name == name(one, SUITE)
    assert PRESENT.name == name(Client("192.0.2.1"), SUITE)
    assert name(Client("192.0.2.2"), SUITE) is None
    assert name(Client("192.0.2.1"), OTHER) is None


def test_name__for_some_minutes(room: Room) -> None:
    """What is known of a client by its name alone is forgotten; a connection remembers."""
    one = Client("192.0.2.1")
    room.handed_out.note(one, SUITE, FORMER)

    room.clock.advance(299)
    assert FORMER.name == room.handed_out.name(Client("192.0.2.1"), SUITE)
    room.clock.advance(1)
    assert room.handed_out.name(Client("192.0.2.1"), SUITE) is None
    assert FORMER.name == room.handed_out.name(one, SUITE)


async def test_snapshot(room: Room) -> None:
    """A client has the one that it was given; one that was given none has the present one, if there is any."""
    client = Client("192.0.2.1")
    assert await room.handed_out.snapshot(client, SUITE) is None
    assert PRESENT is await room.handed_out.snapshot_or_present(client, SUITE)
    assert await room.handed_out.snapshot_or_present(client, OTHER) is None
    room.handed_out.note(client, SUITE, FORMER)

    assert FORMER is await room.handed_out.snapshot(client, SUITE)
    assert FORMER is await room.handed_out.snapshot_or_present(client, SUITE)


async def test_snapshot__forgotten(room: Room) -> None:
    """A client whose snapshot is not known any more has to ask again, if there is no doubt that it was this client."""
    client = Client("192.0.2.1")
    room.handed_out.note(client, SUITE, FORGOTTEN)

    for doubtful in (Client("192.0.2.1"), structs.replace(client, shared=True)):
        assert await room.handed_out.snapshot(doubtful, SUITE) is None
        assert PRESENT is await room.handed_out.snapshot_or_present(doubtful, SUITE)
    with pytest.raises(Unsettled):
        await room.handed_out.snapshot_or_present(client, SUITE)


async def test_for_signature__by_connection(room: Room) -> None:
    """A client that has a list gets its signature, whenever it asks on that connection."""
    client = Client("192.0.2.1")
    for number, pause in enumerate((0, 1, 1000)):
        room.handed_out.note(client, SUITE, FORMER)
        room.clock.advance(pause)
        assert FORMER is await room.handed_out.for_signature(client, SUITE), number
        room.handed_out.note(client, SUITE, FORMER, signature=True)
        assert await room.handed_out.for_list(client, SUITE) is None


async def test_for_signature__by_name(room: Room) -> None:
    """A client whose connection broke gets the signature of its list, if it asks soon; later it may be another one."""
    room.handed_out.note(Client("192.0.2.1"), SUITE, FORMER)

    soon = await room.handed_out.for_signature(Client("192.0.2.1"), SUITE)
    room.clock.advance(5)

    assert FORMER is soon
    assert await room.handed_out.for_signature(Client("192.0.2.1"), SUITE) is None
    assert FORMER is await room.handed_out.snapshot(Client("192.0.2.1"), SUITE)


@pytest.mark.parametrize("connections", [1, 2], ids=["one connection", "one for each"])
async def test_for_list__signature_first(room: Room, connections: int) -> None:
    """Whoever asks for the signature first gets its list then; each time it begins with the present snapshot."""
    one = Client("192.0.2.1")
    other = one if connections == 1 else Client("192.0.2.1")
    for given in (FORMER, PRESENT):
        assert await room.handed_out.for_signature(one, SUITE) is None
        room.handed_out.note(one, SUITE, given, signature=True)
        assert given is await room.handed_out.for_list(other, SUITE)
        assert await room.handed_out.for_list(Client("192.0.2.2"), SUITE) is None
        room.handed_out.note(other, SUITE, given)
        assert await room.handed_out.for_list(other, SUITE) is None
        room.clock.advance(60)


async def test_for_list__signature_long_ago(room: Room) -> None:
    """A list that is asked for later is the present one."""
    client = Client("192.0.2.1")
    room.handed_out.note(client, SUITE, FORMER, signature=True)
    room.clock.advance(5)

    assert await room.handed_out.for_list(client, SUITE) is None


def test_note__is_bounded(room: Room) -> None:
    """Neither a connection nor all clients together can fill the memory."""
    client = Client("192.0.2.1")
    for number in range(module._SUITES + 5):
        room.handed_out.note(client, replace(SUITE, path=f"{number}/"), PRESENT)
    for number in range(module._CLIENTS + 5):
        room.handed_out.note(Client(f"client {number}"), SUITE, PRESENT, signature=True)

    assert module._SUITES == len(client.handed_out)
    assert replace(SUITE, path="0/").key not in client.handed_out
    assert module._CLIENTS == len(room.handed_out._by_name) == len(room.handed_out._signed_first)
