"""Lock files of all kinds are read into one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Package, Pylock

from proxy.warming import platforms
from proxy.warming.choice import UNSAID
from proxy.warming.lock_files import of_report, read
from proxy.warming.sboms import Sbom
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import UvLock

SHA = "a" * 64
WHEEL, SOURCE = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"
UV = f"""
version = 1
requires-python = ">=3.11"

[[package]]
name = "own"
version = "0.1"
source = {{ virtual = "." }}
dependencies = [{{ name = "demo" }}, {{ name = "checked-out" }}]

[[package]]
name = "demo"
version = "1.0"
source = {{ registry = "https://index.example/simple" }}
sdist = {{ url = "https://files.example/x/{SOURCE}", hash = "sha256:{SHA}", size = 1 }}
wheels = [{{ url = "https://files.example/x/{WHEEL}#frag", hash = "sha256:{SHA}" }}]

[[package]]
name = "checked-out"
version = "1.0"
source = {{ git = "https://git.example/x" }}
"""
POETRY = f"""
[[package]]
name = "Demo"
version = "1.0"
markers = "sys_platform == 'linux'"
files = [{{file = "{WHEEL}", hash = "sha256:{SHA}"}}, {{file = "{SOURCE}", hash = "sha256:{SHA}"}}]

[[package]]
name = "local"
version = "1.0"
files = []
source = {{ type = "directory", url = "x" }}

[metadata]
lock-version = "2.1"
"""
PDM = f"""
[metadata]
lock_version = "4.5.0"

[[package]]
name = "demo"
version = "1.0"
marker = "sys_platform == 'linux'"
files = [{{file = "{WHEEL}", hash = "sha256:{SHA}"}}, {{url = "https://files.example/{SOURCE}", hash = "sha256:{SHA}"}}]

[[package]]
name = "local"
version = "1.0"
path = "./x"
"""
PYLOCK = f"""
lock-version = "1.0"
created-by = "hand"

[[packages]]
name = "demo"
version = "1.0"
marker = "sys_platform == 'linux'"
wheels = [{{ name = "{WHEEL}", url = "https://files.example/{WHEEL}", hashes = {{ sha256 = "{SHA}" }} }}]
sdist = {{ name = "{SOURCE}", url = "https://files.example/{SOURCE}", hashes = {{ sha256 = "{SHA}" }} }}
"""


def only(path: Path) -> Package:
    """The one package that a file locks for Linux."""
    lock = read(path)
    if isinstance(lock, UvLock):
        (linux,) = platforms.wanted(["linux"], ["3.12"])
        lock = lock.on(linux.environment)
    assert isinstance(lock, Pylock)
    (package,) = (one for one in lock.packages if one.archive is None)
    return package


def written(folder: Path, name: str, text: str) -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV),
        ("poetry.lock", POETRY),
        ("pdm.lock", PDM),
        ("pylock.toml", PYLOCK),
        ("pylock.dev.toml", PYLOCK),
    ],
)
def test_read__each_kind(tmp_path: Path, name: str, text: str) -> None:
    """Names, versions, markers, files and hashes; what is in a folder is left out."""
    package = only(written(tmp_path, name, text))
    assert "1.0" == str(package.version)
    assert [WHEEL] == [wheel.filename for wheel in package.wheels or ()]
    assert package.sdist is not None
    assert (SOURCE, {"sha256": SHA}) == (package.sdist.filename, package.sdist.hashes)
    assert ("https://index.example/simple" if name == "uv.lock" else None) == package.index
    assert (name == "uv.lock") is (package.marker is None)


def test_read__markers_of_groups(tmp_path: Path) -> None:
    """Poetry may have a marker for each group, of which any will do."""
    text = POETRY.replace("\"sys_platform == 'linux'\"", "{main = \"os_name == 'x'\", dev = \"os_name == 'y'\"}")
    lock = read(written(tmp_path, "poetry.lock", text))
    assert isinstance(lock, Pylock)
    marker = lock.packages[0].marker
    assert marker is not None
    assert [True, True, False] == [marker.evaluate({"os_name": name}) for name in "xyz"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("demo.py.lock", UV),
        ("poetry.prod.lock", POETRY.replace("[metadata]", '[metadata]\ncontent-hash = "x"')),
        ("pdm.prod.lock", PDM),
        ("pylock-linux.toml", PYLOCK),
    ],
)
def test_read__by_what_is_in_it(tmp_path: Path, name: str, text: str) -> None:
    """Where the name tells no kind."""
    assert "demo" == only(written(tmp_path, name, text)).name


def test_read__marks_of_editors(tmp_path: Path) -> None:
    """A byte order mark and other ends of lines."""
    path = tmp_path / "uv.lock"
    path.write_bytes(b"\xef\xbb\xbf" + UV.replace("\n", "\r\n").encode())
    assert "demo" == only(path).name


def test_read__without_hashes(tmp_path: Path) -> None:
    """Some indexes have none, and so has what is locked from them."""
    package = only(
        written(tmp_path, "uv.lock", UV.replace(f'hash = "sha256:{SHA}"', "size = 2").replace(", size = 1", ""))
    )
    assert [{}] == [wheel.hashes for wheel in package.wheels or ()]


def test_read__files_of_earlier_versions(tmp_path: Path) -> None:
    """poetry and pdm had the files of all packages together once, and no markers."""
    files = f'[{{file = "{WHEEL}", hash = "sha256:{SHA}"}}, {{file = "demo-1.0-py2.7.egg", hash = "sha256:{SHA}"}}]'
    poetry = f"""
[[package]]
name = "Demo"
version = "1.0"
python-versions = "!=3.0.*,>=2.7"
[metadata]
lock-version = "1.1"
python-versions = "^3.9"
[metadata.files]
Demo = {files}
"""
    pdm = f"""
[metadata]
lock_version = "4.0"
[[package]]
name = "demo"
version = "1.0"
requires_python = ">=3.8"
[metadata.files]
"demo 1.0" = {files}
"""
    for name, text in (("poetry.lock", poetry), ("pdm.lock", pdm)):
        package = only(written(tmp_path, name, text))
        assert ([WHEEL], None) == ([wheel.filename for wheel in package.wheels or ()], package.sdist)
        assert package.tool == UNSAID
        assert package.requires_python is not None
        assert "3.12" in package.requires_python


def test_read__from_elsewhere(tmp_path: Path) -> None:
    """What is from a repository or an address stays as such."""
    poetry = POETRY.replace('type = "directory", url = "x"', 'type = "git", url = "https://git.example/x"')
    pdm = PDM.replace('path = "./x"', 'git = "https://git.example/x"')
    for name, text in (("poetry.lock", poetry), ("pdm.lock", pdm)):
        lock = read(written(tmp_path, name, text))
        assert isinstance(lock, Pylock)
        assert ["https://git.example/x"] == [one.archive.url for one in lock.packages if one.archive is not None]


def test_read__group_without_a_marker(tmp_path: Path) -> None:
    """It needs the package everywhere, whatever the others have for a marker."""
    text = POETRY.replace("\"sys_platform == 'linux'\"", '{dev = "os_name == \'x\'"}\ngroups = ["main", "dev"]')
    assert only(written(tmp_path, "poetry.lock", text)).marker is None
    alone = only(written(tmp_path, "poetry.lock", text.replace('"main", ', "")))
    assert alone.marker is not None
    assert not alone.marker.evaluate({"os_name": "y"})
    never = only(written(tmp_path, "poetry.lock", POETRY.replace("sys_platform == 'linux'", "<empty>")))
    assert never.marker is not None
    assert not never.marker.evaluate()


def test_read__requirements(tmp_path: Path) -> None:
    """Another file is one of requirements."""
    assert read(written(tmp_path, "requirements.txt", "demo==1.0")) is None
    assert read(written(tmp_path, "requirements.in", "demo")) is None
    assert read(written(tmp_path, "requirements-dev.lock", "demo")) is None


def test_read__sbom(tmp_path: Path) -> None:
    """An SBOM by the ending of its name."""
    document = json.dumps({"bomFormat": "CycloneDX", "components": [{"purl": "pkg:pypi/demo@1.0"}]})
    assert Sbom(("demo==1.0",)) == read(written(tmp_path, "bom.json", document))
    text = (
        "<bom xmlns='http://cyclonedx.org/schema/bom/1.6'><components><component><purl>pkg:pypi/demo@1.0</purl>"
        "</component></components></bom>"
    )
    assert Sbom(("demo==1.0",)) == read(written(tmp_path, "demo.cdx.xml", text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "version = "),
        ("uv.lock", "[[package]]\nname='x'\nsource={registry='https://x'}"),
        ("uv.lock", "package = 5"),
        ("uv.lock", UV + "resolution-markers = ['nonsense !']\n"),
        ("uv.lock", UV + "dependencies = [{ name = 'x', marker = 'nonsense !' }]\n"),
        ("uv.lock", UV.replace('"1.0"', '"one"')),
        ("poetry.lock", POETRY.replace("sys_platform ==", "nonsense !")),
        ("pylock.toml", "lock-version = '1.0'"),
        ("pylock.toml", PYLOCK.replace('"1.0"', '"9.0"', 1)),
        ("Pipfile.lock", '{"_meta": {}}'),
        ("pyproject.toml", "[project]"),
        ("environment.lock", "x = 1"),
        ("bom.xml", "<bom/>"),
        ("bom.json", "{}"),
        ("bom.json", "[" * 100_000),
        ("bom.json", '{"bomFormat": "CycloneDX", "components": [{"purl": "pkg:pypi/a@one"}]}'),
    ],
)
def test_read__not_what_it_says(tmp_path: Path, name: str, text: str) -> None:
    """One error names the file."""
    with pytest.raises(UnreadableFile, match=name):
        read(written(tmp_path, name, text))


def test_of_report() -> None:
    """What pip would install, each file with its hash and the index that it is of."""
    usual, other = "http://cache:3142/pypi/simple/", "http://cache:3142/other/whl/x/"

    def row(name: str, url: str) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "version": "1.0"},
            "download_info": {"url": url, "archive_info": {"hashes": {"sha256": SHA}}},
        }

    lock = of_report(
        [
            row("Demo", f"http://cache:3142/pypi/~files/files.example/{WHEEL}"),
            row("source", "http://cache:3142/other/whl/source-1.0%2Bcpu.tar.gz"),
        ],
        [usual, other],
    )
    demo, source = lock.packages
    assert ("demo", usual, other) == (demo.name, demo.index, source.index)
    assert demo.wheels is not None
    assert (WHEEL, {"sha256": SHA}) == (demo.wheels[0].filename, demo.wheels[0].hashes)
    assert source.sdist is not None
    assert "source-1.0+cpu.tar.gz" == source.sdist.filename


def test_read__versions_of_a_project_together(tmp_path: Path) -> None:
    """Before version 2 poetry had the files of all versions of a project together: each version has its own."""
    names = [f"demo-{version}{rest}" for version in ("1.0", "2.0") for rest in ("-py3-none-any.whl", ".tar.gz")]
    files = "".join(f'{{file = "{name}", hash = "sha256:{SHA}"}}, ' for name in [*names, "demo-0.tar.bz2"])
    rows = "".join(f'[[package]]\nname = "demo"\nversion = "{version}"\n' for version in ("1.0", "2.0"))
    lock = read(
        written(
            tmp_path, "poetry.lock", f'{rows}[metadata]\nlock-version = "1.1"\n[metadata.files]\ndemo = [{files}]\n'
        )
    )
    assert isinstance(lock, Pylock)
    assert [names[:2], names[2:]] == [
        [*(wheel.filename for wheel in one.wheels or ()), one.sdist.filename] for one in lock.packages if one.sdist
    ]
