"""Clients of apt behind one address or one connection: each gets the indexes of the Release file that it was given."""

from __future__ import annotations

import pytest

from tests.archive import LONG_AGO, Archive, State, deb
from tests.flows.apting import Answer, Client, client, start
from tests.flows.asking import SteppedClock
from tests.flows.conftest import MakeClocked
from tests.origin import Origin

ONE, TWO = deb("one"), deb("two")
LATER = LONG_AGO + 3600


@pytest.fixture
def archive(origin: Origin) -> Archive:
    """An archive without addresses by hash: only the connection shows which index is meant."""
    return Archive(origin, by_hash=False)


async def release_and_index(apt: Client, archive: Archive, *fields: str) -> tuple[Answer, Answer]:
    """What a client gets."""
    inrelease = await apt.get(archive.url(f"{archive.folder}InRelease"), *fields)
    return inrelease, await apt.get(archive.url(f"{archive.folder}{archive.binary}Packages.gz"), *fields)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["X-Forwarded-For: 192.0.2.7", "Via: 1.1 proxy"], ["X-Forwarded-For: 192.0.2.8", "Via: 1.1 proxy"]),
        (['Forwarded: for="[2001:db8::7]"'], ['Forwarded: for="[2001:db8::8]"']),
        (["User-Agent: Debian APT-HTTP/1.3 (2.6.1)"], ["User-Agent: Debian APT-HTTP/1.3 (3.0.3)"]),
    ],
    ids=["X-Forwarded-For", "Forwarded", "User-Agent"],
)
async def test_connection__of_several_clients(
    archive: Archive, make_clocked: MakeClocked, clock: SteppedClock, first: list[str], second: list[str]
) -> None:
    """A client with the old list gets its index, though another client got the new one over the same connection."""
    running = await start(make_clocked, archive.origin, window=1)
    before = archive.publish(ONE)
    path = archive.url(f"{archive.folder}{archive.binary}Packages.gz")

    async with client(running) as apt:
        await release_and_index(apt, archive, *first)
        after = archive.publish(TWO, modified=LATER)
        clock.advance(70)
        theirs = await release_and_index(apt, archive, *second)
        index = await apt.get(path, *first)

    assert (after.inrelease, index_of(archive, after)) == (theirs[0].body, theirs[1].body)
    assert index_of(archive, before) == index.body


@pytest.mark.parametrize("fields", [[], ["Via: 1.1 proxy"]], ids=["of its own", "of several"])
async def test_by_hash__of_an_archive_that_has_none(
    archive: Archive, make_clocked: MakeClocked, clock: SteppedClock, fields: list[str]
) -> None:
    """A client that asks by hash all the same (`Acquire::By-Hash "force"`) gets what any known state lists."""
    running = await start(make_clocked, archive.origin, window=1)
    hashed = Archive(archive.origin)
    states = [archive.publish(ONE)]
    async with client(running) as apt:
        await release_and_index(apt, archive, *fields)
        states.append(archive.publish(TWO, modified=LATER))
        clock.advance(70)
        await release_and_index(apt, archive, *fields)
        paths = [next(iter(hashed.state(package).hashed)) for package in (ONE, TWO)]
        got = [await apt.get(archive.url(archive.folder + path), *fields) for path in paths]

    assert [index_of(archive, state) for state in states] == [answer.body for answer in got]


async def test_connection__behind_a_proxy_that_names_nobody(
    archive: Archive, make_clocked: MakeClocked, clock: SteppedClock
) -> None:
    """Where clients cannot be distinguished, one whose state is not known any more gets the present one."""
    running = await start(make_clocked, archive.origin, window=1)
    archive.publish(ONE)
    via = "Via: 1.1 proxy"

    async with client(running) as apt, client(running) as other:
        await release_and_index(apt, archive, via)
        states = [archive.state(deb(f"p{number}"), modified=LONG_AGO + number) for number in range(1, 5)]
        for state in states:
            archive.show(state)
            clock.advance(700)
            await release_and_index(other, archive)
        index = await apt.get(archive.url(f"{archive.folder}{archive.binary}Packages.gz"), via)

    assert (200, index_of(archive, states[-1])) == (index.status, index.body)


def index_of(archive: Archive, state: State) -> bytes:
    """The index that clients use."""
    return state.indexes[f"{archive.binary}Packages.gz"]
