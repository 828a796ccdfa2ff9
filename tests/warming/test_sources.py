"""What the build of a source distribution requires."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from proxy.warming.sources import build_requirements

DEFAULT = ("setuptools>=40.8.0", "wheel")


def packed(name: str, text: str, *, zipped: bool = False) -> bytes:
    """An archive with one file."""
    out = io.BytesIO()
    if zipped:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(name, text)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


SYSTEM = '[build-system]\nrequires = ["cython", "setuptools-scm>=8"]\n'


@pytest.mark.parametrize("zipped", [False, True])
def test_build_requirements(zipped: bool) -> None:
    """Those of the file in the archive's folder."""
    name = "demo.zip" if zipped else "demo.tar.gz"
    body = packed("demo-1.0/pyproject.toml", SYSTEM, zipped=zipped)
    assert ("cython", "setuptools-scm>=8") == build_requirements(name, io.BytesIO(body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive",
        packed("demo-1.0/pyproject.toml", SYSTEM)[:60],
        packed("demo-1.0/pyproject.toml", "[project]\nname='x'"),
        packed("demo-1.0/pyproject.toml", "nonsense ="),
        packed("demo-1.0/pyproject.toml", "build-system = 5"),
        packed("demo-1.0/pyproject.toml", "[build-system]\nrequires = 5"),
        packed("demo-1.0/pyproject.toml", "[build-system]\nrequires = [5]"),
        packed("demo-1.0/tests/pyproject.toml", SYSTEM),
        packed("pyproject.toml", SYSTEM),
    ],
    ids=["empty", "no archive", "cut", "silent", "nonsense", "number", "no list", "no texts", "elsewhere", "no folder"],
)
def test_build_requirements__nothing_said(body: bytes) -> None:
    """Those that PEP 517 has for such a case."""
    assert DEFAULT == build_requirements("demo.tar.gz", io.BytesIO(body))
