"""What indexes may call a file, and which of them an earlier run left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.apt import sources
from proxy.apt.sources import Source
from proxy.model import Digest, Entry, Validator
from tests.apt.conftest import SUITE, World
from tests.memory_store import stored

DIGEST = Digest("sha256", "ab" * 32)


@pytest.mark.parametrize(("path", "names"), [("Packages", {"x.deb", "b/x.deb"}), ("c/Packages", {"c/x.deb", "x.deb"})])
def test_names__of_a_flat_repository(path: str, names: set[str]) -> None:
    """Names are relative to the folder of the Release file, of the index, or to one above."""
    source = Source("key", replace(SUITE, path="a/b/"), path, "ab" * 32, 0.0)
    where = "a/b/" + path.removesuffix("Packages")

    assert names <= set(source.names(f"{where}x.deb")[0])


@pytest.mark.parametrize(
    ("suite", "path", "address", "near", "beside"),
    [
        ("debian/dists/stable/", "main/binary-amd64/Packages", "debian/pool/x.deb", ("pool/x.deb",), ()),
        ("debian/dists/stable/", "main/binary-amd64/Packages", "ubuntu/pool/x.deb", (), ()),
        ("a/", "Packages.diff/Index", "a/Packages.diff/T-1.gz", ("T-1.gz",), ()),
        ("a/", "Packages.diff/Index", "a/x.deb", (), ()),
        ("debian/dists/s/", "main/Packages.diff/Index", "debian/dists/s/main/Packages.diff/T-1.gz", ("T-1.gz",), ()),
        ("a/", "Packages", "pool/x.deb", (), ("pool/x.deb",)),
        (None, "builds/Packages", "builds/x.deb", ("x.deb", "builds/x.deb"), ()),
        (None, "debian/dists/s/main/Packages", "debian/pool/x.deb", ("pool/x.deb",), ()),
        (None, "Packages", "x.deb", ("x.deb",), ()),
    ],
)
def test_names(suite: str | None, path: str, address: str, near: tuple[str, ...], beside: tuple[str, ...]) -> None:
    """File names are relative to the root of the archive, and those of patches to their own folder."""
    source = Source("key", replace(SUITE, path=suite) if suite is not None else None, path, DIGEST.value, 0.0)

    assert (near, beside) == source.names(address)


async def test_left(world: World) -> None:
    """Indexes with and without a Release file are found again by their keys, with the time at which they came."""
    blob = await stored(world.store, b"x")
    listed = sources.key_of(SUITE, "main/binary-amd64/Packages", Digest("sha512", "cd" * 64))
    alone = "apt:document:http://deb.example/builds/Packages.gz"
    others = ["apt:document:http://deb.example/key.asc", "apt:document:http://other.example/Packages"]
    for number, key in enumerate([listed, alone, *others]):
        await world.store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 5.0 + number, 9.0))

    assert [
        Source(listed, SUITE, "main/binary-amd64/Packages", "cd" * 64, 5.0),
        Source(alone, None, "builds/Packages.gz", blob.digest.value, 6.0),
    ] == list(sources.left(world.store, sources.host_of(SUITE)))
    assert [5.0, 1.0] == [sources.came(world.store, key, 1.0) for key in (listed, "key")]
