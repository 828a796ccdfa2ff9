"""Installing as of a date works where only an index's HTML has the times of upload: the cache says them in JSON too."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from tests.e2e.clients import Client, serving
from tests.e2e.stands import settings
from tests.indexes import pytorch
from tests.wheels import wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_OPTIONS = {"newest_pip": "--uploaded-prior-to", "uv": "--exclude-newer"}


@pytest.mark.parametrize("which", _OPTIONS)
async def test_install__as_of_a_date(
    which: str, request: pytest.FixtureRequest, tls: ssl.SSLContext, roots: Path, tmp_path: Path, home: Path
) -> None:
    """What was uploaded later is not taken."""
    client: Client = request.getfixturevalue(which)
    async with pytorch.serving(tls) as index:
        index.add("cu126", wheel("torch", "2.8.0+cu126"), uploaded="2026-01-01T00:00:00.000000Z")
        index.add("cu126", wheel("torch", "2.9.0+cu126"), uploaded="2026-06-01T00:00:00.000000Z")
        chosen = settings(tmp_path / "s.toml", {"mount": "pytorch", "url": f"{index.origin.url}/", "index": "whl/"})
        with serving(tmp_path / "data", home, chosen, {"SSL_CERT_FILE": str(roots)}) as server:
            address = f"{server.url}/pytorch/whl/cu126/"
            wanted = ("torch", _OPTIONS[which], "2026-03-01T00:00:00Z")
            await asyncio.to_thread(client.install, address, tmp_path / "here", *wanted)

    assert ["torch-2.8.0+cu126.dist-info"] == [path.name for path in (tmp_path / "here").glob("*.dist-info")]
