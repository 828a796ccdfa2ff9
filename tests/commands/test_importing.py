"""`pullthrough import`, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from proxy.bundles.importing import Imported
from proxy.bundles.manifest import BundleMember
from proxy.commands.importing import summary
from proxy.model import Digest
from tests.bundles.tars import bundle, member, sha256, tar
from tests.bundles.test_foreign_files import write_beyond_reach
from tests.commands.stored import ROOT, Machine
from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.storage.disk import opened

_WHEEL = b"PK\x03\x04" + b"w" * 3_000_000
_KEY = "file:pypi:demo::packages/demo-1-py3-none-any.whl"
_PART = member("files/pypi/_/demo-1-py3-none-any.whl", _WHEEL, _KEY), _WHEEL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bundle."""
    made = tmp_path / "demo.tar"
    made.write_bytes(bundle(_PART))
    return made


async def test_import__into_a_folder(machine: Machine, path: Path) -> None:
    """The data folder need not be there; what is imported twice was here."""
    first, second = await machine.run("import", str(path)), await machine.run("import", str(path))

    assert (0, f"{path}: took in 1 file, 3.0 MB.\n", "") == (first.status, first.out, first.err)
    assert f"{path}: took in 0 files, 0 B; 1 file was here.\n" == second.out
    async with opened(machine.data) as store:
        assert _PART[0].entries[0] == store.find(_KEY)


async def test_import__running_cache(machine: Machine, path: Path, make_proxy: MakeProxy, origin: Origin) -> None:
    """The cache takes it in, and it is there at once."""
    running = await make_proxy(origin.url)

    result = await machine.run("import", "--json", str(path))

    assert (0, "") == (result.status, result.err)
    assert {"type": "Imported", "files": 1, "size": len(_WHEEL), "here": 0} == {
        name: value for name, value in json.loads(result.out).items() if name in {"type", "files", "size", "here"}
    }
    assert running.store.find(_KEY) is not None


async def test_import__damaged(machine: Machine, tmp_path: Path, make_proxy: MakeProxy, origin: Origin) -> None:
    """The reason names the member, also where the cache refuses a bundle of which more is to come."""
    running = await make_proxy(origin.url)
    path = tmp_path / "damaged.tar"
    path.write_bytes(bundle((_PART[0], b"x" * len(_WHEEL)), *[_large(number) for number in range(4)]))

    result = await machine.run("import", str(path))

    assert (1, "") == (result.status, result.out)
    assert "files/pypi/_/demo-1-py3-none-any.whl is damaged" in result.err
    assert running.store.find(_KEY) is None


def _large(number: int) -> tuple[BundleMember, bytes]:
    body = bytes([number]) * 4_000_000
    return member(f"files/{number}", body, f"file:pypi:large::{number}"), body


async def test_import__standard_input(machine: Machine, path: Path) -> None:
    """A bundle may come through a pipe."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "import", "-", cwd=ROOT, env=machine.environ, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate(path.read_bytes())

    assert (0, b"-: took in 1 file, 3.0 MB.\n") == (process.returncode, out)


async def test_import__folder(machine: Machine, tmp_path: Path) -> None:
    """Wheels of a folder are kept by their sha256."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "demo-1-py3-none-any.whl").write_bytes(_WHEEL)
    (folder / "notes.txt").write_text("a list\n", encoding="utf-8")

    result = await machine.run("import", str(folder))

    assert 0 == result.status, result.err
    assert f"{folder}: took in 1 file, 3.0 MB." == result.out.splitlines()[0]
    async with opened(machine.data) as store:
        assert store.blob(Digest("sha256", sha256(_WHEEL))) is not None


async def test_import__folder_that_cannot_be_read_whole(machine: Machine, tmp_path: Path) -> None:
    """What can be read is kept; what cannot is named, and the exit status says so."""
    (tmp_path / "wheels").mkdir()
    write_beyond_reach(tmp_path / "wheels", b"")
    nothing = await machine.run("import", str(tmp_path / "wheels"))
    (tmp_path / "wheels" / "demo-1-py3-none-any.whl").write_bytes(_WHEEL)
    result = await machine.run("import", str(tmp_path / "wheels"))

    assert 2 == nothing.status
    assert "nothing in this folder can be read: " in nothing.err
    assert 1 == result.status
    assert "took in 1 file, 3.0 MB." in result.out
    left_out = [line for line in result.err.splitlines() if line.startswith("pullthrough: left out: ")]
    assert ["folder: File name too long", "wheel: File name too long"] == sorted(
        line.rpartition("/")[2] for line in left_out
    )


async def test_import__unpacked_bundle(machine: Machine, tmp_path: Path, path: Path) -> None:
    """Its files are taken in, and it is said that its pages are not."""
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")

    result = await machine.run("import", str(tmp_path / "unpacked"))

    assert (0, "took in 1 file") == (result.status, result.out.splitlines()[0].partition(": ")[2][:14]), result.err
    assert "This folder is a bundle that was unpacked." in result.out


async def test_import__tar_of_files(machine: Machine, tmp_path: Path) -> None:
    """A tar without a manifest is refused, unless somebody says that it is one of files."""
    path = tmp_path / "files.tar"
    path.write_bytes(tar({"demo.whl": _WHEEL}))

    refused, taken = await machine.run("import", str(path)), await machine.run("import", "--files", str(path))

    said = f"pullthrough: {path}: This is no bundle: it begins with demo.whl, and not with MANIFEST.json.\n"
    assert (1, said) == (
        refused.status,
        refused.err,
    )
    assert 0 == taken.status


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("nowhere.tar", 2, "there is no such file or folder"),
        ("text", 1, "This is no tar"),
        ("empty", 1, "is empty"),
        ("folder", 2, "there is no archive in this folder"),
    ],
)
async def test_import__what_is_none(machine: Machine, tmp_path: Path, name: str, status: int, reason: str) -> None:
    """What is no bundle is said in a line."""
    (tmp_path / "text").write_bytes(b"text" * 1000)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("a list\n", encoding="utf-8")

    result = await machine.run("import", str(tmp_path / name))

    assert status == result.status
    assert reason in result.err
    assert 1 == result.err.count("\n")


async def test_import__index_that_is_not_here(machine: Machine, tmp_path: Path) -> None:
    """A mount that the settings do not name is said, since nothing of it is served."""
    path = tmp_path / "two.tar"
    path.write_bytes(bundle(_PART, (member("files/corp/a", b"a", "file:corp:a::a"), b"a")))

    result = await machine.run("import", str(path))

    assert 0 == result.status
    assert "The settings name no upstream corp: what came of that is served when they do" in result.out


async def test_import__delta_without_its_base(machine: Machine, tmp_path: Path) -> None:
    """What is missing is named, and the status says so."""
    path = tmp_path / "delta.tar"
    path.write_bytes(bundle((member(_PART[0].path, _WHEEL, _KEY, elsewhere=True), b"")))

    result = await machine.run("import", str(path))

    assert 1 == result.status
    assert f"missing: {_PART[0].path}" in result.out


async def test_import__made_by_another_tar(machine: Machine, path: Path, tmp_path: Path) -> None:
    """A bundle that GNU tar packed again is one."""
    again = tmp_path / "again.tar"
    with tarfile.open(path) as old, tarfile.open(again, "w", format=tarfile.GNU_FORMAT) as new:
        for info in old:
            read = old.extractfile(info)
            assert read is not None
            new.addfile(info, io.BytesIO(read.read()))

    assert 0 == (await machine.run("import", str(again))).status


def test_summary__all_that_can_come_out() -> None:
    """Each thing in a line of its own."""
    done = Imported(1, 1000, 2, 3, 1, ("files/a",), 1)

    assert [
        "a.tar: took in 1 file, 1.0 kB; 2 files were here.",
        "3 addresses stayed as what is here, which upstream confirmed later: --replace-newer replaces that, too.",
        "1 address left out: of a later version, or no index page.",
        "Not here, and in the bundle that this one follows: 1 file. Import that one first, then this one again.",
        "missing: files/a",
    ] == summary("a.tar", done)
    assert "The settings name no upstream a, b:" in summary("a.tar", Imported(1, 1), ["a", "b"])[1]
    assert "sha256" in summary("wheels", Imported(1, 1), loose=True)[1]


async def _killed(machine: Machine, data: bytes) -> None:
    """Begin an import of what begins so, and kill the process when it has read all of that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy", "import", "-", cwd=ROOT, env=machine.environ, stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.kill()
    await process.wait()


@pytest.mark.timeout(300)
async def test_import__killed(machine: Machine, tmp_path: Path) -> None:
    """A kill in the middle leaves nothing wrong, and the import that is repeated ends as one that was not disturbed.

    `IMPORT_KILLS=100` kills as often.
    """
    chance = random.Random(3)
    parts = [_large(number) for number in range(5)]
    path, data = tmp_path / "large.tar", bundle(*parts)
    path.write_bytes(data)
    for _ in range(int(os.environ.get("IMPORT_KILLS", "1"))):
        await _killed(machine, data[: chance.randrange(len(data))])
        if (machine.data / "format").exists():
            async with opened(machine.data) as store:
                for one, body in parts:
                    entry = store.find(one.entries[0].key)
                    blob = store.blob(entry.digest) if entry is not None else None
                    if blob is not None:
                        with store.lease(blob) as descriptor:
                            assert body == os.pread(descriptor, len(body) + 1, 0)

    result = await machine.run("import", str(path))

    assert 0 == result.status, result.err
    async with opened(machine.data) as store:
        assert [one.entries[0] for one, _ in parts] == [store.find(one.entries[0].key) for one, _ in parts]
        assert await store.inventory.verify(parts[0][0].sha256, lambda _: None)
