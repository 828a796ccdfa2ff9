"""`pullthrough warm`: from what people have to a cache that can go offline."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy.builds.store_access import DataPlace
from proxy.commands.warm import INCOMPLETE, WarmFlags, warm
from proxy.config.groups import GroupSettings
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.warming.wishes import AptWish
from tests.conftest import MakeProxy
from tests.flows.reading import get
from tests.origin import Origin
from tests.pages import JSON
from tests.wheels import sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

DEMO, OTHER = wheel("demo", requires=("other",)), wheel("other")
SOURCE = sdist("fromsource", pyproject='[build-system]\nrequires = ["backend"]\n')
BACKEND = wheel("backend")


pytestmark = pytest.mark.usefixtures("own_caches")


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """A cache in front of an origin with wheels, and a source distribution whose build needs another."""
    origin.publish(DEMO, OTHER, SOURCE, BACKEND, fmt="both", metadata=True)
    return await make_proxy(origin.url)


async def run(
    running: Running,
    origin: Origin,
    capsys: pytest.CaptureFixture[str],
    *wanted: str,
    upstreams: tuple[UpstreamSettings, ...] = (),
    **fields: Any,
) -> tuple[int, dict[str, Any]]:
    """Exit status and report. `upstreams`: of the verb's settings, in place of the cache's own."""
    port = int(running.url.rpartition(":")[2])
    upstreams = upstreams or (UpstreamSettings(mount="pypi", url=origin.url),)
    settings = Settings(port=port, data=Path("/nowhere"), upstreams=upstreams)
    flags = WarmFlags(wanted, **{"tools": False, "json": True, **fields})
    place = DataPlace(settings.data, settings.disk, chosen=True, settings=settings)
    status = await asyncio.to_thread(warm, flags, place, dict(os.environ))
    said = capsys.readouterr()
    return status, json.loads(said.out) if said.out.startswith("{") else {"said": said.out + said.err}


async def test_warm__then_offline(
    running: Running,
    origin: Origin,
    make_proxy: MakeProxy,
    http: aiohttp.ClientSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a requirement needs is here, with what the builds of that need; offline it is listed and served."""
    status, report = await run(running, origin, capsys, "demo", "fromsource")
    assert (0, 4, []) == (
        status,
        report["came"] + report["here"],
        report["refused"],
    )  # uv has asked for the source already
    status, report = await run(running, origin, capsys, "demo", "fromsource", check=True)
    assert (0, [], 0) == (status, report["missing"], report["came"])
    await running.close()
    offline = await make_proxy(origin.url, offline=True)
    for package in (DEMO, OTHER, SOURCE, BACKEND):
        page = await get(http, f"{offline.url}/pypi/simple/{package.project}/", accept=JSON)
        assert [package.filename] == [file["filename"] for file in page.json["files"]]


async def test_warm__check(
    running: Running, origin: Origin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The status says that something is missing, and the report what."""
    lock = tmp_path / "requirements.txt"
    lock.write_text("demo==1.0\n", encoding="utf-8")
    status, report = await run(running, origin, capsys, str(lock), check=True)
    assert (INCOMPLETE, [DEMO.filename, OTHER.filename]) == (status, sorted(report["missing"]))
    assert 0 == origin.count(f"/packages/{DEMO.filename}")


async def test_warm__check_where_no_cache_runs(
    running: Running, origin: Origin, capsys: pytest.CaptureFixture[str], tmp_path: Path, data_folder: Path
) -> None:
    """The data folder is looked at; a lock file may name the cache as it is when it runs."""
    port = int(running.url.rpartition(":")[2])
    lock = tmp_path / "uv.lock"
    lock.write_text(
        'version = 1\nrequires-python = ">=3.11"\n[[package]]\nname = "demo"\nversion = "1.0"\n'
        f'source = {{ registry = "http://localhost:{port}/pypi/simple" }}\nwheels = [{{ url = "{DEMO.filename}" }}]\n',
        encoding="utf-8",
    )
    assert 0 == (await run(running, origin, capsys, str(lock)))[0]
    await running.close()
    upstreams = (UpstreamSettings(mount="pypi", url=origin.url),)
    settings = Settings(port=port, data=data_folder, upstreams=upstreams)
    place = DataPlace(data_folder, settings.disk, chosen=True, settings=settings)
    flags = WarmFlags((str(lock),), check=True, tools=False, json=True)
    assert 0 == await asyncio.to_thread(warm, flags, place, dict(os.environ))
    assert [DEMO.filename] == [one["filename"] for one in json.loads(capsys.readouterr().out)["files"]]
    absent = replace(flags, wanted=(OTHER.filename,))
    assert INCOMPLETE == await asyncio.to_thread(warm, absent, place, dict(os.environ))


async def test_warm__lock_file(
    running: Running, origin: Origin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A lock file needs no resolver; what the index has differently is said, and fails the command."""
    lock = tmp_path / "poetry.lock"
    rows = [
        f'[[package]]\nname = "{package.project}"\nversion = "1.0"\n'
        f'files = [{{file = "{package.filename}", hash = "sha256:{digest}"}}]\n'
        for package, digest in ((DEMO, DEMO.sha256), (OTHER, "0" * 64))
    ]
    lock.write_text("\n".join(rows), encoding="utf-8")
    status, report = await run(running, origin, capsys, str(lock))
    assert (1, 1, [OTHER.filename]) == (status, report["came"], [one["what"] for one in report["refused"]])


async def test_warm__dockerfile(
    running: Running, origin: Origin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What its steps install comes; what is not understood is said, and fails nothing."""
    path = tmp_path / "Dockerfile"
    path.write_text("FROM python:3.12\nRUN pip install demo && ./more.sh\n", encoding="utf-8")
    status, report = await run(running, origin, capsys, str(path), json=False)
    assert 0 == status
    assert "came           2" in report["said"]
    assert f"not understood: {path}, line 2: ./more.sh: nobody can tell" in report["said"]


async def test_warm__file_by_name(running: Running, origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is named comes alone, whatever it is for."""
    status, report = await run(running, origin, capsys, SOURCE.filename)
    assert (0, 2) == (status, report["came"])  # with what its build needs
    assert 1 == origin.count(f"/packages/{BACKEND.filename}")


async def test_warm__of_a_channel(make_proxy: MakeProxy, origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    """An index below that of a mount is named as members of groups are."""
    package = wheel("channelled")
    origin.publish(package, index="/whl/cu126/", folder="/whl/files/", fmt="both", metadata=True)
    running = await make_proxy(origin.url, index="whl/")
    status, report = await run(running, origin, capsys, "channelled", index="pypi/whl/cu126")
    assert (0, 1) == (status, report["came"] + report["here"])


async def test_warm__indexes_that_only_the_cache_knows(
    make_proxy: MakeProxy, origin: Origin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A group, and an upstream that a requirements file names by its address: the cache's settings are its own."""
    origin.publish(DEMO, OTHER, fmt="both", metadata=True)
    corp = UpstreamSettings(mount="corp", url="https://corp.example/")
    running = await make_proxy(origin.url, groups=(GroupSettings(mount="cuda", members=("pypi",)),))
    offline = await make_proxy(origin.url, upstreams=(corp,), offline=True, data=tmp_path / "offline")
    named, strange = tmp_path / "requirements.txt", tmp_path / "others.txt"
    named.write_text("--index-url https://corp.example/simple\nbackend\n")
    strange.write_text("--index-url https://other.example/simple\nbackend\n")

    others = (UpstreamSettings(mount="pypi", url="https://index.example/"),)

    status, report = await run(running, origin, capsys, "demo", index="cuda", upstreams=others)
    assert (0, 2) == (status, report["came"]), report
    status, report = await run(offline, origin, capsys, str(named), upstreams=others)
    assert (1, ["backend"]) == (status, [one["what"] for one in report["refused"]]), report  # it is looked for there
    status, report = await run(offline, origin, capsys, str(strange), upstreams=others)
    assert "https://other.example/simple is not behind the cache" in report["said"]


async def test_warm__for_people(running: Running, origin: Origin, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, and a line for each thing that is missing."""
    status, report = await run(running, origin, capsys, "demo", check=True, json=False)
    assert INCOMPLETE == status
    assert "were here      0" in report["said"]
    assert f"missing: {DEMO.filename}" in report["said"]
    status, report = await run(running, origin, capsys, "demo", json=False)
    assert 0 == status
    assert "came           2" in report["said"]


@pytest.mark.parametrize(
    ("wanted", "fields", "status", "said"),
    [
        ("no such file", {}, 2, "no requirement"),
        ("demo", {"index": "nowhere"}, 2, "no such upstream"),
        ("demo", {"platforms": ("amiga",)}, 2, "--platform amiga"),
        ("demo==9", {}, 1, "not to be had: demo==9"),
        ("", {}, 2, "--apt"),
        ("x.whl", {}, 2, "no name of a file"),
        ("ftp.tar.gz", {}, 2, "no name of a file"),
        ("", {"apt": AptWish(("curl",), ("nonsense",))}, 2, "--apt-source nonsense"),
        ("demo", {"apt": AptWish(sources=("http://a.example/x sid main",))}, 2, "--apt-source: only with --apt or a"),
        ("demo", {"apt": AptWish(architecture="arm64")}, 2, "--apt-architecture: only with --apt or a"),
        ("Dockerfile", {"apt": AptWish(recommends=False)}, 2, "--no-install-recommends: only with --apt"),
    ],
)
async def test_warm__wrong(
    running: Running,
    origin: Origin,
    capsys: pytest.CaptureFixture[str],
    wanted: str,
    fields: dict[str, Any],
    status: int,
    said: str,
) -> None:
    """It is said what to do."""
    ended, report = await run(running, origin, capsys, *([wanted] if wanted else []), json=False, **fields)
    assert status == ended
    assert said in report["said"]


def test_warm__no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said how to start one."""
    settings = Settings(port=9, data=tmp_path)
    for check in (False, True):
        place = DataPlace(tmp_path, settings.disk, chosen=True, settings=settings)
        assert 1 == warm(WarmFlags(("demo",), check=check), place, dict(os.environ))
    assert "pullthrough serve" in capsys.readouterr().err
