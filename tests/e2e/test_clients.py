"""What lock files keep of the cache, and from where an install takes the files: each client, the real PyPI.

The cache listens at 0.0.0.0, which clients take for a host like any other: what one has to be told of a cache on
another machine with plain HTTP, it has to be told here.
"""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.e2e.clients import Failed, Server, Uv, serving
from tests.e2e.locking import WAYS, Keeps, Project, Tools, Way

pytestmark = pytest.mark.e2e

_HOST = "0.0.0.0"
# Of ways that keep nothing, one through the cache is as good as any; in two others the index stands in the project.
_TELLING = [way for way in WAYS if way.keeps is Keeps.FILES or way.client == "pip-tools"]
# One way a client that wants to be told of plain HTTP.
_TRUSTING = [way for way in WAYS if way.client in {"pip", "pdm", "pipenv, mirror", "pip-tools"}]
_BLOCK = re.compile(r"^```\w*\n# (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, home: Path, uv: Uv) -> Tools:
    """The clients."""
    return Tools.install(tmp_path_factory.mktemp("tools"), home, str(uv.program))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the cache with which locks are made, one run after another."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Server]:
    """Another cache, which runs all the time."""
    with serving(tmp_path_factory.mktemp("other"), home, options=("--host", _HOST)) as server:
        yield server


def _files(server: Server) -> float:
    """Bytes of files that clients were sent."""
    return server.metric("pullthrough_sent_bytes_total", upstream="pypi", kind="file")


def _kept(lock: str, url: str) -> Keeps:
    if re.search(re.escape(url) + r"/pypi/(?:~|%7E)files/", lock):
        return Keeps.FILES
    return Keeps.INDEX if url in lock else Keeps.NOTHING


def _install(way: Way, made: Path, folder: Path, tools: Tools, index: str | None) -> None:
    """Install from a lock as on another machine: with the project's files and nothing else."""
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns(".venv", "kept", ".pdm-python", "*.pex"))
    project = way.at(folder, tools, index, trusted=_HOST)
    way.install(project)
    assert _installed(project)


def _installed(project: Project) -> bool:
    return (project.folder / "demo.pex").exists() or any(project.folder.glob(".venv/lib/*/site-packages/dateutil"))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.client)
def test_lock__made_through_the_cache(
    tmp_path: Path, home: Path, tools: Tools, data: Path, other: Server, way: Way
) -> None:
    """It keeps what the document says. If that is nothing it installs from anywhere, else through that cache only."""
    made = tmp_path / "made"
    made.mkdir()
    with serving(data, home, options=("--host", _HOST)) as server:
        way.make(way.at(made, tools, server.index, trusted=_HOST))
        lock = (made / way.lock).read_text("utf-8")
        if way.keeps is not Keeps.NOTHING:
            before = _files(server)
            _install(way, made, tmp_path / "there", tools, server.index)
            assert before < _files(server)

    shown = lock.replace(server.url, "http://cache.example:3142")
    assert way.keeps is _kept(lock, server.url)
    assert [] == [line.pattern for line in _documented(way) if not line.search(shown)]
    before = _files(other)
    if way.keeps is not Keeps.NOTHING:
        with pytest.raises(Failed):
            _install(way, made, tmp_path / "elsewhere", tools, other.index)
        return
    _install(way, made, tmp_path / "elsewhere", tools, other.index)
    assert before < _files(other)
    if not way.client.startswith("poetry") or _has_releases():
        _install(way, made, tmp_path / "without", tools, None)


def _has_releases() -> bool:
    """Whether PyPI answers here with the JSON of a release, which poetry asks for and mirrors of PyPI may not have."""
    base = PYPI_SIMPLE_ENDPOINT.removesuffix("simple/")
    try:
        with urllib.request.urlopen(f"{base}pypi/six/1.17.0/json", timeout=20) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except urllib.error.HTTPError:
        return False


def _documented(way: Way) -> list[re.Pattern[str]]:
    """The lines of this lock file that the document shows; … stands for anything."""
    (example,) = [
        text for name, text in _BLOCK.findall(_DOCUMENT.read_text("utf-8")) if name == f"{way.lock}, {way.client}"
    ]
    return [re.compile(".*".join(map(re.escape, line.strip().split("…")))) for line in example.splitlines() if line]


@pytest.mark.parametrize("way", _TELLING, ids=lambda way: way.client)
def test_lock__made_without_the_cache(tmp_path: Path, tools: Tools, other: Server, way: Way) -> None:
    """It installs where the cache is, too; through it, unless the lock names the addresses of files."""
    made = tmp_path / "made"
    made.mkdir()
    way.make(way.at(made, tools, None))
    before = _files(other)

    _install(way, made, tmp_path / "there", tools, other.index)

    assert way.follows == (before < _files(other))


@pytest.mark.parametrize("way", _TRUSTING, ids=lambda way: way.client)
def test_cache__on_another_machine(tmp_path: Path, tools: Tools, other: Server, way: Way) -> None:
    """A client that wants to be told of plain HTTP takes nothing from such a cache when it is not."""
    project = way.at(tmp_path, tools, other.index)

    with pytest.raises(Failed):
        way.make(project)


def test_uv__locked_elsewhere(tmp_path: Path, tools: Tools, other: Server) -> None:
    """`uv sync --locked` refuses a lock of PyPI where the cache is the index, and `uv sync` writes it anew."""
    (way,) = [way for way in WAYS if way.client == "uv"]
    way.make(way.at(tmp_path, tools, None))
    before = (tmp_path / way.lock).read_text("utf-8")
    project = way.at(tmp_path, tools, other.index)

    with pytest.raises(Failed, match="needs to be updated"):
        project.run("uv", "uv", "sync", "--locked", "--python", project.python)
    project.run("uv", "uv", "sync", "--python", project.python)

    assert (Keeps.NOTHING, Keeps.FILES) == (
        _kept(before, other.url),
        _kept((tmp_path / way.lock).read_text("utf-8"), other.url),
    )
