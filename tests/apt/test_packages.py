"""Indexes of packages, made small."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.apt import packages
from proxy.apt.packages import Table, hashed, table
from proxy.apt.release import Listed
from proxy.errors import UpstreamBroken
from proxy.model import Digest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SHA = "ab" * 32
TEXT = f"""Package: demo
Filename: ./pool//demo_1.0_amd64.deb
Size: 123
SHA256: {SHA}

Package: lib
Size: 5
Description: The field
 Filename: not/this/one
Filename: pool/lib_1:2~x+y_amd64.deb
SHA256: {SHA.upper()}

Package: without-a-digest
Filename: pool/none.deb
Size: 5

Package: wrong-size
Filename: pool/wrong.deb
Size: many
SHA256: {SHA}
"""
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "Packages": bytes,
    "Packages.gz": gzip.compress,
    "Packages.bz2": bz2.compress,
    "Packages.xz": lzma.compress,
    "Packages.lzma": lambda body: lzma.compress(body, lzma.FORMAT_ALONE),
    "Packages.zst": zstd.compress,
}


def find(read: Table, name: str) -> Listed | None:
    """What a table says of a file that it lists once at most."""
    found = read.find(hashed(name))
    assert len(found) <= 1
    return found[0] if found else None


def pieces(body: bytes, size: int) -> list[bytes]:
    """A body in pieces."""
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_table(name: str, size: int) -> None:
    """Names, sizes and digests are read, however the index is packed, and in whatever pieces it arrives."""
    read = table(f"main/{name}", pieces(PACKED[name](TEXT.encode()), size))

    digest = Digest("sha256", SHA)
    assert Listed(123, digest) == find(read, "pool/demo_1.0_amd64.deb")
    assert Listed(5, digest) == find(read, "pool/lib_1:2~x+y_amd64.deb")
    assert [None] * 4 == [find(read, name) for name in ("pool/none.deb", "pool/wrong.deb", "not/this/one", "")]


@pytest.mark.parametrize("name", ["Packages.gz", "Packages.bz2", "Packages.xz", "Packages.zst"])
def test_table__several_streams(name: str) -> None:
    """A packed file may be several, one after another."""
    first, second = TEXT.encode().split(b"\n\n", 1)
    body = PACKED[name](first + b"\n\n") + PACKED[name](second)

    assert table(name, pieces(body, 10)) == table("Packages", [TEXT.encode()])


@pytest.mark.parametrize("name", [name for name in PACKED if name != "Packages"])
def test_table__damaged(name: str) -> None:
    """An index that cannot be unpacked is an error."""
    with pytest.raises(UpstreamBroken):
        table(name, [b"this is not packed at all, and long enough to be told from what is"])


def test_table__trap(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that unpacks to more than any index has is not read to its end."""
    monkeypatch.setattr(packages, "_MOST", 1 << 21)

    with pytest.raises(UpstreamBroken, match="larger"):
        table("Packages.gz", [gzip.compress(b"a: b\n\n" * 1_000_000)])


def test_table__one_endless_paragraph() -> None:
    """Memory is bounded though no paragraph ends."""
    with pytest.raises(UpstreamBroken, match="larger"):
        table("Packages", (b"x" * (1 << 20) for _ in range(10)))


def test_table__is_small() -> None:
    """48 bytes a package."""
    text = "\n".join(f"Filename: pool/{n}.deb\nSize: {n}\nSHA256: {os.urandom(32).hex()}\n" for n in range(1000))

    assert 48_000 == table("Packages", [text.encode()]).weight


@pytest.mark.parametrize(
    ("field", "algorithm", "length"),
    [("SHA512", "sha512", 128), ("SHA1", "sha1", 40), ("MD5sum", "md5", 32), ("Md5Sum", "md5", 32)],
)
def test_table__other_sums(field: str, algorithm: str, length: int) -> None:
    """The sum that is trusted most counts, of whatever kind it is; each package has its own."""
    value = "cd" * (length // 2)
    text = f"Filename: a.deb\nSize: 1\n{field}: {value}\n\nFilename: b.deb\nSize: 2\nMD5sum: {'00' * 16}\n"
    text += f"SHA256: {SHA}\n\nFilename: c.deb\nSize: 3\n{field}: {value[2:]}\n"

    read = table("Packages", [text.encode()])

    assert Listed(1, Digest(algorithm, value)) == find(read, "a.deb")
    assert Listed(2, Digest("sha256", SHA)) == find(read, "b.deb")
    assert find(read, "c.deb") is None


def test_table__line_ends_of_other_systems() -> None:
    """A carriage return before each line end is none of the text."""
    text = TEXT.replace("\n", "\r\n").encode()

    assert table("Packages", [TEXT.encode()]) == table("Packages", pieces(text, 7))


SOURCE = f"""Package: demo
Files:
 {"00" * 16} 5 demo_1.0.dsc
Directory: pool/main/d/demo
Checksums-Sha256:
 {SHA} 5 demo_1.0.dsc
 {"ef" * 32} 123 demo_1.0.orig.tar.xz
 damaged line
Homepage: http://x.example/

Package: old
Directory: pool/o
Files:
 {"11" * 16} 7 old_1.dsc
"""


def test_table__sources() -> None:
    """Files of sources lie in their package's folder."""
    read = table("main/source/Sources.xz", [lzma.compress(SOURCE.encode())])

    assert Listed(5, Digest("sha256", SHA)) == find(read, "pool/main/d/demo/demo_1.0.dsc")
    assert Listed(123, Digest("sha256", "ef" * 32)) == find(read, "pool/main/d/demo/demo_1.0.orig.tar.xz")
    assert Listed(7, Digest("md5", "11" * 16)) == find(read, "pool/o/old_1.dsc")
    assert [None] * 2 == [find(read, name) for name in ("demo_1.0.dsc", "pool/main/d/demo/line")]


def version(number: int, kind: str = "SHA256") -> str:
    """The paragraph of one version of a package whose file has the same name each time."""
    return f"Package: a\nFilename: ./a_current.deb\nSize: {number}\n{kind}: {said(number, kind).digest.value}\n"


def said(number: int, kind: str = "SHA256") -> Listed:
    """What it says of the file."""
    algorithm = {"MD5sum": "md5"}.get(kind, kind.lower())
    return Listed(number, Digest(algorithm, hashlib.new(algorithm, bytes(number), usedforsecurity=False).hexdigest()))


def test_find__several_of_one_name() -> None:
    """An index that is appended to lists one name for each version: all of them, the last first, each once."""
    text = "\n".join([version(9, "MD5sum"), *map(version, (3, 1, 2, 1)), f"Filename: b.deb\nSize: 1\nSHA256: {SHA}\n"])

    read = table("Packages", [text.encode()])

    assert (*map(said, (2, 1, 3)), said(9, "MD5sum")) == read.find(hashed("a_current.deb"))
    assert Listed(1, Digest("sha256", SHA)) == find(read, "b.deb")


def test_find__is_bounded() -> None:
    """Of an index with many versions the last ones count."""
    read = table("Packages", ["\n".join(map(version, range(1, 100))).encode()])

    assert tuple(map(said, range(99, 91, -1))) == read.find(hashed("a_current.deb"))


def test_find__several_sources_of_one_name() -> None:
    """The same of the files of sources."""
    sums = (SHA, "ef" * 32)
    text = "\n".join(f"Directory: d\nChecksums-Sha256:\n {digest} 5 demo_1.dsc\n" for digest in sums)

    found = table("Sources", [text.encode()]).find(hashed("d/demo_1.dsc"))

    assert tuple(Listed(5, Digest("sha256", digest)) for digest in reversed(sums)) == found


def test_table__patches() -> None:
    """The patches of an index are known by their packed form, which is what is fetched."""
    text = f"SHA256-Current: {SHA} 9\nSHA256-History:\n {SHA} 9 T-1\nSHA256-Download:\n {'ef' * 32} 4 T-1.gz\n"

    read = table("main/binary-amd64/Packages.diff/Index", [text.encode()])

    assert (Listed(4, Digest("sha256", "ef" * 32)), None) == (find(read, "T-1.gz"), find(read, "T-1"))


def test_readable() -> None:
    """Indexes are read in forms that can be unpacked."""
    right = ["Packages", "a/Packages.xz", "Packages.zst", "Sources.xz", "a/Packages.diff/Index", "Packages.gz"]
    wrong = ["Packages.lz4", "Release", "Index", "a/Packages.diff/T-1.gz", "Contents-amd64.gz", "Packages.gz.asc"]

    assert right == [name for name in right + wrong if packages.readable(name)]


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}", fullmatch=True), st.integers(0, 1 << 40)))
def test_find__any_index(files: dict[str, int]) -> None:
    """What an index lists is found, and nothing else."""
    listed = {
        name: Listed(size, Digest("sha256", hashlib.sha256(name.encode()).hexdigest())) for name, size in files.items()
    }
    text = "\n".join(
        f"Filename: {name}\nSize: {one.size}\nSHA256: {one.digest.value}\n" for name, one in listed.items()
    )

    read = table("Packages", [text.encode()])

    assert listed == {name: find(read, name) for name in files}
    assert find(read, "A") is None
