"""A model of an archive, published, half published, signed again, rolled back, forgotten, against clients of apt.

Whatever happens in whatever order: a client that gets all that it asks for gets what belongs together, and once the
archive is whole for a while, what the archive has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.apt import release, suites
from proxy.apt.policy import Policy
from proxy.apt.service import AptArchives
from proxy.errors import NotFound, PullthroughError
from proxy.model import Client, Digest, Query
from tests.apt.conftest import OLD, SUITE, World, content, settle, world_of
from tests.archive import signature, signed
from tests.memory_upstream import Scripted

PLAIN, PACKED = "main/binary-amd64/Packages", "main/i18n/Translation-en"
KINDS = {"SHA256": "sha256", "SHA512": "sha512", "SHA1": "sha1", "MD5Sum": "md5"}


@dataclass(frozen=True)
class Shape:
    """What kind of archive it is."""

    inline: bool
    by_hash: bool
    kinds: tuple[str, ...]
    dates: bool  # whether its files have honest dates, or none


@dataclass(frozen=True)
class State:
    """One publication. `made` is its Date, `written` when its files were put there: seconds since the epoch."""

    number: int
    made: float
    key: str = ""
    written: float = 0.0

    def indexes(self) -> dict[str, bytes]:
        return {path: f"{path} of {self.number}\n".encode() * (1 + self.number % 3) for path in (PLAIN, PACKED)}

    def listing(self, shape: Shape) -> bytes:
        lines = [f"Suite: stable\nDate: {formatdate(self.made, usegmt=True)}"]
        if shape.by_hash:
            lines.append("Acquire-By-Hash: yes")
        for kind in shape.kinds:
            lines.append(f"{kind}:")
            lines += [f" {digest(kind, body)} {len(body)} {path}" for path, body in self.indexes().items()]
        return "\n".join([*lines, ""]).encode()


def digest(kind: str, body: bytes) -> str:
    """A sum as Release files write it."""
    return hashlib.new(KINDS[kind], body, usedforsecurity=False).hexdigest()


@dataclass
class Publisher:
    """The archive. What it shows is what upstream has."""

    world: World
    shape: Shape
    count: int = 0
    last: float = 0.0
    whole: bool = True
    since: float = 0.0  # since when it is not
    shown: dict[str, bytes] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)

    def next(self) -> State:
        """A state that is not shown yet."""
        self.count += 1
        return State(self.count, self.moment(), written=self.last + 2)

    def moment(self) -> float:
        """When the archive does the next thing, in the recent past: a signature is older than the list after it."""
        self.last = max(self.last + 20, self.world.clock.now() - 900)
        return self.last

    def show(self, state: State, *, release: bool = True, indexes: bool = True, signed_: bool = True) -> None:
        """Show a state, or parts of it."""
        listing = state.listing(self.shape)
        if indexes:
            for path, body in state.indexes().items():
                self._put(path, body, state)
                folder = path.rpartition("/")[0]
                for kind in self.shape.kinds if self.shape.by_hash else ():
                    self._put(f"{folder}/by-hash/{kind}/{digest(kind, body)}", body, state)
        if self.shape.inline:
            if release:
                self._put("InRelease", signed(listing, state.key), state)
            for name in ("Release", "Release.gpg"):
                self._take(name)
            return
        self._take("InRelease")
        if release:
            self._put("Release", listing, state)
        if signed_:
            self._put("Release.gpg", signature(listing, state.key), state)

    def publish(self, state: State) -> None:
        """Show a whole state."""
        self.show(state)
        self.whole = True
        self.states.append(state)

    def half(self) -> None:
        """What is shown is none of its states."""
        self.since = self.world.clock.now() if self.whole else self.since
        self.whole = False

    def lists(self) -> dict[str, bytes]:
        """The Release files that it has."""
        return {name: self.shown[name] for name in ("InRelease", "Release", "Release.gpg") if name in self.shown}

    def _put(self, path: str, body: bytes, state: State) -> None:
        self.shown[path] = body
        self.world.put(path, body, modified=state.written if self.shape.dates else None)

    def _take(self, path: str) -> None:
        self.shown.pop(path, None)
        self.world.upstream.on(replace(SUITE, path=SUITE.path + path).url, Scripted(status=404))


class Clients:
    """The cache, and those who ask it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        self.cold = True  # nothing whole was served: the cache cannot know better than the archive
        self.torn = False  # a list may be in the store without its signature
        self.start()

    def start(self) -> None:
        """The program starts, with what is in the store."""
        self.archives: AptArchives = self.world.service(Policy(window=20.0, retries=0))

    async def restart(self) -> None:
        """The program ends, and starts again."""
        await settle(self.world)
        await self.archives.close()
        self.cold = self.cold or self.torn
        self.start()

    async def update(self, kind: str | None) -> dict[str, bytes] | None:
        """What a new client has after `apt-get update`; None where it fails. `kind`: by which sum it asks."""
        self.number += 1
        memory: dict[str, str] = {}

        async def get(path: str) -> bytes:
            request = Query(
                replace(SUITE, path=SUITE.path + path), client=Client(f"client {self.number}", handed_out=memory)
            )
            return await content(self.world, (await self.archives.answer(request)).body)

        try:
            try:
                got = {"InRelease": await get("InRelease")}
            except NotFound:
                got = {"Release": await get("Release")}
                got["Release.gpg"] = await get("Release.gpg")
            listing = next(iter(got.values()))
            for path, listed in release.parse(listing, clearsigned="InRelease" in got).files.items():
                name = path
                if kind is not None:
                    one = next((one for one in listed.digests if one.algorithm == KINDS[kind]), None)
                    if one is not None:
                        name = f"{path.rpartition('/')[0]}/by-hash/{kind}/{one.value}"
                got[path] = await get(name)
        except PullthroughError:
            return None
        return got


def belongs_together(got: dict[str, bytes]) -> bool:
    """Whether apt would take it."""
    if "Release" in got and not any(
        got["Release.gpg"] == signature(got["Release"], key) for key in ("", "another key")
    ):
        return False
    listing = next(iter(got.values()))
    files = release.parse(listing, clearsigned="InRelease" in got).files
    return all(
        Digest(one.algorithm, hashlib.new(one.algorithm, got[path], usedforsecurity=False).hexdigest()) == one
        for path, listed in files.items()
        for one in listed.digests
    )


Step = Callable[[Publisher, Clients], Awaitable[None]]


async def publish(archive: Publisher, _: Clients) -> None:
    """A new state, whole."""
    archive.publish(archive.next())


async def list_first(archive: Publisher, _: Clients) -> None:
    """The list and its signature of a state whose indexes are to come."""
    archive.show(archive.next(), indexes=False)
    archive.half()


async def indexes_first(archive: Publisher, _: Clients) -> None:
    """The indexes of a state whose list is to come."""
    archive.show(archive.next(), release=False, signed_=False)
    archive.half()


async def list_alone(archive: Publisher, _: Clients) -> None:
    """The list and indexes of a state whose signature is to come."""
    archive.show(archive.next(), signed_=False)
    archive.half()


async def sign_again(archive: Publisher, _: Clients) -> None:
    """The same state with a signature of another key."""
    if archive.states and archive.whole:
        archive.publish(replace(archive.states[-1], key="another key", written=archive.moment()))


async def roll_back(archive: Publisher, _: Clients) -> None:
    """The state before, as it was."""
    if len(archive.states) > 1:
        archive.publish(archive.states[-2])


async def lag(archive: Publisher, clients: Clients) -> None:
    """For one look an older mirror answers."""
    if len(archive.states) > 1 and archive.whole:
        present = archive.states[-1]
        archive.show(archive.states[-2])
        archive.world.clock.advance(21)
        await clients.update(None)
        archive.show(present)


async def change_form(archive: Publisher, _: Clients) -> None:
    """From InRelease to a pair or back, with a new state."""
    if archive.shape.dates:
        archive.shape = replace(archive.shape, inline=not archive.shape.inline)
        archive.publish(archive.next())


async def restart(_: Publisher, clients: Clients) -> None:
    """The cache starts anew."""
    await clients.restart()


async def evict(archive: Publisher, clients: Clients) -> None:
    """The room is needed for something else."""
    await settle(archive.world)
    for key in list(archive.world.store.keys("apt:"))[::2]:
        await archive.world.store.forget(key)
    clients.cold = clients.torn = True


def wait(seconds: float) -> Step:
    """Time passes."""

    async def step(archive: Publisher, _: Clients) -> None:
        archive.world.clock.advance(seconds)

    step.__name__ = f"wait({seconds})"
    return step


steps = st.sampled_from(
    [
        publish,
        list_first,
        indexes_first,
        list_alone,
        sign_again,
        roll_back,
        lag,
        change_form,
        restart,
        evict,
        wait(1),
        wait(21),
        wait(70),
        wait(3600),
        wait(90_000),
    ]
)
shapes = st.builds(
    Shape,
    inline=st.booleans(),
    by_hash=st.booleans(),
    kinds=st.sampled_from([("SHA256",), ("SHA512",), ("MD5Sum", "SHA1"), ("MD5Sum", "SHA1", "SHA256", "SHA512")]),
    dates=st.booleans(),
).filter(
    lambda shape: shape.inline or shape.dates
)  # only dates and keys show whether a list and a signature are a pair


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(shape=shapes, history=st.lists(steps, min_size=3, max_size=25))
async def test_suite__whatever_the_archive_does(shape: Shape, history: list[Step]) -> None:
    """No halves from a cache that had something whole, and nothing that stays wrong."""
    async with world_of() as world:
        archive, clients = Publisher(world, shape), Clients(world)
        archive.publish(State(0, OLD, written=OLD + 60))
        try:
            for step in history:
                await step(archive, clients)
                if not archive.whole and world.clock.now() - archive.since >= suites.HOLD_SHORT:
                    clients.cold = True  # halves that stay are what the archive has
                for kind in (None, *shape.kinds[-1:]) if shape.by_hash else (None,):
                    got = await clients.update(kind)
                    assert got is None or clients.cold or belongs_together(got), step.__name__
                    if got is not None and belongs_together(got):
                        clients.cold = False
            archive.publish(archive.next())
            for _ in range(3):
                world.clock.advance(150)
                await clients.update(None)
            world.clock.advance(150)
            got = await clients.update(None)
            assert got is not None
            assert archive.lists() == {name: got[name] for name in got if name in archive.lists()}
            assert belongs_together(got)
        finally:
            with suppress(PullthroughError):
                await settle(world)
            await clients.archives.close()
