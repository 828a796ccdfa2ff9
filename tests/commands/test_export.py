"""`pullthrough export`, as a process: of a folder and of a running cache, into files and to standard output."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.builds.store_access import DataPlace
from proxy.bundles import verifying
from proxy.bundles.manifest import decode
from proxy.bundles.manifest_file import read
from proxy.commands.export import INCOMPLETE, ExportFlags, export
from proxy.commands.warm import WarmFlags, warm
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.control.export_wish import ExportWish
from tests.commands.stored import FILES, Machine, body, file_of, fill, filled
from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.storage.disk import opened
from tests.wheels import Package, sdist, wheel

_WHEEL = "file:pypi:torch::packages/aa/torch-2.7.1-cp312-none-any.whl"
_PATH = "files/pypi/_/packages/aa/torch-2.7.1-cp312-none-any.whl"

SIX = {key for key in FILES if ":six:" in key}
APT = {key for key in FILES if key.startswith("apt:")}


pytestmark = pytest.mark.usefixtures("own_caches")


def _keys(bundle: Path) -> set[str]:
    return {entry.key for member in read(bundle).members if not member.elsewhere for entry in member.entries}


async def test_export__of_a_folder(machine: Machine, tmp_path: Path) -> None:
    """All of it, each file as it is stored; a line says what is in it."""
    await filled(machine.data)

    result = await machine.run("export", "all.tar")

    bundle = tmp_path / "all.tar"
    assert (0, "", "pullthrough: all.tar has 7 files, 258.7 kB.\n") == (result.status, result.out, result.err)
    assert set(FILES) == _keys(bundle)
    verifying.verify(bundle)
    with tarfile.open(bundle) as archive:
        file = archive.extractfile(_PATH)
        assert file is not None
        assert body(_WHEEL, 90_000) == file.read()
    assert ["all.tar"] == [one.name for one in tmp_path.iterdir() if one.suffix in {".tar", ".part"}]
    assert 0 == (bundle.stat().st_mode & 0o111)


async def test_export__of_a_running_cache(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, tmp_path: Path
) -> None:
    """The same, while it serves."""
    running = await make_proxy(origin.url)
    await fill(running.store)

    result = await machine.run("export", "all.tar")

    assert (0, "pullthrough: all.tar has 7 files, 258.7 kB.\n") == (result.status, result.err)
    assert set(FILES) == _keys(tmp_path / "all.tar")
    verifying.verify(tmp_path / "all.tar")


async def _export(machine: Machine, bundle: Path, **fields: Any) -> int:
    """The verb in this process: its status."""
    place = DataPlace(machine.data, 1 << 30, chosen=True)
    flags = ExportFlags(place, str(bundle), **fields)
    return await asyncio.to_thread(export, flags, machine.environ)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [
        ({"projects": ("Six",)}, SIX),
        ({"indexes": ("apt",)}, APT),
        ({"indexes": ("deb.example",), "newer_than": "1h"}, set()),
        ({"projects": ("hello",)}, APT),
        ({"newer_than": "60h"}, {*SIX, "file:pypi:torch::packages/ab/torch-2.6.0-cp312-none-any.whl"}),
    ],
)
async def test_export__what_is_meant(machine: Machine, tmp_path: Path, fields: dict[str, Any], keys: set[str]) -> None:
    """By index, project and age, with what belongs to it."""
    await filled(machine.data)

    assert 0 == await _export(machine, tmp_path / "some.tar", **fields)
    assert keys == _keys(tmp_path / "some.tar")


async def test_export__what_an_earlier_bundle_has(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is left out, and counted."""
    await filled(machine.data)
    assert 0 == await _export(machine, tmp_path / "six.tar", projects=("six",))

    assert 0 == await _export(machine, tmp_path / "rest.tar", since=(str(tmp_path / "six.tar"),))

    assert set(FILES) - SIX == _keys(tmp_path / "rest.tar")
    assert capsys.readouterr().err.endswith("The bundle before it has 3 more.\n")


async def test_export__through_a_link(machine: Machine, tmp_path: Path) -> None:
    """The bundle is where the link leads, on the disk that is to be carried away, and the link stays."""
    await filled(machine.data)
    (tmp_path / "disk").mkdir()
    link = tmp_path / "latest.tar"
    link.symlink_to("disk/all.tar")

    for _ in range(2):
        assert 0 == await _export(machine, link)

    assert "disk/all.tar" == str(link.readlink())
    assert set(FILES) == _keys(tmp_path / "disk" / "all.tar")
    assert ["all.tar"] == [one.name for one in (tmp_path / "disk").iterdir()]


async def test_export__to_standard_output(machine: Machine) -> None:
    """A tar, and nothing else; a wish may be given as JSON, as a verb outside of a container gives it."""
    await filled(machine.data)
    wish = msgspec.json.encode(ExportWish(projects=("six",)))

    status, out, err = await machine.exchange(wish, "export", "-", "--wish")

    assert (0, b"") == (status, err)
    with tarfile.open(fileobj=io.BytesIO(out)) as archive:
        file = archive.extractfile("MANIFEST.json")
        assert file is not None
        assert SIX == {entry.key for member in decode(file.read()).members for entry in member.entries}


@pytest.mark.parametrize(
    ("bundle", "fields", "status", "said"),
    [
        ("b.tar", {"newer_than": "soon"}, 2, "--newer-than soon"),
        ("b.tar", {"since": ("/dev/null",)}, 1, "/dev/null"),
        ("b.tar", {"since": ("nothing",)}, 1, "nothing"),
        ("nowhere/b.tar", {}, 1, "No such file"),
        (".", {}, 2, "is no file"),
        ("b.tar", {"indexes": ("pypi", "pipy")}, 1, "Nothing that is stored is of the index pipy."),
        ("b.tar", {"projects": ("six", "sixx")}, 1, "Nothing that is stored is of the project sixx."),
        ("b.tar", {"indexes": ("apt",), "projects": ("six",)}, 1, "Nothing that is stored is of the project six."),
    ],
)
async def test_export__wrong(
    machine: Machine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    bundle: str,
    fields: dict[str, Any],
    status: int,
    said: str,
) -> None:
    """What to do is said, and nothing is left."""
    await filled(machine.data)

    assert status == await _export(machine, tmp_path / bundle, **fields)
    assert said in capsys.readouterr().err
    assert [] == [one for one in tmp_path.iterdir() if "b.tar" in one.name]


async def test_export__damaged_file(
    machine: Machine,
    make_proxy: MakeProxy,
    origin: Origin,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said and dropped, and no bundle has it; the earlier one of that name stays."""
    running = await make_proxy(origin.url)
    await fill(running.store)
    file = file_of(machine.data, _WHEEL)
    file.write_bytes(b"x" * file.stat().st_size)
    bundle = tmp_path / "all.tar"
    bundle.write_text("the one before")

    assert 1 == await _export(machine, bundle)

    assert "torch-2.7.1-cp312-none-any.whl is not what was stored" in capsys.readouterr().err
    assert "the one before" == bundle.read_text()
    assert 0 == await _export(machine, bundle)
    assert set(FILES) - {_WHEEL} == _keys(bundle)


def _publish_build(origin: Origin) -> tuple[Package, ...]:
    """Have two builds and what nobody needs; gives what `demo` and `fromsource` need, `demo` first."""
    demo, unneeded = wheel("demo", requires=("other",)), wheel("unneeded")
    other = replace(wheel("other"), filename="Other-1.0-py3-none-any.whl")  # which uv spells in its own way
    source, backend = sdist("fromsource", pyproject='[build-system]\nrequires = ["backend"]\n'), wheel("backend")
    origin.publish(demo, other, unneeded, source, backend, fmt="both", metadata=True)
    return demo, other, source, backend


def _place(settings: Settings) -> DataPlace:
    return DataPlace(settings.data, settings.disk, chosen=True, settings=settings)


async def test_export__for_a_build(
    make_proxy: MakeProxy, origin: Origin, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exactly what it needs, with what its builds need; what is missing is said, and no bundle is made of the rest."""
    built = _publish_build(origin)
    running = await make_proxy(origin.url)
    port = int(running.url.rpartition(":")[2])
    upstreams = (UpstreamSettings(mount="pypi", url=origin.url),)
    settings = Settings(port=port, data=data_folder, upstreams=upstreams)
    place = DataPlace(data_folder, settings.disk, chosen=True, settings=settings)
    bundle = tmp_path / "demo.tar"

    async def run(*wanted: str, **fields: Any) -> int:
        flags = ExportFlags(place, str(bundle), build=WarmFlags(wanted, tools=False), **fields)
        return await asyncio.to_thread(export, flags, dict(os.environ))

    assert INCOMPLETE == await run("demo", "fromsource")
    assert f"missing: {built[0].filename}" in capsys.readouterr().out
    assert not bundle.exists()
    warmed = WarmFlags(("demo", "fromsource", "unneeded"), tools=False)
    assert 0 == await asyncio.to_thread(warm, warmed, _place(settings), dict(os.environ))
    assert 0 == await run("demo", "fromsource")

    names = {key.rpartition("/")[2] for key in _keys(bundle) if key.startswith("file:")}
    assert {one.filename for one in built} == {name for name in names if not name.endswith(".metadata")}
    assert {one.project for one in built} == {key.split(":")[2] for key in _keys(bundle) if key.startswith("page:")}
    assert 2 == await run("demo", projects=("demo",))

    lock = tmp_path / "pylock.toml"  # which has the normalised name of a file, as some tools write it
    file = f'{{name = "{built[1].filename.lower()}", path = "x", hashes = {{sha256 = "{built[1].sha256}"}}}}'
    package = f'[[packages]]\nname = "other"\nversion = "1.0"\nwheels = [{file}]\n'
    lock.write_text(f'lock-version = "1.0"\ncreated-by = "x"\n{package}', encoding="utf-8")
    assert 0 == await run(str(lock))
    assert built[1].filename in {key.rpartition("/")[2] for key in _keys(bundle)}


async def test_export__for_a_build_where_no_cache_runs(
    make_proxy: MakeProxy, origin: Origin, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is here is what counts: nothing is asked upstream, and the verb leaves nothing that runs and no log line."""
    built = _publish_build(origin)
    running = await make_proxy(origin.url)
    port = int(running.url.rpartition(":")[2])
    upstreams = (UpstreamSettings(mount="pypi", url=origin.url),)
    settings = Settings(port=port, data=data_folder, upstreams=upstreams, public_url="http://cache.example")
    warmed = WarmFlags(("demo", "fromsource"), tools=False)
    assert 0 == await asyncio.to_thread(warm, warmed, _place(settings), dict(os.environ))
    await running.close()
    origin.forget()
    place = DataPlace(data_folder, settings.disk, chosen=True, settings=settings)
    bundle = tmp_path / "demo.tar"
    capsys.readouterr()

    async def run(*wanted: str) -> int:
        flags = ExportFlags(place, str(bundle), build=WarmFlags(wanted, tools=False))
        return await asyncio.to_thread(export, flags, dict(os.environ))

    assert INCOMPLETE == await run("demo", "unneeded")
    assert "unneeded" in capsys.readouterr().out
    assert not bundle.exists()
    assert 0 == await run("demo", "fromsource")
    assert ("", 1) == ((said := capsys.readouterr()).out, len(said.err.splitlines()))

    names = {key.rpartition("/")[2] for key in _keys(bundle) if key.startswith("file:")}
    assert {one.filename for one in built} == {name for name in names if not name.endswith(".metadata")}
    assert 0 == origin.count()
    async with opened(data_folder) as store:  # nobody else has it
        assert store.keys("file:")
