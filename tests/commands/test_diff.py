"""`pullthrough diff`: for people, for programs, and by its status."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from proxy.builds.store_access import DataPlace
from proxy.commands.diff import DIFFERENT, DiffFlags, diff
from proxy.commands.endings import DONE, FAILED
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from tests.bundles.packed import BODIES, SDIST, write
from tests.conftest import MakeProxy
from tests.flows.reading import get
from tests.origin import Origin
from tests.wheels import wheel


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[str, str]:
    """One has a file that the other has not, and another page."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    smaller = {key: body if not key.startswith("page:") else b"<p>" for key, body in BODIES.items() if key != SDIST}
    return str(write(first)), str(write(second, smaller))


def _diff(first: str, second: str, *, json: bool = False) -> int:
    return diff(DiffFlags(first, second, json), lambda: _place(Settings(data=Path("/nowhere"))), {})


def _place(settings: Settings) -> DataPlace:
    return DataPlace(settings.data, settings.disk, chosen=True, settings=settings)


def test_diff__for_people(bundles: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each file, and a sum."""
    assert DIFFERENT == _diff(*bundles)
    assert [
        "- files/pypi/_/old/demo-0.9.tar.gz (5.0 kB)",
        "~ pages/pypi/simple/demo/+page (15 B, 3 B)",
        "In both: 4 files.",
    ] == capsys.readouterr().out.splitlines()
    assert DIFFERENT == _diff(bundles[1], bundles[0])
    assert capsys.readouterr().out.startswith("+ files/pypi/_/old/demo-0.9.tar.gz")


def test_diff__the_same(bundles: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert DONE == _diff(bundles[0], bundles[0])
    assert "Both have the same 6 files.\n" == capsys.readouterr().out


def test_diff__as_json(bundles: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """With all that the manifests say."""
    assert DIFFERENT == _diff(*bundles, json=True)
    found = json.loads(capsys.readouterr().out)
    assert ("files/pypi/_/old/demo-0.9.tar.gz", SDIST) == (
        found["only_first"][0]["path"],
        found["only_first"][0]["entries"][0]["key"],
    )


def test_diff__no_bundle(tmp_path: Path, bundles: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The file is named."""
    (tmp_path / "text").write_text("text")
    for name in ("text", "nothing"):
        assert FAILED == _diff(bundles[0], str(tmp_path / name))
        assert name in capsys.readouterr().err


async def test_diff__lock_file_and_cache(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    tmp_path: Path,
    data_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the cache lacks of it, and its status, whether it runs or not."""
    demo = wheel("demo")
    origin.publish(demo, metadata=True)
    running = await make_proxy(origin.url)
    lock = tmp_path / "poetry.lock"
    files = f'files = [{{file = "{demo.filename}", hash = "sha256:{demo.sha256}"}}]'
    lock.write_text(f'[[package]]\nname = "demo"\nversion = "1.0"\n{files}\n', encoding="utf-8")
    port = int(running.url.rpartition(":")[2])
    upstreams = (UpstreamSettings(mount="pypi", url=origin.url),)
    settings = Settings(port=port, data=Path("/nowhere"), upstreams=upstreams)

    async def run(*, json: bool = False) -> tuple[int, str]:
        flags = DiffFlags(str(lock), None, json)
        return await asyncio.to_thread(diff, flags, lambda: _place(settings), {}), capsys.readouterr().out

    assert (DIFFERENT, f"missing: {demo.filename}\nIn both: 0 files.\n") == await run()
    while (await get(http, f"{running.url}/pypi/packages/{demo.filename}")).cache != "hit":
        await asyncio.sleep(0.01)
    assert (DONE, "In both: 1 file.\n") == await run()
    status, said = await run(json=True)
    assert (DONE, [demo.filename]) == (status, [one["filename"] for one in json.loads(said)["files"]])
    await running.close()
    settings = settings.model_copy(update={"data": data_folder})
    assert (DONE, "In both: 1 file.\n") == await run()
