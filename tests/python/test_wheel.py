"""`proxy.python.wheel`."""

from __future__ import annotations

import errno
import io
import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from proxy.errors import NotFound, StoreBroken, WrongBytes
from proxy.python.wheel import NeedBytes, Unreadable, Window, WithoutMetadata, first_range, read_metadata

NAME = "x_y-1.0-py3-none-any.whl"
BODY = b"Metadata-Version: 2.1\nName: x-y\nVersion: 1.0\n"
MEMBER = "x_y-1.0.dist-info/METADATA"


def zipped(
    members: dict[str, bytes], *, comment: bytes = b"", method: int = zipfile.ZIP_DEFLATED, zip64: bool = False
) -> bytes:
    """A zip file of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = comment
        for name, body in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(body)
    return file.getvalue()


def packed_by_zstd(
    members: dict[str, bytes], *, extra: bytes = b"", spoilt: bool = False, frames: bool = False
) -> bytes:
    """The same packed by zstd (APPNOTE 4.4.5: method 93), which zipfile writes from Python 3.14 on only.

    `extra`: an extra field of each member's own header. `spoilt`: other bytes come out than the directory promises.
    """
    file, rows = io.BytesIO(), []
    for name, body in members.items():
        packed, raw = zstd.compress(body[::-1] if spoilt else body), name.encode()
        if frames:  # the first of them has nothing to unpack (RFC 8878 §3.1.2)
            packed = struct.pack("<2L", 0x184D2A50, 3) + b"abc" + zstd.compress(body[:9]) + zstd.compress(body[9:])
        facts = (0, 93, 0, 0x21, zlib.crc32(body), len(packed), len(body), len(raw))
        rows.append(struct.pack("<4s2H4H3L5H2L", b"PK\1\2", 63, 63, *facts, 0, 0, 0, 0, 0, file.tell()) + raw)
        file.write(struct.pack("<4sH4H3L2H", b"PK\3\4", 63, *facts, len(extra)) + raw + extra + packed)
    start, directory = file.tell(), b"".join(rows)
    file.write(directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(rows), len(rows), len(directory), start, 0))
    return file.getvalue()


def zip64_end(plain: bytes) -> bytes:
    """The same archive, its directory announced by a zip64 record (APPNOTE 4.3.14, 4.3.15)."""
    _, _, _, _, count, size, offset, _ = struct.unpack("<4s4H2LH", plain[-22:])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(plain) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return plain[:-22] + record + locator + end


def ranged(wheel: bytes | Path, size: int, *, buffered: bool) -> tuple[bytes, list[int]]:
    """Read METADATA of a file by ranges; also the length of each range that was asked for."""
    window, (start, end) = Window(size), first_range(size)
    lengths = []
    while True:
        lengths.append(end - start)
        window.add(start, part(wheel, start, end))
        try:
            return read_metadata(io.BufferedReader(window, 1 << 10) if buffered else window, NAME), lengths  # type: ignore[arg-type]
        except NeedBytes as need:
            start, end = need.start, need.end


def part(wheel: bytes | Path, start: int, end: int) -> bytes:
    """A range of a wheel, as upstream gives it."""
    if isinstance(wheel, bytes):
        return wheel[start:end]
    with wheel.open("rb") as file:
        return os.pread(file.fileno(), end - start, start)


PLAIN = {"x_y/__init__.py": b"", MEMBER: BODY, "x_y-1.0.dist-info/RECORD": b""}
WHEELS = {
    "plain": zipped(PLAIN),
    "stored": zipped(PLAIN, method=zipfile.ZIP_STORED),
    "bzip2": zipped(PLAIN, method=zipfile.ZIP_BZIP2),
    "comment": zipped(PLAIN, comment=b"signed " * 9000),
    "zstd": packed_by_zstd(PLAIN),
    "zstd with an extra field": packed_by_zstd(PLAIN, extra=struct.pack("<2H", 0xCAFE, 2000) + bytes(2000)),
    "zstd in several frames": packed_by_zstd(PLAIN, frames=True),
    "large metadata by zstd": packed_by_zstd(PLAIN | {MEMBER: BODY + os.urandom(200_000)}),
    "zip64 members": zipped(PLAIN, zip64=True),
    "zip64 directory": zip64_end(zipped(PLAIN)),
    "something before it": b"#!/bin/sh\n" * 1000 + zipped(PLAIN),
    "many files": zipped({f"x_y/{number}.py": os.urandom(50) for number in range(3000)} | PLAIN),
    "metadata first": zipped(PLAIN | {"x_y/data": os.urandom(500_000)}),
    "large metadata": zipped(PLAIN | {MEMBER: BODY + os.urandom(200_000)}),
}


@pytest.mark.parametrize("kind", WHEELS)
def test_read_metadata__whole_file(kind: str) -> None:
    """METADATA is found in a whole wheel."""
    body = read_metadata(io.BytesIO(WHEELS[kind]), NAME)
    assert body[: len(BODY)] == BODY


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("kind", WHEELS)
def test_read_metadata__ranges(kind: str, *, buffered: bool) -> None:
    """METADATA is found by ranges, in few requests, and is the same."""
    wheel = WHEELS[kind]
    body, lengths = ranged(wheel, len(wheel), buffered=buffered)
    assert body == read_metadata(io.BytesIO(wheel), NAME)
    assert len(lengths) <= 3
    assert sum(lengths) <= len(wheel)


def test_read_metadata__large_wheel(tmp_path: Path) -> None:
    """Of a wheel of 100 MB only its end is asked for, in one request."""
    path = tmp_path / NAME
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("x_y/library.so", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
        archive.writestr(MEMBER, BODY)
        archive.writestr("x_y-1.0.dist-info/RECORD", "x_y/library.so,,\n")
    body, lengths = ranged(path, path.stat().st_size, buffered=True)
    assert body == BODY
    assert lengths == [32 << 10]


@pytest.mark.parametrize(
    "folders",
    [
        ["x_y-1.0.dist-info"],
        ["other-2.0.dist-info"],
        ["vendored-3.0.dist-info", "x_y-1.0.dist-info"],
        ["vendored-3.0.dist-info", "X.Y-1.dist-info"],
    ],
)
def test_read_metadata__folder(folders: list[str]) -> None:
    """The one `.dist-info` folder at the top is taken, of several the one with the wheel's own name and version."""
    members = {f"{folder}/METADATA": folder.encode() for folder in folders} | {"x_y/z-9.dist-info/METADATA": b"inner"}
    assert folders[-1].encode() == read_metadata(io.BytesIO(zipped(members)), NAME)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"x_y/__init__.py": b""},
        {"x_y-1.0.dist-info": b"a file, no folder"},
        {"a-1.dist-info/METADATA": b"", "b-1.dist-info/METADATA": b""},
        {"x_y-1.0.dist-info/METADATA": b"", "x.y-1.dist-info/METADATA": b""},
    ],
)
def test_read_metadata__no_folder(members: dict[str, bytes]) -> None:
    """Without one folder of its own a zip file is no wheel."""
    with pytest.raises(WrongBytes):
        read_metadata(io.BytesIO(zipped(members)), NAME)


def test_read_metadata__missing() -> None:
    """A wheel without METADATA has none to give."""
    with pytest.raises(NotFound):
        read_metadata(io.BytesIO(zipped({"x_y-1.0.dist-info/RECORD": b""})), NAME)


def damaged() -> dict[str, bytes]:
    """Wheels of which something is wrong."""
    plain, by_zstd = WHEELS["stored"], WHEELS["zstd"]
    at = plain.index(BODY)
    entry = plain.index(b"PK\1\2", plain.index(b"PK\1\2") + 1)  # METADATA's in the directory
    return {
        "empty": b"",
        "html": b"<!DOCTYPE html><html>log in</html>" * 100,
        "cut": plain[:-30],
        "flipped": plain[:at] + b"X" + plain[at + 1 :],
        "no header": b"\0" * at + plain[at:],
        "encrypted": plain[: entry + 8] + b"\1" + plain[entry + 9 :],
        "unknown method": plain[: entry + 10] + b"\x63" + plain[entry + 11 :],
        "zstd of other bytes": packed_by_zstd(PLAIN, spoilt=True),
        "zstd that is damaged": by_zstd.replace(zstd.compress(BODY), b"?" * len(zstd.compress(BODY))),
        "zstd without a header": b"\0" * by_zstd.index(b"PK\1\2") + by_zstd[by_zstd.index(b"PK\1\2") :],
        "zstd that is cut": packed_by_zstd({MEMBER: BODY}).replace(
            zstd.compress(BODY), zstd.compress(BODY)[:-9] + bytes(9)
        ),
        "offset": plain[:-6] + struct.pack("<L", 1 << 31) + plain[-2:],
    }


@pytest.mark.parametrize("kind", damaged())
def test_read_metadata__damaged(kind: str) -> None:
    """What is no sound wheel is upstream's fault, told so, whether read whole or by ranges."""
    wheel = damaged()[kind]
    with pytest.raises(WrongBytes, match="wheel"):
        read_metadata(io.BytesIO(wheel), NAME)
    with pytest.raises(WrongBytes, match="wheel"):
        ranged(wheel, len(wheel), buffered=True)


def test_read_metadata__lzma() -> None:
    """A method whose header decides how much memory unpacking takes is refused."""
    with pytest.raises(WrongBytes):
        read_metadata(io.BytesIO(zipped(PLAIN, method=zipfile.ZIP_LZMA)), NAME)


def test_read_metadata__bomb() -> None:
    """METADATA beyond the bound is refused by what the directory says."""
    with pytest.raises(WrongBytes, match="16 MiB"):
        read_metadata(io.BytesIO(zipped({MEMBER: bytes((16 << 20) + 1)})), NAME)


def test_read_metadata__bomb_that_lies() -> None:
    """A member that unpacks to more than the directory says is refused too."""
    wheel = zipped({MEMBER: bytes(17 << 20)})
    size = struct.pack("<L", 17 << 20)
    with pytest.raises(WrongBytes):
        read_metadata(io.BytesIO(wheel.replace(size, struct.pack("<L", 100))), NAME)


def test_read_metadata__bomb_by_zstd() -> None:
    """What unpacks to more than the bound is not unpacked further, whatever the directory says."""
    wheel, size = packed_by_zstd({MEMBER: bytes(64 << 20)}), struct.pack("<L", 64 << 20)
    for lie in (64 << 20, 100):
        with pytest.raises(WrongBytes):
            read_metadata(io.BytesIO(wheel.replace(size, struct.pack("<L", lie))), NAME)


def test_read_metadata__that_will_never_be_read() -> None:
    """What a sound wheel does not give is told apart from what is damaged: asking again is of no use."""
    plain = WHEELS["stored"]
    entry = plain.index(b"PK\1\2", plain.index(b"PK\1\2") + 1)
    with pytest.raises(Unreadable):
        read_metadata(io.BytesIO(plain[: entry + 10] + b"\x63" + plain[entry + 11 :]), NAME)
    with pytest.raises(WithoutMetadata):
        read_metadata(io.BytesIO(zipped({"x_y-1.0.dist-info/RECORD": b""})), NAME)
    with pytest.raises(WrongBytes) as damaged:
        read_metadata(io.BytesIO(plain[:-30]), NAME)
    assert not isinstance(damaged.value, Unreadable)


def test_read_metadata__largest() -> None:
    """METADATA up to the bound is read."""
    assert len(read_metadata(io.BytesIO(zipped({MEMBER: bytes(16 << 20)})), NAME)) == 16 << 20


def test_read_metadata__directory_too_large() -> None:
    """A zip that announces a directory larger than any wheel has is refused before it is asked for."""
    size = 1 << 30
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 900 << 20, 0, 0)
    window = Window(size)
    window.add(size - (32 << 10), bytes((32 << 10) - len(end)) + end)
    with pytest.raises(WrongBytes, match="directory"):
        read_metadata(io.BufferedReader(window, 1 << 10), NAME)


def test_read_metadata__disk_fails() -> None:
    """A fault of the disk is not told as a fault of the wheel."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "input/output error")

    with pytest.raises(StoreBroken):
        read_metadata(Failing(WHEELS["plain"]), NAME)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, (0, 0)), (100, (0, 100)), (1 << 30, ((1 << 30) - (32 << 10), 1 << 30))]
)
def test_first_range__size(size: int, expected: tuple[int, int]) -> None:
    """The end of the file, or all of a small one."""
    assert expected == first_range(size)


def test_window__gap() -> None:
    """Reading in a gap says what is missing, up to what is known; and nothing has been read then."""
    window = Window(100_000)
    window.add(0, b"ab")
    window.add(10, b"cd")
    with pytest.raises(NeedBytes) as caught:
        window.read(4)
    assert (caught.value.start, caught.value.end) == (2, 10)
    assert window.tell() == 0
    window.seek(50_000)
    with pytest.raises(NeedBytes) as caught:
        window.read(1000)
    assert (caught.value.start, caught.value.end) == (50_000, 50_000 + 1000 + (4 << 10))


def test_window__end() -> None:
    """Behind the end there is nothing, and before the start no position."""
    window = Window(3)
    window.add(0, b"abc")
    assert window.seek(-2, os.SEEK_END) == 1
    assert (window.read(10), window.read(10)) == (b"bc", b"")
    assert window.seek(10) == 10
    assert window.read(1) == b""
    with pytest.raises(OSError, match="before the start"):
        window.seek(-1)


def test_window__survives_its_reader() -> None:
    """A buffered reader that is dropped does not take the window with it."""
    window = Window(3)
    window.add(0, b"abc")
    io.BufferedReader(window).close()
    assert window.read(3) == b"abc"
