"""Resolving against indexes without metadata files costs kilobytes, though the wheels are large."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.e2e.clients import Client, serving
from tests.e2e.stands import HOSTS, settings
from tests.indexes import nvidia, pytorch
from tests.wheels import wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_LARGE = 50 << 20  # bytes of a wheel that no compression makes smaller


# The oldest pip downloads what it resolved even when it only has to say it.
@pytest.mark.parametrize("which", ["newest_pip", "uv"])
async def test_resolve__cold_costs_little(
    which: str, request: pytest.FixtureRequest, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """A project and what it needs of NVIDIA's are resolved with less than a hundredth of their bytes, and no wheel."""
    client: Client = request.getfixturevalue(which)
    cublas = wheel("nvidia-cublas-cu12", "12.6.4.1", padding=_LARGE, seed=1)
    cudnn = wheel("nvidia-cudnn-cu12", "9.10.2.21", requires=("nvidia-cublas-cu12",), padding=_LARGE, seed=2)
    torch = wheel("torch", "2.9.0+cu126", requires=("nvidia-cudnn-cu12==9.10.2.21",), padding=_LARGE, seed=3)
    async with pytorch.serving(tls) as index, nvidia.serving(tls, "127.0.0.3") as other:
        index.add("cu126", torch, metadata=False)
        for package in (cublas, cudnn):
            index.copy("cu126", package, other.origin.url + other.add(package))
        upstream = {"mount": "pytorch", "url": f"{index.origin.url}/", "index": "whl/", "hosts": HOSTS}
        chosen = settings(tmp_path / "settings.toml", upstream)
        with serving(tmp_path / "data", home, chosen, {"SSL_CERT_FILE": str(roots)}) as server:
            address = f"{server.url}/pytorch/whl/cu126/"
            found = await asyncio.to_thread(client.resolve, address, tmp_path / "resolved", "torch")

            assert ["nvidia-cublas-cu12==12.6.4.1", "nvidia-cudnn-cu12==9.10.2.21", "torch==2.9.0+cu126"] == found
            sent = index.origin.sent_body_bytes() + index.sibling.sent_body_bytes() + other.origin.sent_body_bytes()
            assert sent == server.metric("pullthrough_fetched_bytes_total")
            assert sent * 100 < sum(package.body.size for package in (torch, cublas, cudnn))
            assert 0 == server.metric("pullthrough_sent_bytes_total", kind="file")
