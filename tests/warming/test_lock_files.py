"""Lock files of all kinds are read into one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from proxy.warming.lock_files import of_report, read
from proxy.warming.text_files import UnreadableFile

SHA = "a" * 64
WHEEL, SOURCE = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"
UV = f"""
version = 1
requires-python = ">=3.11"

[[package]]
name = "own"
version = "0.1"
source = {{ virtual = "." }}

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
    """Names, versions, markers, files and hashes; what comes from no index is left out."""
    lock = read(written(tmp_path, name, text))
    assert isinstance(lock, Pylock)
    assert ["demo"] == [package.name for package in lock.packages]
    (package,) = lock.packages
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


def test_read__requirements(tmp_path: Path) -> None:
    """Another file is one of requirements."""
    assert read(written(tmp_path, "requirements.txt", "demo==1.0")) is None
    assert read(written(tmp_path, "requirements.in", "demo")) is None


def test_read__sbom(tmp_path: Path) -> None:
    """The packages of PyPI in an SBOM are pins, nested ones too, each once."""
    components = [
        {"purl": "pkg:pypi/Demo@1.0?file_name=x", "components": [{"purl": "pkg:pypi/other@2.0%2Blocal"}]},
        {"purl": "pkg:npm/left-pad@1.0.0"},
        {"purl": "pkg:pypi/demo@1.0#x"},
        {"purl": "pkg:pypi/no-version"},
        {"name": "nothing"},
    ]
    document = json.dumps({"bomFormat": "CycloneDX", "components": components})
    assert ("demo==1.0", "other==2.0+local") == read(written(tmp_path, "bom.json", document))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", "version = "),
        ("uv.lock", "[[package]]\nname='x'\nsource={registry='x'}"),
        ("uv.lock", "package = 5"),
        ("uv.lock", UV.replace('"1.0"', '"one"')),
        ("poetry.lock", POETRY.replace("sys_platform ==", "nonsense !")),
        ("pylock.toml", "lock-version = '1.0'"),
        ("pylock.toml", PYLOCK.replace('"1.0"', '"9.0"', 1)),
        ("Pipfile.lock", "x = 1"),
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
