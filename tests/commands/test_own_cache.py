"""A cache that answers a verb's questions while no other one runs."""

from __future__ import annotations

import http.client
import os
from pathlib import Path

import pytest
from msgspec import structs
from pydantic import ByteSize

from proxy.builds import running_cache
from proxy.commands.own_cache import own_cache
from proxy.config.settings import Settings
from proxy.errors import StoreRefused
from proxy.storage.folder import DataFolder
from tests.commands.stored import FILES, filled
from tests.pages import JSON, TEXT_HTML, Link, as_html
from tests.storage.disk import digest, entry, keep, opened

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


async def test_own_cache__bound_of_another_shell(data_folder: Path) -> None:
    """Nothing that was stored under a larger bound goes for what is made of a page while it answers."""
    page = as_html(
        "six", [Link(f"../../packages/six-{number}.tar.gz", f"six-{number}.tar.gz") for number in range(500)]
    )
    bodies = [os.urandom(100_000) for _ in range(40)]
    async with opened(data_folder) as store:
        for number, body in enumerate(bodies):
            await keep(store, f"file:pypi:{number}", body)
        await store.put(page)
        known = entry("page:pypi:six:simple/six/", page)
        await store.save(structs.replace(known, content_type=TEXT_HTML))
    with own_cache(Settings(data=data_folder, disk=ByteSize(1_500_000)), data_folder, {}) as settings:
        (host,) = settings.host
        assert 200 == running_cache.get(host, settings.port, "/pypi/simple/six/", accept=JSON).status

    async with opened(data_folder) as store:
        assert all(store.has(digest(body)) for body in bodies)


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
