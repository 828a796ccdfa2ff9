"""Indexes of packages, made small."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.apt import packages
from proxy.apt.packages import table
from proxy.apt.release import Listed
from proxy.errors import UpstreamBroken
from proxy.model import Digest

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
}


def pieces(body: bytes, size: int) -> list[bytes]:
    """A body in pieces."""
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_table(name: str, size: int) -> None:
    """Names, sizes and digests are read, however the index is packed, and in whatever pieces it comes."""
    read = table(f"main/{name}", pieces(PACKED[name](TEXT.encode()), size))

    digest = Digest("sha256", SHA)
    assert Listed(123, digest) == read.find("pool/demo_1.0_amd64.deb")
    assert Listed(5, digest) == read.find("pool/lib_1:2~x+y_amd64.deb")
    assert [None] * 4 == [read.find(name) for name in ("pool/none.deb", "pool/wrong.deb", "not/this/one", "")]


@pytest.mark.parametrize("name", ["Packages.gz", "Packages.bz2", "Packages.xz"])
def test_table__several_streams(name: str) -> None:
    """A packed file may be several, one after another."""
    first, second = TEXT.encode().split(b"\n\n", 1)
    body = PACKED[name](first + b"\n\n") + PACKED[name](second)

    assert table(name, pieces(body, 10)) == table("Packages", [TEXT.encode()])


@pytest.mark.parametrize("name", [name for name in PACKED if name != "Packages"])
def test_table__damaged(name: str) -> None:
    """What cannot be unpacked is told as such."""
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

    assert 48_000 == len(table("Packages", [text.encode()]).records)


def test_readable() -> None:
    """Only indexes of packages in forms that can be unpacked are read."""
    names = ["Packages", "a/Packages.xz", "Packages.zst", "Sources.xz", "a/Packages.diff/Index", "Packages.gz"]

    assert [True, True, False, False, False, True] == [packages.readable(name) for name in names]


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

    assert listed == {name: read.find(name) for name in files}
    assert read.find("A") is None
