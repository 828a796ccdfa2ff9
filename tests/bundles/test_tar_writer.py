"""A tar as others read it: of the size that was said, with every body, to files, pipes and sockets."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bundles import layout, tar_writer
from proxy.bundles.manifest import decode
from proxy.bundles.tar_writer import BrokenOff, TarOutlet
from proxy.errors import StoreBroken
from tests.bundles.packed import BODIES, PAGE, WHEEL, bundle_tar, opener, sha256, write


def test_tar__is_what_was_stored(tmp_path: Path) -> None:
    """Python's library and tar(1) read it: the manifest first, plain files only, each with its digest and time."""
    bundle = write(tmp_path)

    with tarfile.open(bundle, "r:") as archive:
        infos = archive.getmembers()
        bodies = [file.read() for info in infos if (file := archive.extractfile(info)) is not None]
    manifest = decode(bodies[0])
    assert all(info.isreg() and info.mode == 0o644 for info in infos)
    assert ["MANIFEST.json", *(member.path for member in manifest.members)] == [info.name for info in infos]
    assert [member.sha256 for member in manifest.members] == [sha256(body) for body in bodies[1:]]
    assert {1_790_000_000, 1_789_000_000} == {int(info.mtime) for info in infos}
    assert len(infos) == len(subprocess.check_output(["tar", "-tf", bundle]).splitlines())


def test_tar__sums_are_right(tmp_path: Path) -> None:
    """`sha256sum -c` passes on what was unpacked."""
    subprocess.run(["tar", "-xf", write(tmp_path), "-C", tmp_path], check=True)

    assert 0 == subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=False).returncode


def test_tar__size_is_known_before(tmp_path: Path) -> None:
    """Also with names that plain headers have no room for, and a body that is not a multiple of a block."""
    bodies = {**BODIES, f"file:pypi:demo:h:{'long/' * 60}é.whl": b"x" * 513, "file:pypi:demo:h:empty": b""}

    bundle = write(tmp_path, bodies)

    with bundle_tar(bodies) as tar:
        assert tar.size == bundle.stat().st_size
    assert 0 == bundle.stat().st_size % 10_240


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300).filter(layout.sound),
    st.integers(0, 1 << 40),
    st.floats(0, 8**11 - 1),
)
def test_head__is_that_of_the_library(path: str, size: int, time: float) -> None:
    """Whatever a member is called, and however large it is; its length was reckoned before."""
    head = tar_writer._head(path, size, time)

    with tarfile.open(fileobj=io.BytesIO(head + bytes(1024))) as archive:
        info = archive.next()
    assert info is not None
    assert (path, size, int(time), 0o644, tarfile.REGTYPE) == (info.name, info.size, info.mtime, info.mode, info.type)
    assert (0, 0, "", "", "") == (info.uid, info.gid, info.uname, info.gname, info.linkname)
    made = tarfile.TarInfo(path)
    made.size = size
    assert tar_writer._head_size(path, size) == len(head) == len(made.tobuf(tarfile.PAX_FORMAT, "utf-8"))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_tar__into_a_slow_reader(tmp_path: Path, kind: str) -> None:
    """A full pipe or socket is waited for, also one that does not block; what was taken is counted."""
    reading, writing = (one.detach() for one in socket.socketpair()) if kind == "socket" else os.pipe()
    os.set_blocking(writing, False)
    taken = list[int]()

    def writer() -> None:
        with bundle_tar() as tar:
            tar.write(TarOutlet(writing, taken.append), opener(tmp_path))
        os.close(writing)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(writer)
        with os.fdopen(reading, "rb") as file:
            received = file.read()
        done.result()

    assert write(tmp_path).read_bytes() == received
    assert len(received) == sum(taken)


def test_tar__nobody_reads(tmp_path: Path) -> None:
    """It ends when it is stopped, or when the reader is gone."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    outlet = TarOutlet(writing)
    with ThreadPoolExecutor(1) as pool, bundle_tar() as tar:
        done = pool.submit(tar.write, outlet, opener(tmp_path))
        outlet.stop()
        with pytest.raises(BrokenOff):
            done.result()
    os.close(reading)
    with bundle_tar() as tar, pytest.raises(BrokenPipeError):
        tar.write(TarOutlet(writing), opener(tmp_path))
    os.close(writing)


@pytest.mark.parametrize("key", [WHEEL, PAGE])
def test_tar__body_is_shorter_than_it_was(tmp_path: Path, key: str) -> None:
    """No bundle comes of it."""
    short = {**BODIES, key: BODIES[key][:-1]}
    open_short, by_digest = opener(tmp_path, short), {sha256(body): sha256(short[one]) for one, body in BODIES.items()}

    with (
        (tmp_path / "out").open("wb") as file,
        bundle_tar() as tar,
        pytest.raises(StoreBroken, match="pullthrough verify"),
    ):
        tar.write(TarOutlet(file.fileno()), lambda wanted: open_short(by_digest[wanted]))
