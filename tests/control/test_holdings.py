"""What keys of the store stand for."""

from __future__ import annotations

import pytest

from proxy.control.holdings import Holding, holding, place_of, version_of
from proxy.model import Kind, Target
from proxy.python.store_keys import file_key, form_key, outline_key, page_key, removed_key

_ARCHIVE = "http://archive.example/debian/"
_SUITE = f"{_ARCHIVE}dists/stable/"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (page_key("pypi", "torch", "simple/torch/"), Holding("pypi", Kind.PAGE, "simple/torch/", "torch")),
        (page_key("flat", "", "links.html"), Holding("flat", Kind.PAGE, "links.html")),
        (
            removed_key(page_key("pypi", "torch", "simple/torch/")),
            Holding("pypi", Kind.PAGE, "simple/torch/ (removed files)", "torch"),
        ),
        (
            outline_key(page_key("pypi", "torch", "simple/torch/")),
            Holding("pypi", Kind.PAGE, "simple/torch/ (outline)", "torch"),
        ),
        (
            form_key(page_key("pypi", "torch", "simple/torch/"), "json-gzip-0123"),
            Holding("pypi", Kind.PAGE, "simple/torch/ (json-gzip)", "torch"),
        ),
        (form_key(page_key("flat", "", "a:b"), "html-0123"), Holding("flat", Kind.PAGE, "a:b (html)")),
        (
            file_key(Target("pypi", "files.example:8443", "a/torch-2.7.1+cu126-cp312-cp312-linux_x86_64.whl")),
            Holding("pypi", Kind.FILE, "torch-2.7.1+cu126-cp312-cp312-linux_x86_64.whl", "torch", "2.7.1+cu126"),
        ),
        (
            file_key(Target("pypi", None, "a/My.Package-1.0-py3-none-any.whl.metadata")),
            Holding("pypi", Kind.METADATA, "My.Package-1.0-py3-none-any.whl.metadata", "my-package", "1.0"),
        ),
        (
            f"apt:file:{_ARCHIVE}pool/main/c/curl/curl_7.88.1-10+deb12u5_amd64.deb",
            Holding(
                "apt",
                Kind.FILE,
                "curl_7.88.1-10+deb12u5_amd64.deb",
                "curl",
                "7.88.1-10+deb12u5",
                "archive.example",
            ),
        ),
        (
            f"apt:file:{_ARCHIVE}pool/main/c/curl/curl_7.88.1.orig.tar.xz",
            Holding("apt", Kind.FILE, "curl_7.88.1.orig.tar.xz", "curl", "7.88.1", "archive.example"),
        ),
        (
            f"apt:file:{_ARCHIVE}dists/stable/by-hash/SHA256/00",
            Holding("apt", Kind.FILE, "archive.example/debian/dists/stable/by-hash/SHA256/00", host="archive.example"),
        ),
        (
            f"apt:release:{_SUITE}:inline",
            Holding("apt", Kind.RELEASE, "archive.example/debian/dists/stable/:inline", host="archive.example"),
        ),
        (
            f"apt:index:{_SUITE}:abc:main/binary-amd64/Packages.xz",
            Holding(
                "apt",
                Kind.INDEX,
                "archive.example/debian/dists/stable/:abc:main/binary-amd64/Packages.xz",
                host="archive.example",
            ),
        ),
        ("digest:sha512=00", None),
        ("of a later version", Holding("-", Kind.OTHER, "of a later version")),
        ("file:pypi:only", Holding("-", Kind.OTHER, "file:pypi:only")),
    ],
)
def test_holding__keys(key: str, expected: Holding | None) -> None:
    """Each form of keys that docs/formats.md lists; what is of no such form still counts."""
    assert expected == holding(key)
    assert (None if expected is None else (expected.index, expected.kind)) == place_of(key)


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("2.7.1", True), ("2.7.1+cu126", True), ("2.7.1+cpu", False), ("2.7.1.0", True), ("2.7", False), ("junk", False)],
)
def test_holding__version(wanted: str, meant: bool) -> None:
    """A version without a local part means all of them (PEP 440)."""
    assert meant is Holding("pypi", Kind.FILE, "", "torch", "2.7.1+cu126").of_version(wanted)


def test_holding__version_of_a_package() -> None:
    """Debian's versions are compared as they are written, but for the epoch."""
    package = Holding("apt", Kind.FILE, "", "curl", "7.88.1-10+deb12u5~bpo")

    assert package.of_version("7.88.1-10+deb12u5~bpo")
    assert package.of_version("1:7.88.1-10+deb12u5~bpo")  # as apt shows one whose name in the pool has no epoch
    assert not package.of_version("7.88.1")
    assert not Holding("pypi", Kind.PAGE, "").of_version("1")


def test_holding__index_and_project() -> None:
    """An archive answers to its host, too; a project to all spellings of its name."""
    package = Holding("apt", Kind.FILE, "", "python3.12", "3.12.1", "archive.example")

    assert [True, True, False] == [package.of_index(name) for name in ("apt", "archive.example", "pypi")]
    assert package.of_project("python3.12")
    assert Holding("pypi", Kind.FILE, "", "my-package").of_project("My_Package")
    assert not Holding("pypi", Kind.PAGE, "").of_project("My_Package")
    assert not Holding("pypi", Kind.FILE, "", "demo", "1.0").of_version("9" * 5000)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("torch-2.7.1-cp312-cp312-linux_x86_64.whl", "2.7.1"),
        ("torch-2.7.1.tar.gz", "2.7.1"),
        ("my-package-1.0rc1.zip", "1.0rc1"),
        ("torch-2.7.1-py3-none-any.whl.metadata", "2.7.1"),
        ("torch-2.7.1.tar.gz.asc", "2.7.1"),
        ("broken.whl", None),
        ("notes.txt", None),
        (f"torch-{'9' * 5000}.tar.gz", None),
    ],
)
def test_version_of__names(name: str, version: str | None) -> None:
    """Of distributions and of what belongs to one."""
    assert version == version_of(name)
