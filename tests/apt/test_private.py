"""What one client gets of an archive that asks for credentials. The flows test what goes over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.policy import Archive, Policy
from proxy.apt.private import PrivateArchives
from proxy.apt.service import AptArchives
from proxy.cache.passthrough import Passthrough
from proxy.config.addresses import UrlPrefix
from proxy.errors import ClientDenied, UpstreamDenied
from proxy.model import Query
from tests.apt.conftest import World
from tests.memory_upstream import Scripted

POLICY = Policy(
    window=60.0,
    archives=(
        Archive(UrlPrefix.read("deb.example"), client_credentials=True),
        Archive(UrlPrefix.read("own.example"), authenticated=True),
    ),
)
FILE = ArchiveAddress("https", "deb.example", "debian/pool/demo_1.0_amd64.deb")


def asked(host: str = "deb.example", said: str | None = "Basic bWU6") -> Query[ArchiveAddress]:
    """A request of somebody who says who it is, or does not."""
    return Query(ArchiveAddress("https", host, FILE.path), authorization=said)


@pytest.fixture
async def service(world: World) -> AsyncIterator[AptArchives]:
    """The room."""
    made = world.service(POLICY)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [(asked(), True), (asked(said=None), False), (asked("own.example"), False), (asked("other.example"), False)],
)
def test_concerns(world: World, query: Query[ArchiveAddress], expected: bool) -> None:
    """It is for one client where that says who it is and the settings pass it on."""
    assert expected == PrivateArchives(POLICY, world.downloads).concerns(query)


async def test_answer__kept_for_nobody(world: World, service: AptArchives) -> None:
    """Upstream gets the client's credentials each time; nothing is stored."""
    world.upstream.on(FILE.url, Scripted(b"!<arch>\n" + b"x" * 100))
    for _ in range(2):
        shown = await service.answer(asked())
        assert isinstance(shown.body, Passthrough)
        assert 108 == len(b"".join([chunk async for chunk in shown.body.chunks()]))
        await shown.body.close()

    assert ["Basic bWU6"] * 2 == [ask.headers.get("Authorization") for ask in world.upstream.asks]
    assert [] == list(world.store.keys(""))
    assert "bWU6" not in repr(asked())


@pytest.mark.parametrize(
    ("query", "kind", "word"),
    [
        (asked(), ClientDenied, "auth.conf"),
        (asked(said=None), ClientDenied, "auth.conf"),
        (asked("other.example"), UpstreamDenied, "client_credentials"),
        (asked("other.example", None), UpstreamDenied, "original"),
        (asked("own.example"), UpstreamDenied, "original"),
    ],
)
def test_explained(world: World, query: Query[ArchiveAddress], kind: type[UpstreamDenied], word: str) -> None:
    """A client learns what it can do about a refusal."""
    error = PrivateArchives(POLICY, world.downloads).explained(query, UpstreamDenied("original"))

    assert (kind, True) == (type(error), word in str(error))
