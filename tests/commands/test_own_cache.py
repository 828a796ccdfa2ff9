"""A cache that answers a verb's questions while no other one runs."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from proxy.builds import running_cache
from proxy.commands.own_cache import own_cache
from proxy.config.settings import Settings
from proxy.errors import StoreRefused
from proxy.storage.folder import DataFolder
from tests.commands.stored import FILES, filled

_FILE = "/pypi/packages/ac/six-1.17.0-py2.py3-none-any.whl"


async def test_own_cache(data_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It answers for the folder as long as the block takes, and leaves no lines."""
    await filled(data_folder)
    with own_cache(Settings(data=data_folder / "other", port=9), data_folder, {}) as settings:
        (host,) = settings.host
        answer = running_cache.get(host, settings.port, _FILE)
        assert (200, FILES["file:pypi:six::packages/ac/six-1.17.0-py2.py3-none-any.whl"][0]) == (
            answer.status,
            len(answer.body),
        )
        assert 200 == running_cache.get(host, settings.port, "/readyz").status
        assert settings.offline

    with pytest.raises((OSError, http.client.HTTPException)):
        running_cache.get(host, settings.port, "/readyz")
    assert ("", "") == capfd.readouterr()
    assert not (data_folder / "other").exists()


def test_own_cache__folder_in_use(data_folder: Path) -> None:
    """Who uses it is said, and nothing is left that waits for it."""
    folder = DataFolder.open(data_folder)
    try:
        with (
            pytest.raises(StoreRefused, match="is in use by process"),
            own_cache(Settings(data=data_folder), data_folder, {}),
        ):
            raise AssertionError("it serves")
    finally:
        folder.lock.release()
