"""Names of files: what they say."""

from __future__ import annotations

import pytest

from proxy.python import filenames


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        ("Torch-2.0.0+cpu-cp311-cp311-linux_x86_64.whl", "torch"),
        ("nvidia_cublas_cu12-12.1-py3-none-any.whl.metadata", "nvidia-cublas-cu12"),
        ("numpy-1.26.0.tar.gz", "numpy"),
        ("zope.interface-5.0.zip", "zope-interface"),
        ("python-dateutil-2.8.2.tar.gz.asc", "python-dateutil"),
        ("foo-1.0-1.tar.gz", "foo"),
        ("foo-2-bar-1.0.tar.bz2", "foo-2-bar"),
        ("foo-bar-1.0-weird.tar.gz", "foo-bar"),
        ("pytz-2010h.tar.gz", "pytz"),
        ("numpy-1.0.win32-py2.5.exe", "numpy"),
        ("setuptools-0.6c9-py2.4.egg", "setuptools"),
        ("torch-2.0-variants.json", "torch"),
        ("torch-2.0-py3-none-any.whl.metadata.json", "torch"),
        ("torch-2.0-py3-none-any.whl.provenance", "torch"),
        ("index.html", None),
        ("README", None),
        (".tar.gz", None),
        ("-1.0.tar.gz", None),
        ("x.whl", None),
        ("", None),
    ],
)
def test_project_of__filename(filename: str, project: str | None) -> None:
    """The project of a distribution and of what lies beside one."""
    assert project == filenames.project_of(filename)


@pytest.mark.parametrize(
    "filename", ["demo" + "-1!x" * 100_000 + ".zip", f"demo-{'9' * 5000}.tar.gz", f"demo-{'9' * 5000}-py3-none-any.whl"]
)
def test_project_of__name_that_no_disk_takes(filename: str) -> None:
    """It is no file's, however much there is to try in it."""
    assert (None, None) == (filenames.project_of(filename), filenames.version_of(filename))


@pytest.mark.parametrize(
    ("name", "project", "expected"),
    [
        ("Foo_Bar-1.0.tar.gz", "foo-bar", True),
        ("foo-2-1.0.tar.gz", "foo-2", True),
        ("foo_2-1.0-py3-none-any.whl", "foo-2", True),
        ("foo-2-1.tar.gz", "foo-2", False),  # by its name it is foo 2.post1
        ("foo-2-1.tar.gz", "foo", True),
        ("other-1.0.tar.gz", "foo", False),
    ],
)
def test_tells(name: str, project: str, expected: bool) -> None:
    """What a name tells of its project, who asks for the file by its name finds out, too."""
    assert expected is filenames.tells(name, project)
    assert not expected or project == filenames.project_of(name)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.whl", True), ("a.TAR.GZ", True), ("a.asc", False), ("a.json", False)]
)
def test_is_binary(name: str, *, expected: bool) -> None:
    """Names of archives, in any case."""
    assert expected == filenames.is_binary(name)


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("demo-1.0-py3-none-any.whl", "1.0"),
        ("demo-1.0.tar.gz", "1.0"),
        ("demo-1.0.zip", "1.0"),
        ("demo-one.tar.gz", None),
        ("demo.whl", None),
        ("demo-1.0.exe", None),
    ],
)
def test_version_of(filename: str, version: str | None) -> None:
    """That of a distribution by the present standards."""
    found = filenames.version_of(filename)
    assert version == (str(found) if found is not None else None)
