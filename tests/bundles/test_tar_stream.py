"""A tar from hands that are not trusted."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from proxy.bundles.layout import sound
from proxy.bundles.manifest import BadBundle
from proxy.bundles.tar_stream import Began, Ended, TarStream, pax_records, shown
from tests.bundles.tars import END, block, header, tar

_LONG = "files/" + "long/" * 60 + "name.whl"
_FILES = {"first": b"", "a/b.whl": b"w" * 511, "c": b"c" * 512, _LONG: b"l" * 1500, "naïve/ü": b"u"}


def read(data: bytes, piece: int = 1 << 16, *, loose: bool = False) -> list[tuple[str, bytes]]:
    """The members of a tar that comes in pieces of this size."""
    stream, found, expected = TarStream(loose=loose), list[tuple[str, bytes]](), 0
    for start in range(0, len(data), piece):
        for event in stream.feed(data[start : start + piece]):
            match event:
                case Began(path=path, size=size):
                    found.append((path, b""))
                    expected = size
                case Ended():
                    assert len(found[-1][1]) == expected
                case body:
                    found[-1] = found[-1][0], found[-1][1] + body
    stream.finish()
    return found


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("piece", [1, 100, 512, 513, 1 << 16])
def test_members__in_pieces(form: int, piece: int) -> None:
    """A tar is the same however it arrives, with long names and names that are not ASCII."""
    assert [*_FILES.items()] == read(tar(_FILES, form), piece)


@pytest.mark.parametrize("piece", [1, 100, 512, 1537, 1 << 16])
@pytest.mark.parametrize("longest", [0, 511, 600])
def test_skip__bodies_that_are_had_elsewhere(piece: int, longest: int) -> None:
    """A body that is skipped is not fed: its position says where it lies, and all others come as ever."""
    data, stream, found, at = tar(_FILES), TarStream(), dict[str, bytes](), 0
    path = ""
    while fed := data[at : at + piece]:
        at += len(fed)
        for event in stream.feed(fed):
            match event:
                case Began(path=path, size=size, position=position):
                    found[path] = b""
                    if size > longest:
                        stream.skip()
                        found[path] = data[position : position + size]
                        at = max(at, position + size)
                case memoryview():
                    found[path] += event
    stream.finish()

    assert found == _FILES


def test_skip__then_cut_off() -> None:
    """What follows a body that was skipped is checked as ever."""
    data = tar({"a": b"a" * 2000, "b": b"b" * 2000})
    stream = TarStream()
    for event in stream.feed(data[:512]):
        if isinstance(event, Began):
            stream.skip()
    assert [Began("b", 2000, 512 + 2048 + 512)] == [*stream.feed(data[512 + 2000 : 512 + 2048 + 512])]

    with pytest.raises(BadBundle, match="cut off within b"):
        stream.finish()


def test_members__folders() -> None:
    """A folder means nothing."""
    assert [("a/b", b"x")] == read(header("a/", tarfile.DIRTYPE) + header("a/b", size=1) + block(b"x") + END)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("piece", [1, 512, 1 << 16])
def test_loose__as_tar_makes_it_of_a_folder(tmp_path: Path, form: int, piece: int) -> None:
    """`tar -C folder .` has the folder itself, and names that begin with a dot; they are named without it."""
    for name, body in _FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        archive.add(tmp_path, "./")
        for path in sorted(tmp_path.rglob("*")):
            archive.add(path, f"./{path.relative_to(tmp_path)}", recursive=False)

    assert _FILES == dict(read(made.getvalue(), piece, loose=True))


@pytest.mark.parametrize("piece", [1, 512, 1 << 16])
def test_loose__as_git_makes_it(piece: int) -> None:
    """`git archive` describes all members first; nothing of that counts."""
    said = b"52 comment=0123456789012345678901234567890123456789\n"
    data = header("pax_global_header", tarfile.XGLTYPE, len(said)) + block(said)
    data += header("wheels/", tarfile.DIRTYPE) + header("wheels/a.whl", size=1) + block(b"x") + END

    assert [("wheels/a.whl", b"x")] == read(data, piece, loose=True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header("././a"), r"\./a is no path"),
        (header("./../a"), r"\.\./a is no path"),
        (header(".//a"), "/a is no path"),
        (header("."), r"\. is no path"),
        (header("./", tarfile.DIRTYPE, 512), r"is no path"),
        (header("all", tarfile.XGLTYPE, 1 << 20), "describes a member within its first member with 1048576 bytes"),
        (header("all", tarfile.XGLTYPE, 20), "cut off within"),
        (header("./", tarfile.DIRTYPE) + END, "is empty"),
    ],
)
def test_loose__still_refused(data: bytes, reason: str) -> None:
    """One `./` at the beginning is all that such a name may have."""
    with pytest.raises(BadBundle, match=reason):
        read(data, loose=True)


def test_members__size_in_pax() -> None:
    """The size of the extended header counts."""
    assert [("a", b"12345")] == read(header("a", size=9, pax={"size": "5"}) + block(b"12345") + END)


def test_members__what_follows_the_end() -> None:
    """What stands behind the end of the tar is not looked at."""
    assert [("a", b"x")] == read(header("a", size=1) + block(b"x") + END + b"anything")


def test_members__many() -> None:
    """However many there are, nothing of them is kept."""
    stream, one = TarStream(), header("a", pax={"comment": "c" * 2000})
    count = sum(isinstance(event, Began) for _ in range(2000) for event in stream.feed(one))

    assert 2000 == count
    assert {} == stream._described


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (header("/etc/passwd"), "/etc/passwd is no path of a plain file"),
        (header("a/../../b"), r"a/../../b is no path"),
        (header("./a"), r"\./a is no path"),
        (header("./", tarfile.DIRTYPE), r"\. is no path"),
        (header("a//b"), "a//b is no path"),
        (header("short", pax={"path": "../out"}), r"\.\./out is no path"),
        (header("a", pax={"path": "x\x1b[2Jy"}), "x\N{REPLACEMENT CHARACTER}.*is no path"),
        (header("a" * 90, pax={"path": "b" * 5000}), "b…? is no path"),
        (header("of/links", tarfile.SYMTYPE), "of/links is a symbolic link"),
        (header("of/links", tarfile.LNKTYPE), "of/links is a hard link"),
        (header("dev/sda", tarfile.BLKTYPE), "dev/sda is a device"),
        (header("dev/tty", tarfile.CHRTYPE), "dev/tty is a device"),
        (header("pipe", tarfile.FIFOTYPE), "pipe is a named pipe"),
        (header("hole", tarfile.GNUTYPE_SPARSE), "hole is a sparse file"),
        (header("hole", pax={"GNU.sparse.major": "1"}), "hole is a sparse file"),
        (header("whole", b"g", 20), "whole is of the unknown type b'g'"),
        (header("folder", tarfile.DIRTYPE, 512), "folder has an impossible size"),
        (header("a", pax={"size": "-5"}), "a has an impossible size"),
        (header("a", pax={"size": "9" * 30}), "a has an impossible size"),
        (header("a", b"x", 1 << 20), "describes a member within its first member with 1048576 bytes"),
        (header("a", b"x", 3) + block(b"abc"), "described wrongly"),
        (header("a", b"L", 2) + block(b"\xff\xff") + header("b"), "described wrongly"),
        (header("a", b"x", 20) + block(b"20 path=nothing/more\n"[:20]) + END, "described wrongly|half a member"),
        (header("first") + b"x" * 512, "damaged behind first"),
        (b"x" * 600, "This is no tar. A bundle"),
        (b"\x1f\x8b" + b"x" * 600, "no tar, but a compressed file.*gunzip"),
        (b"BZh9" + b"x" * 600, "bunzip2"),
        (b"\xfd7zXZ\0" + b"x" * 600, "unxz"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 600, "unzstd"),
        (b"PK\x03\x04" + b"x" * 600, "name their folder"),
        (b"", "is empty"),
        (END, "is empty"),
        (header("a", size=1), "cut off within a"),
        (header("a", size=1) + b"x" + bytes(511) + b"half", "cut off behind a"),
        (header("a")[:300], "cut off within its first member"),
    ],
)
def test_refusal__names_the_member(data: bytes, reason: str) -> None:
    """What no bundle holds is refused, and the reason names the member."""
    with pytest.raises(BadBundle, match=reason):
        read(data)


@settings(max_examples=300, deadline=None)
@given(some.integers(0, len(tar(_FILES)) - 1), some.integers(1, 255))
def test_damage__is_seen_or_changes_nothing_but_bodies(place: int, mask: int) -> None:
    """A changed byte gives other members, other bodies or a refusal, and never another failure."""
    data = bytearray(tar(_FILES))
    data[place] ^= mask
    try:
        found = read(bytes(data))
    except BadBundle:
        return
    assert all(sound(path) for path, _ in found)
    assert sum(len(body) for _, body in found) <= len(data)


@settings(max_examples=100, deadline=None)
@given(some.randoms(use_true_random=False))
def test_truncation__anywhere(chance: random.Random) -> None:
    """A tar that ends early gives the first of its members, or a refusal."""
    data = tar(_FILES)
    try:
        found = read(data[: chance.randrange(len(data))])
    except BadBundle:
        return
    assert [*_FILES.items()][: len(found)] == found


@settings(max_examples=300, deadline=None)
@given(some.binary(max_size=600))
def test_pax_records__of_anything(body: bytes) -> None:
    """Any bytes are records or ValueError; records that are read are those that were written."""
    try:
        found = pax_records(body)
    except ValueError:
        return
    assert all(key and len(key) + len(value) <= len(body) for key, value in found.items())


def test_tarfile__agrees() -> None:
    """Python's own reader finds the same files."""
    data = tar(_FILES)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [name for name, _ in read(data)] == archive.getnames()


def test_shown__of_hostile_names() -> None:
    """A name in a message is short, and moves no cursor."""
    assert "a\N{REPLACEMENT CHARACTER}b" == shown("a\nb")
    assert 201 == len(shown("x" * 1000))
    assert "(no name)" == shown("")
