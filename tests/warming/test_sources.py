"""What the build of a source distribution requires."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile

import pytest

from proxy.warming.sources import build_requirements

DEFAULT = ("setuptools>=40.8.0", "wheel")


def packed(name: str, text: str, *, zipped: bool = False, **more: bytes) -> bytes:
    """An archive with one file, and `more` by names in its folder, in which a dot is `_`."""
    out, files = io.BytesIO(), {name: text.encode()}
    files |= {f"demo-1.0/{key.replace('_', '.')}": body for key, body in more.items()}
    if zipped:
        with zipfile.ZipFile(out, "w") as archive:
            for key, body in files.items():
                archive.writestr(key, body)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for key, body in files.items():
                member = tarfile.TarInfo(key)
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    return out.getvalue()


SYSTEM = '[build-system]\nrequires = ["cython", "setuptools-scm>=8"]\n'


@pytest.mark.parametrize("zipped", [False, True])
def test_build_requirements(zipped: bool) -> None:
    """Those of the file in the archive's folder."""
    name = "demo.zip" if zipped else "demo.tar.gz"
    body = packed("demo-1.0/pyproject.toml", SYSTEM, zipped=zipped)
    assert ("cython", "setuptools-scm>=8") == build_requirements(name, io.BytesIO(body))


@pytest.mark.parametrize("zipped", [False, True])
def test_build_requirements__of_setup(zipped: bool) -> None:
    """What a setup.cfg says besides, in whatever encoding; what is no requirement there is left out."""
    setup = b"[metadata]\nauthor = J\xfcrgen\n[options]\nsetup_requires =\n    pbr>=1.8\n    # why\n    numpy\n"
    body = packed("demo-1.0/pyproject.toml", SYSTEM, zipped=zipped, setup_cfg=setup)
    name = "demo.zip" if zipped else "demo.tar.gz"
    assert ("cython", "setuptools-scm>=8", "pbr>=1.8", "numpy") == build_requirements(name, io.BytesIO(body))
    body = packed("demo-1.0/README", "", zipped=zipped, setup_cfg=setup)
    assert (*DEFAULT, "pbr>=1.8", "numpy") == build_requirements(name, io.BytesIO(body))
    body = packed("demo-1.0/pyproject.toml", SYSTEM, zipped=zipped, setup_cfg=b"nonsense")
    assert ("cython", "setuptools-scm>=8") == build_requirements(name, io.BytesIO(body))


@pytest.mark.parametrize(("backend", "needs"), [("mesonpy", "ninja"), ("scikit_build_core.build", "cmake")])
def test_build_requirements__said_by_backends(backend: str, needs: str) -> None:
    """What the usual backends say only when they run."""
    text = f'[build-system]\nrequires = ["x"]\nbuild-backend = "{backend}"\n'
    found = build_requirements("demo.tar.gz", io.BytesIO(packed("demo-1.0/pyproject.toml", text)))
    assert {"x", needs} <= set(found)


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


@pytest.mark.parametrize("name", ["demo.zip", "demo.tar.gz", "demo.tar.xz"])
def test_build_requirements__damaged(name: str) -> None:
    """An archive that is encrypted, or whose compressed bytes are wrong, says nothing, too."""
    if name.endswith(".zip"):
        body = bytearray(packed("demo-1.0/pyproject.toml", SYSTEM, zipped=True))
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            body[body.index(mark) + place] |= 1  # encrypted
    else:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:xz" if name.endswith(".xz") else "w:gz") as tar:
            member = tarfile.TarInfo("demo-1.0/pyproject.toml")
            member.size = 200_000
            tar.addfile(member, io.BytesIO(random.Random(1).randbytes(member.size)))
        body = bytearray(out.getvalue())
        body[20_000:] = random.Random(2).randbytes(len(body) - 20_000)
    assert DEFAULT == build_requirements(name, io.BytesIO(bytes(body)))
