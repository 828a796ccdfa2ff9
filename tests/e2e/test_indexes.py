"""The real pip and the real uv install through the cache from indexes that answer as those of wheels do.

Cold, warm, with the index stopped, and after it dropped the pinned version: what was installed once can be installed
again, and costs the line nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.e2e.clients import Client, Uv, serving, tree
from tests.e2e.stands import STANDS, MakeStand, settings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_FETCHED = "pullthrough_fetched_bytes_total"
_SENT = "pullthrough_sent_bytes_total"


@pytest.mark.parametrize("make", STANDS, ids=lambda make: make.__name__)
async def test_install__from_each_index(
    make: MakeStand, client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """What an index gave once is installed again without it, however it is asked, and nothing is fetched for that."""
    data = tmp_path / "data"
    async with make(tls) as stand:
        environment = {"SSL_CERT_FILE": str(roots), **stand.environment}

        async def install(base: str, folder: str, what: str) -> dict[str, str]:
            place = tmp_path / folder
            await asyncio.to_thread(client.install, f"{base}/{stand.index}", place, what, flat=stand.flat)
            return tree(place)

        # The index as it is, asked for the first time and for the second.
        patient = settings(tmp_path / "patient.toml", {**stand.upstream, "ttl": "10m"})
        with serving(data, home, patient, environment) as server:
            cold = await install(server.url, "cold", stand.wanted)
            fetched = server.metric(_FETCHED)
            assert sum(package.body.size for package in stand.files) <= fetched
            assert stand.fetched() == fetched
            assert cold == await install(server.url, "warm", stand.wanted)
            assert fetched == server.metric(_FETCHED)

        # A cache that would ask again each time, and an index that is not there.
        eager = settings(tmp_path / "eager.toml", {**stand.upstream, "ttl": "0s"})
        await stand.stop()
        with serving(data, home, eager, environment) as server:
            assert cold == await install(server.url, "offline", stand.wanted)
            assert 0 == server.metric(_FETCHED)

        # The index is there again, without the version.
        await stand.start()
        stand.drop()
        before = stand.fetched()
        with serving(data, home, eager, environment) as server:
            assert cold == await install(server.url, "dropped", stand.wanted)
            assert stand.fetched() - before == server.metric(_FETCHED)
            assert server.metric(_FETCHED) < min(package.body.size for package in stand.files)
            assert 0 == server.metric(_SENT, kind="file", source="upstream")
            # Who does not ask for it by its number gets what the index still has; but uv reads no yanks on flat pages.
            if not (stand.flat and isinstance(client, Uv)):
                name, _, version = stand.left.partition("==")
                rest = await install(server.url, "rest", name)
                assert f"{name.replace('-', '_')}-{version}.dist-info/METADATA" in rest
