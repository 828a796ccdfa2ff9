"""The program in a bundle, run by itself: serving and unpacking, and bundles that are wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.bundles.apply import server_of
from tests.bundles.packed import BODIES, PACKAGE, WHEEL, contents, write

_WHEEL = "files/pypi/files.example/a/demo-1-py3-none-any.whl"


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As it comes out of the tar, without this project beside it."""
    with tarfile.open(folder / "bundle.tar") as archive:
        program = archive.extractfile("apply.py")
        assert program is not None
        (folder / "apply.py").write_bytes(program.read())
    return subprocess.run(
        [sys.executable, "-I", "apply.py", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_unpack__and_again(tmp_path: Path) -> None:
    """Each file is there, with its digest; the second time nothing is written."""
    write(tmp_path)

    first, second = (_run(tmp_path, "unpack", "bundle.tar", "out") for _ in range(2))

    count = len(contents().members)
    assert (0, f"{count} files are in out; 0 of them were there.\n", "") == (
        first.returncode, first.stdout, first.stderr,
    )  # fmt: skip
    assert f"{count} files are in out; {count} of them were there.\n" == second.stdout
    assert BODIES[WHEEL] == (tmp_path / "out" / _WHEEL).read_bytes()
    assert (
        0 == subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=False).returncode
    )
    assert 1_789_000_000 == (tmp_path / "out" / _WHEEL).stat().st_mtime


def test_unpack__a_delta_over_the_one_before(tmp_path: Path) -> None:
    """What is elsewhere has to be there; what is missing is said."""
    before = {(one.path, one.sha256) for one in contents({WHEEL: BODIES[WHEEL]}).members}
    write(tmp_path, before=before)

    alone = _run(tmp_path, "unpack", "bundle.tar", "out")
    assert 0 == alone.returncode
    assert _WHEEL in alone.stderr
    write(tmp_path, {WHEEL: BODIES[WHEEL]})
    assert "" == _run(tmp_path, "unpack", "bundle.tar", "out").stderr
    write(tmp_path, before=before)
    assert "" == _run(tmp_path, "unpack", "bundle.tar", "out").stderr


def _rewritten(folder: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]) -> None:
    old = write(folder).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(old)) as source, tarfile.open(folder / "bundle.tar", "w") as to:
        for info in source:
            file = source.extractfile(info)
            assert file is not None
            info, body = change(info, file.read())  # noqa: PLW2901
            to.addfile(info, io.BytesIO(body))


def _renamed(path: str) -> Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]:
    def change(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if info.name == _WHEEL:
            info.name = path
        if info.name == "MANIFEST.json":
            body = body.replace(_WHEEL.encode(), path.encode())
            info.size = len(body)
        return info, body

    return change


def _flipped(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info, body if info.name != _WHEEL else b"x" + body[1:]


def _linked(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if info.name == _WHEEL:
        info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
    return info, body


def _later(info: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if info.name == "MANIFEST.json":
        body = json.dumps({**json.loads(body), "format": 2}).encode()
        info.size = len(body)
    return info, body


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_renamed("../outside"), "../outside"),
        (_renamed("/outside"), "/outside"),
        (_renamed("link/outside"), "link/outside"),
        (_flipped, _WHEEL),
        (_linked, _WHEEL),
        (_later, "format 2"),
    ],
)
def test_unpack__wrong_bundle(tmp_path: Path, change: Callable[..., Any], said: str) -> None:
    """Nothing wrong is written, nothing outside; the member is named."""
    _rewritten(tmp_path, change)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")

    result = _run(tmp_path, "unpack", "bundle.tar", "out")

    assert 1 == result.returncode
    assert said in result.stderr
    assert not (tmp_path / "outside").exists()
    assert [] == list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "out" / _WHEEL).exists()


def test_unpack__cut_off_behind_a_member(tmp_path: Path) -> None:
    """A tar may end where a member does, and look whole: it is said that files are missing, by both verbs."""
    bundle = write(tmp_path)
    with tarfile.open(bundle) as archive:
        last = archive.getmembers()[-1]
    with bundle.open("r+b") as file:
        file.truncate(last.offset)

    for arguments in (("unpack", "bundle.tar", "out"), ("serve", "bundle.tar")):
        result = _run(tmp_path, *arguments)
        assert 1 == result.returncode
        assert f"cut off: 1 files are missing, such as '{last.name}'" in result.stderr


def test_unpack__packed_again(tmp_path: Path) -> None:
    """Whoever packs the folder again with tar has members for folders, too."""
    write(tmp_path)
    assert 0 == _run(tmp_path, "unpack", "bundle.tar", "out").returncode
    with tarfile.open(tmp_path / "again.tar", "w") as archive:
        for name in ("MANIFEST.json", *sorted(path.name for path in (tmp_path / "out").iterdir())):
            if name not in archive.getnames():
                archive.add(tmp_path / "out" / name, name)
    assert 0 == _run(tmp_path, "unpack", "again.tar", "other").returncode


def test_unpack__two_names_of_one_file(tmp_path: Path) -> None:
    """Where a file system takes two names for one, as some do with cases, no file is put in place of another."""
    write(tmp_path)
    assert 0 == _run(tmp_path, "unpack", "bundle.tar", "out").returncode
    first, second = tmp_path / "out" / "apply.py", tmp_path / "out" / "find-links.html"
    second.unlink()
    second.hardlink_to(first)
    result = _run(tmp_path, "unpack", "bundle.tar", "out")
    assert 1 == result.returncode
    assert "'apply.py' and 'find-links.html' are one file here" in result.stderr


def test_unpack__deep_manifest(tmp_path: Path) -> None:
    """A manifest that no parser takes is an error like another."""
    body = b"[" * 200_000
    info = tarfile.TarInfo("MANIFEST.json")
    info.size = len(body)
    write(tmp_path)
    with tarfile.open(tmp_path / "deep.tar", "w") as archive:
        archive.addfile(info, io.BytesIO(body))
    result = _run(tmp_path, "unpack", "deep.tar", "out")
    assert (1, 1) == (result.returncode, result.stderr.count("\n"))


def test_unpack__no_bundle(tmp_path: Path) -> None:
    """Some other tar, or none at all."""
    write(tmp_path)
    (tmp_path / "other").write_bytes(b"\0" * 10_240)
    (tmp_path / "text").write_bytes(b"text")

    for name in ("other", "text", "nothing"):
        result = _run(tmp_path, "unpack", name, "out")
        assert (1, 1) == (result.returncode, result.stderr.count("\n"))


@contextmanager
def _serving(what: Path) -> Iterator[str]:
    server = server_of(str(what), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # where the server of the standard library logs


@pytest.mark.usefixtures("_quiet")
def test_serve__without_unpacking(tmp_path: Path) -> None:
    """Files, parts of them, pages of folders; what is not there is missing."""
    with _serving(write(tmp_path)) as url:
        body = BODIES[WHEEL]
        assert (200, body) == _get(f"{url}/{_WHEEL}")[:2]
        assert (200, BODIES[PACKAGE]) == _get(f"{url}/apt/deb.example/debian/pool/main/d/demo/demo_1_all.deb")[:2]
        status, page, headers = _get(f"{url}/simple/demo/")
        assert (200, contents().made["simple/demo/index.html"], "text/html") == (status, page, headers["Content-Type"])
        assert page == _get(f"{url}/simple/demo")[1]
        assert (206, body[5:8]) == _get(f"{url}/{_WHEEL}", Range="bytes=5-7")[:2]
        assert (206, body[-4:]) == _get(f"{url}/{_WHEEL}", Range="bytes=-4")[:2]
        assert (206, body[9:]) == _get(f"{url}/{_WHEEL}", Range="bytes=9-")[:2]
        assert 416 == _get(f"{url}/{_WHEEL}", Range=f"bytes={len(body)}-")[0]
        # As apt asks for the files of a flat archive.
        assert (200, body) == _get(f"{url}/{_WHEEL.replace('/', '/./')}")[:2]
        assert (200, body) == _get(f"{url}/{_WHEEL.replace('/', '//')}")[:2]
        assert page == _get(f"{url}//simple/./demo/.")[1]
        assert 404 == _get(f"{url}/simple/nothing/")[0]
        assert 404 == _get(f"{url}/../../etc/passwd")[0]


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("what", ["bundle.tar", "out"])
def test_serve__encoded_slash(tmp_path: Path, what: str) -> None:
    """It is part of a name: GitLab takes the path of a project so."""
    write(tmp_path, {"apt:file:http://deb.example/projects/a\\b/demo_1_all.deb": b"deb"})
    assert 0 == _run(tmp_path, "unpack", "bundle.tar", "out").returncode

    with _serving(tmp_path / what) as url:
        for name in ("a%2Fb", "a%2fb", "a%252Fb"):
            assert (200, b"deb") == _get(f"{url}/apt/deb.example/projects/{name}/demo_1_all.deb")[:2]
        assert 404 == _get(f"{url}/apt/deb.example/projects/a/b/demo_1_all.deb")[0]


@pytest.mark.usefixtures("_quiet")
def test_serve__a_folder(tmp_path: Path) -> None:
    """What was unpacked."""
    write(tmp_path)
    assert 0 == _run(tmp_path, "unpack", "bundle.tar", "out").returncode

    with _serving(tmp_path / "out") as url:
        assert contents().made["simple/demo/index.html"] == _get(f"{url}/simple/demo/")[1]
