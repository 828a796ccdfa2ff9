"""Classes of paths: what each file of an archive is."""

from __future__ import annotations

import hashlib

import pytest

from proxy.apt.paths import (
    ByHash,
    Immutable,
    IndexFile,
    PathClass,
    ReleaseFile,
    Volatile,
    by_hash,
    classify,
    enclosing,
    names_beside,
    names_in,
)
from proxy.errors import NotAllowed
from proxy.model import ALGORITHMS, Digest

SHA = "ab" * 32
STABLE = ("debian/dists/stable/", "debian/dists/stable/main/", "debian/dists/stable/main/binary-amd64/")


@pytest.mark.parametrize(
    "path",
    [
        "debian/pool/main/d/demo/demo_1.0-1_amd64.deb",
        "debian/pool/main/d/demo/demo-udeb_1.0_amd64.udeb",
        "pool/main/d/demo/demo-dbgsym_1.0_amd64.ddeb",
        "debian/pool/main/d/demo/demo_1.0-1.dsc",
        "debian/pool/main/d/demo/demo_1.0.orig.tar.gz",
        "debian/pool/main/d/demo/demo_1.0.orig.tar.xz.asc",
        "debian/pool/main/d/demo/demo_1.0-1.debian.tar.xz",
        "debian/pool/main/d/demo/demo_1.0-1.diff.gz",
        "debian/pool/main/d/demo/demo_1.0.tar.zst",
        "debian/pool/main/d/demo/demo_1.0.orig.tar.lz",
        "debian/pool/main/d/demo/demo_1.0.orig-part.tar.xz.asc",
        "debian/pool/main/d/demo/demo-1.0.tar.lzo",
        "debian/pool/main/d/demo/demo-1.0.tar.Z.sig",
        "debian/pool/main/d/demo/demo_1.0-1.diff.xz",
        "debian/pool/main/d/demo/demo_1.0-1_amd64.changes",
        "debian-deltas/pool/main/d/demo/demo_1.0_1.1_amd64.debdelta",
        "flat/signing-key_1.0.orig.tar.lz",
        "linux/debian/dists/stable/pool/stable/amd64/docker-ce_1.0_amd64.deb",
        "cuda/x86_64/cuda-keyring_1.0-1_all.deb",
        "ubuntu/pool/main/h/hello/hello_2.10-5_amd64v3.deb",
        "cuda.deb",
    ],
)
def test_classify__packages(path: str) -> None:
    """Packages and sources last under their name, wherever they lie."""
    assert Immutable() == classify(path)


def test_classify__patches() -> None:
    """Patches of an index last; their list is one of the Release's files."""
    folder = "debian/dists/sid/main/binary-amd64/Packages.diff/"

    for name in ("T-2026-11-01-0203.04-F-2026-10-31-0203.04.gz", "2024-05-05-1402.33.gz"):
        assert isinstance(classify(folder + name), Immutable)
    assert "debian/dists/sid/" == suites_of(classify(f"{folder}Index"))[0]


@pytest.mark.parametrize("architecture", ["amd64", "amd64v3", "armhf", "riscv64", "hurd-i386", "all"])
def test_classify__architectures(architecture: str) -> None:
    """Architectures and their variants may be called anything: indexes, by name and by hash, and contents."""
    suite, folder = "ubuntu/dists/questing/", f"ubuntu/dists/questing/main/binary-{architecture}/"
    listed = [
        f"{folder}Packages.xz",
        f"{folder}Release",
        f"{suite}main/Contents-{architecture}.gz",
        f"{suite}main/cnf/Commands-{architecture}.xz",
        f"{suite}main/dep11/Components-{architecture}.yml.gz",
    ]
    for kind in map(classify, listed):
        assert isinstance(kind, IndexFile)
        assert suite == kind.suites[0]
    hashed = ByHash(Digest("sha256", SHA), folder, (suite, f"{suite}main/", folder))
    assert hashed == classify(f"{folder}by-hash/SHA256/{SHA}")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Packages", ()),
        ("a/Packages", ("",)),
        ("a/b/i18n/Translation-en", ("a/b/", "a/", "")),
        ("1/2/3/4/5/6/Packages", ("1/2/3/4/5/", "1/2/3/4/", "1/2/3/", "1/2/")),
        ("debian/dists/sid/main/Contents-amd64.gz", ()),
        ("dists/sid/x", ()),
    ],
)
def test_enclosing(path: str, expected: tuple[str, ...]) -> None:
    """What a flat archive has in subfolders may be listed further up; below dists/ the suite's folder is known."""
    assert expected == enclosing(path)


@pytest.mark.parametrize(
    ("path", "suite"), [("Packages.diff/Index", ""), ("a/Packages.diff/Index", "a/"), ("a/b/Packages", "a/b/")]
)
def test_classify__flat(path: str, suite: str) -> None:
    """A list of patches lies beside its index."""
    assert (suite,) == suites_of(classify(path))


def suites_of(kind: PathClass) -> tuple[str, ...]:
    """Folders where the Release file may be."""
    assert not isinstance(kind, ReleaseFile)
    return kind.suites


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (f"SHA256/{SHA}", Digest("sha256", SHA)),
        (f"SHA256/{SHA.upper()}", Digest("sha256", SHA)),
        (f"SHA512/{'cd' * 64}", Digest("sha512", "cd" * 64)),
        (f"MD5Sum/{'ef' * 16}", Digest("md5", "ef" * 16)),
        (f"SHA1/{'01' * 20}", Digest("sha1", "01" * 20)),
    ],
)
def test_classify__by_hash(name: str, digest: Digest) -> None:
    """The name of a file by hash is its digest."""
    assert ByHash(digest, STABLE[2], STABLE) == classify(f"{STABLE[2]}by-hash/{name}")
    assert ByHash(digest, "", ("",)) == classify(f"by-hash/{name}")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("folder", ["debian/dists/stable/main/", ""])
def test_by_hash(algorithm: str, folder: str) -> None:
    """The path that is made for a digest of any kind is read as that digest."""
    digest = Digest(algorithm, hashlib.new(algorithm, usedforsecurity=False).hexdigest())

    kind = classify(by_hash(folder, digest))

    assert isinstance(kind, ByHash)
    assert (digest, folder) == (kind.digest, kind.folder)


@pytest.mark.parametrize(
    ("path", "suite", "name"),
    [
        ("debian/dists/stable/InRelease", "debian/dists/stable/", "InRelease"),
        ("debian/dists/buster/updates/Release.gpg", "debian/dists/buster/updates/", "Release.gpg"),
        ("dists/stable/Release", "dists/stable/", "Release"),
        ("cuda/x86_64/InRelease", "cuda/x86_64/", "InRelease"),
        ("InRelease", "", "InRelease"),
        ("dists/opensource/InRelease", "dists/opensource/", "InRelease"),
        ("dists/x-i18n/InRelease", "dists/x-i18n/", "InRelease"),
        ("dists/a-binary-b/Release", "dists/a-binary-b/", "Release"),
        ("dists/source/InRelease", "dists/source/", "InRelease"),
        ("dists/stable/opensource/InRelease", "dists/stable/opensource/", "InRelease"),
        ("dists/stable/main/opensource/InRelease", "dists/stable/main/opensource/", "InRelease"),
        ("tools/source/InRelease", "tools/source/", "InRelease"),
    ],
)
def test_classify__release(path: str, suite: str, name: str) -> None:
    """The folder of a Release file is its suite."""
    assert ReleaseFile(suite, name) == classify(path)


@pytest.mark.parametrize(
    "name",
    [
        "Packages", "Packages.xz", "Packages.zst", "Sources.gz", "Release", "Contents-amd64.gz", "Translation-en.bz2",
        "Components-amd64.yml.gz", "icons-64x64@2.tar.gz", "CID-Index-amd64.json.gz", "Commands-amd64.xz",
    ],
)  # fmt: skip
def test_classify__index(name: str) -> None:
    """What a Release file lists names the folders where that file may lie."""
    assert IndexFile(STABLE) == classify(STABLE[2] + name)


@pytest.mark.parametrize(
    "folder",
    ["main/source/", "main/i18n/", "main/debian-installer/binary-amd64/", "updates/main/binary-all/", "a/b/c/d/cnf/"],
)
def test_classify__release_of_a_component(folder: str) -> None:
    """The Release file in a folder of a component is no suite's, whoever uses that folder as a flat repository."""
    for root in ("", "debian/"):
        assert isinstance(classify(f"{root}dists/stable/{folder}Release"), IndexFile)
        assert isinstance(classify(f"{root}dists/stable/{folder}InRelease"), IndexFile)


@pytest.mark.parametrize("path", ["Packages.gz", "cuda/x86_64/Packages", "a/Sources.xz"])
def test_classify__flat_index(path: str) -> None:
    """A flat repository's index lies beside its Release file."""
    assert IndexFile((path[: path.rindex("/") + 1] if "/" in path else "",)) == classify(path)


@pytest.mark.parametrize(
    "path",
    [
        "debian/dists/stable/main/installer-amd64/current/images/netboot/mini.iso",
        "debian/dists/stable/main/installer-amd64/current/images/SHA256SUMS",
        "debian/dists/stable/ChangeLog", "linux/debian/gpg", "keys/archive.asc", "KEY.gpg", "a/b.key",
        "changelogs/main/d/demo/demo_1.0_changelog", "changelogs/pool/main/d/demo/demo_1/changelog", "meta-release-lts",
        "linux/gpgkey", "gpgkey/vendor-repo.gpg.key", "keys/GPG-PUB-KEY-VENDOR-2023.PUB", "RPM-GPG-KEY-vendor",
        "GPG-KEY-vendor", "debian/KEY",
        "a/KEYS", "release-key.txt", "a/repo_signing_key.pub", "pubkey", "a/archive-key",
        "artifactory/api/gpg/key/public", "artifactory/api/security/keypair/main/public", "apt.GPG", "A.ASC",
        "US.txt", "mirrors.txt", "debian-mirrors.txt", "mirrorlist", "a/mirror.lst", "mirrors.list",
        "Mirrors.masterlist",
        "debian/project/trace/mirror.example", "project/trace/master", "debian/indices/Maintainers.gz",
        "debian/indices/override.stable.main.gz", "debian/doc/mailing-lists.txt", "debian/tools/loader.exe",
        "pub/mirror/ubuntu/indices/md5sums.gz", "debian/ls-lR.gz", "debian/README", "debian/README.mirrors.txt",
        "cuda/x86_64/cuda.list", "debian/pool/main/d/demo/demo_1.0_amd64.changelog", "dists/x/y.tar.gz",
    ],
)  # fmt: skip
def test_classify__volatile(path: str) -> None:
    """Installers, keys, changelogs and lists change under their names."""
    assert isinstance(classify(path), Volatile)


@pytest.mark.parametrize(
    "path",
    [
        "", "debian/", "debian/dists/stable/", "index.html", "a.tar.gz", "a/b.zip", "pool/main/index.html",
        "latest/meta-data",
        f"dists/a/by-hash/SHA256/{SHA}0", "dists/a/by-hash/SHA256/x", f"dists/a/by-hash/SHA256/{SHA}/x",
        "a/by-hash/b.deb",
        ".git/config", "wp-login.php", "a.exe", "monkey.html", "a/keyboard.txt", "a/mirror.php", "USA.txt", "project/",
        "a/b/c/d/doc/e", "mydoc/a", "public", "a/key/public.html", "tools", "pool/a.tarx", "a/turkey",
        "by-hash/CRC32/00",
    ],
)  # fmt: skip
def test_classify__nothing_of_an_archive(path: str) -> None:
    """All else is refused, and the setting is named that opens it."""
    with pytest.raises(NotAllowed, match=r"apt\.paths"):
        classify(path)


@pytest.mark.parametrize(
    ("folder", "address", "names", "beside"),
    [
        ("debian/dists/stable/", "debian/pool/x.deb", ("pool/x.deb",), ()),
        ("dists/stable/updates/", "pool/x.deb", ("pool/x.deb",), ()),
        ("a/dists/b/dists/c/", "a/x.deb", ("x.deb",), ()),
        ("debian/dists/stable/", "ubuntu/pool/x.deb", (), ()),
        ("a/b/", "a/b/x.deb", ("x.deb", "b/x.deb", "a/b/x.deb"), ("b/x.deb", "a/b/x.deb")),
        ("a/b/", "a/b/c/x.deb", ("c/x.deb", "b/c/x.deb", "a/b/c/x.deb"), ("b/c/x.deb", "a/b/c/x.deb")),
        ("a/b/", "a/pool/x.deb", (), ("pool/x.deb", "a/pool/x.deb")),
        ("a/b/", "c/x.deb", (), ("c/x.deb",)),
        ("", "c/x.deb", ("c/x.deb",), ()),
    ],
)
def test_names_in(folder: str, address: str, names: tuple[str, ...], beside: tuple[str, ...]) -> None:
    """Names are relative to what lies above dists/; in a flat repository, files lie below the folder of its index."""
    assert (names, beside) == (names_in(address, folder), names_beside(address, folder))
