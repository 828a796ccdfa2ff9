"""A group of indexes keeps internal names internal, whatever is published outside under them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import Client, Failed, serving
from tests.e2e.stands import settings
from tests.indexes import private
from tests.origin import Origin
from tests.wheels import wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

INTERNAL = wheel("acme-billing", "1.0", requires=("acme-friend",))
ATTACK = wheel("acme-billing", "99.0")
FRIEND = wheel("acme-friend", "2.0")
_GROUP = {"mount": "all", "members": ["private", "public"]}


@dataclass(frozen=True, slots=True)
class _Two:
    """The index of a company, and a public one where somebody published a name of the company's."""

    own: Origin
    public: Origin
    settings: Path
    environment: dict[str, str]

    @property
    def attacked(self) -> bool:
        """Whether outside was asked for the internal name at all."""
        return any("acme-billing" in asked.path.replace("_", "-") for asked in self.public.requests)


@contextlib.asynccontextmanager
async def _two(tls: ssl.SSLContext, roots: Path, folder: Path, password: str = private.PASSWORD) -> AsyncIterator[_Two]:
    async with private.serving(tls) as own, Origin("127.0.0.2", tls) as public:
        own.add(INTERNAL)
        public.publish(ATTACK, FRIEND, fmt="both", metadata=True)
        upstreams: list[dict[str, Any]] = [
            {"mount": "private", "url": f"{own.origin.url}/", "credentials": "env:CORP_INDEX"},
            {"mount": "public", "url": f"{public.url}/"},
        ]
        path = settings(folder / "settings.toml", *upstreams, groups=(_GROUP,))
        yield _Two(own.origin, public, path, {"SSL_CERT_FILE": str(roots), "CORP_INDEX": f"{private.USER}:{password}"})


def _installed(folder: Path) -> set[str]:
    return {path.name.removesuffix(".dist-info") for path in folder.glob("*.dist-info")}


async def test_group__higher_version_outside(
    client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """An internal name is installed from inside, though outside has a higher version of it; the rest from there."""
    async with _two(tls, roots, tmp_path) as two:
        with serving(tmp_path / "data", home, two.settings, two.environment) as server:
            await asyncio.to_thread(client.install, f"{server.url}/all/simple/", tmp_path / "here", "acme-billing")

        assert {"acme_billing-1.0", "acme_friend-2.0"} == _installed(tmp_path / "here")
        assert not two.attacked


async def test_group__internal_index_down(
    client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """While the internal index is down an internal name is an error, and never what outside has under it."""
    async with _two(tls, roots, tmp_path) as two:
        await two.own.stop()
        with serving(tmp_path / "data", home, two.settings, two.environment) as server:
            with pytest.raises(Failed):
                await asyncio.to_thread(client.install, f"{server.url}/all/simple/", tmp_path / "here", "acme-billing")

        assert set() == _installed(tmp_path / "here")
        assert not two.attacked


async def test_group__internal_index_refuses(
    client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """Wrong credentials make an internal name an error too: who is refused can't say that there is no such project."""
    async with _two(tls, roots, tmp_path, password="changed-since") as two:
        with serving(tmp_path / "data", home, two.settings, two.environment) as server:
            with pytest.raises(Failed):
                await asyncio.to_thread(client.install, f"{server.url}/all/simple/", tmp_path / "here", "acme-billing")

        assert set() == _installed(tmp_path / "here")
        assert not two.attacked


async def test_group__internal_index_down_later(
    client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """What was installed through the group once is installed again while the internal index is down."""
    async with _two(tls, roots, tmp_path) as two:
        with serving(tmp_path / "data", home, two.settings, two.environment) as server:
            address = f"{server.url}/all/simple/"
            await asyncio.to_thread(client.install, address, tmp_path / "before", "acme-billing")
            await two.own.stop()
            fetched = server.metric("pullthrough_fetched_bytes_total")
            await asyncio.to_thread(client.install, address, tmp_path / "after", "acme-billing")

            assert fetched == server.metric("pullthrough_fetched_bytes_total")
        assert {"acme_billing-1.0", "acme_friend-2.0"} == _installed(tmp_path / "after")
        assert not two.attacked


async def test_group__pins(client: Client, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path) -> None:
    """A pinned name comes from its member, though one before it has a higher version of the name."""
    async with Origin(tls=tls) as first, Origin("127.0.0.2", tls) as second:
        first.publish(wheel("torch", "9.0"), wheel("torch-scatter", "9.0"), wheel("numpy", "1.0"))
        second.publish(wheel("torch", "2.9.0+cu126", requires=("numpy", "torch-scatter")), wheel("torch-scatter"))
        path = settings(
            tmp_path / "settings.toml",
            {"mount": "first", "url": f"{first.url}/"},
            {"mount": "second", "url": f"{second.url}/"},
            groups=({"mount": "all", "members": ["first", "second"], "pins": {"torch*": "second"}},),
        )
        with serving(tmp_path / "data", home, path, {"SSL_CERT_FILE": str(roots)}) as server:
            await asyncio.to_thread(client.install, f"{server.url}/all/simple/", tmp_path / "here", "torch")

    assert {"torch-2.9.0+cu126", "torch_scatter-1.0", "numpy-1.0"} == _installed(tmp_path / "here")
