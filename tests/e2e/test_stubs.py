"""Packages that are only a stub: their build back ends, from PyPI as they are, fetch the wheel through the cache.

They read the index by themselves, with Python's own client, and take links for file names.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.bodies import pieces
from tests.e2e.clients import Client, serving, tree
from tests.e2e.stands import settings
from tests.indexes import nvidia
from tests.wheels import Package, sdist, wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_NVIDIA_STUB = """
[build-system]
requires = ["nvidia-stub==0.1.8"]
build-backend = "nvidia_stub.buildapi"
"""
_WHEEL_STUB = """
[build-system]
requires = ["wheel-stub==0.5.0"]
build-backend = "wheel_stub.buildapi"

[tool.wheel_stub]
index_url = "https://pypi.nvidia.com/"
"""
WHEEL = wheel("nvidia-cublas-cu12", "12.6.4.1", padding=3_000_000)


@pytest.mark.parametrize(
    ("variable", "definition"),
    [("NVIDIA_PIP_INDEX_URL", _NVIDIA_STUB), ("WHEEL_STUB_PIP_INDEX_URL", _WHEEL_STUB)],
    ids=["nvidia-stub", "wheel-stub"],
)
@pytest.mark.parametrize("which", ["newest_pip", "uv"])
async def test_stub__fetches_through_the_cache(
    which: str,
    variable: str,
    definition: str,
    request: pytest.FixtureRequest,
    tls: ssl.SSLContext,
    roots: Path,
    tmp_path: Path,
    home: Path,
) -> None:
    """The stub is built into the wheel of the index, and again without the index, for nothing."""
    stub = _written(sdist(WHEEL.project, WHEEL.version, pyproject=definition), tmp_path)
    async with nvidia.serving(tls) as index:
        path = index.add(WHEEL)
        chosen = settings(tmp_path / "settings.toml", {"mount": "nvidia", "url": f"{index.origin.url}/", "index": ""})
        with serving(tmp_path / "data", home, chosen, {"SSL_CERT_FILE": str(roots)}) as server:
            client: Client = request.getfixturevalue(which).knowing(**{variable: f"{server.url}/nvidia"})
            await asyncio.to_thread(client.install, server.index, tmp_path / "cold", str(stub))
            fetched = server.metric("pullthrough_fetched_bytes_total", upstream="nvidia")
            await index.origin.stop()
            await asyncio.to_thread(client.install, server.index, tmp_path / "warm", str(stub))

            assert 1 == index.origin.count(path)
            assert WHEEL.body.size <= index.origin.sent_body_bytes() == fetched
            assert fetched == server.metric("pullthrough_fetched_bytes_total", upstream="nvidia")
    files = _without_origin(tree(tmp_path / "cold"))
    assert "nvidia_cublas_cu12/padding.bin" in files
    assert files == _without_origin(tree(tmp_path / "warm"))


def _written(package: Package, folder: Path) -> Path:
    path = folder / package.filename
    path.write_bytes(b"".join(pieces(package.body)))
    return path


def _without_origin(files: dict[str, str]) -> dict[str, str]:
    """Without what says where and when it was built: that differs with each run."""
    return {path: digest for path, digest in files.items() if ".dist-info/" not in path}
