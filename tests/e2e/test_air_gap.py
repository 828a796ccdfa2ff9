"""From a machine with internet to one without any: warm, export, carry, import, install. And the same tar without us.

The machine without internet is a network namespace, so nothing can come from elsewhere by mistake.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.e2e.apt import AptRoot, Source, check
from tests.e2e.archive import Archive, Key, Layout
from tests.e2e.clients import Uv, run, serving, tree
from tests.e2e.locking import Project, Tools
from tests.e2e.mirror import Mirror, free_port
from tests.e2e.rooms import Room, obstacle
from tests.e2e.ways import pointed
from tests.e2e.web_servers import nginx, web_server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

_ROOT = Path(__file__).parents[2]
# One of Python alone, with another that it needs, and one with a wheel for each platform.
_WANTED = ("python-dateutil==2.9.0.post0", "markupsafe==3.0.2")
_PROJECT = f"""\
[project]
name = "demo"
version = "1"
requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"
dependencies = {json.dumps(_WANTED)}
"""
_LOCKS = ("uv.lock", "pylock.toml", "requirements.txt", "poetry.lock", "pdm.lock")
_BUILT = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: inhouse\nVersion: 1.0\n",
    "inhouse/__init__.py": "from importlib.metadata import version\n\n__version__ = version('inhouse')\n",
    "inhouse/fast.pyx": "def twice(int number):\n    return 2 * number\n",
    # What comes out of Cython is not compiled: there may be no compiler.
    "setup.py": "from Cython.Build import cythonize\nfrom setuptools import setup\n\n"
    "cythonize('inhouse/fast.pyx')\nsetup()\n",
    "pyproject.toml": '[build-system]\nrequires = ["setuptools>=64", "setuptools-scm>=8", "cython>=3"]\n'
    'build-backend = "setuptools.build_meta"\n\n[project]\nname = "inhouse"\ndynamic = ["version"]\n\n'
    '[tool.setuptools]\npackages = ["inhouse"]\npackage-data = {inhouse = ["*.c"]}\n\n[tool.setuptools_scm]\n',
}
_NAMES = ["demo-0", "demo-1"]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory, home: Path, uv: Uv) -> Tools:
    """The clients that write lock files."""
    return Tools.install(tmp_path_factory.mktemp("tools"), home, str(uv.program))


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory, tools: Tools) -> Path:
    """A folder with a lock file of each kind for one project, made from PyPI itself."""
    folder = tmp_path_factory.mktemp("locks")
    (folder / "pyproject.toml").write_text(_PROJECT, "utf-8")
    names = ("UV_DEFAULT_INDEX", "POETRY_PYPI_MIRROR_URL", "PDM_PYPI_URL")
    project = Project(folder, tools, variables=dict.fromkeys(names, PYPI_SIMPLE_ENDPOINT))
    project.run("uv", "uv", "lock", "--quiet")
    for form in ("requirements.txt", "pylock.toml"):
        project.run("uv", "uv", "export", "--quiet", "--no-emit-project", "--format", form, "--output-file", form)
    project.run("poetry", "poetry", "lock", "--no-interaction")
    project.run("pdm", "pdm", "lock")
    return folder


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, home: Path, locks: Path) -> dict[str, str]:
    """What pip installs from PyPI itself."""
    folder = tmp_path_factory.mktemp("expected")
    pip(home, folder, "--index-url", PYPI_SIMPLE_ENDPOINT, *locked(locks))
    return tree(folder)


@pytest.fixture
def room() -> Iterator[Room]:
    """The machine without internet."""
    with Room.make() as made:
        yield made


def locked(locks: Path) -> list[str]:
    """The arguments for an install by hashes."""
    return ["--require-hashes", "-r", str(locks / "requirements.txt")]


def verb(home: Path, *arguments: str, before: Sequence[str] = ()) -> str:
    """Run a verb of the program; gives what it printed."""
    return run([*before, sys.executable, "-m", "proxy", *arguments], home, folder=_ROOT)


def pip(home: Path, target: Path, *arguments: str, before: Sequence[str] = ()) -> None:
    """Install with pip, uncompiled: what compiling leaves holds times."""
    options = ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--no-compile", "--target", str(target)]
    run([*before, sys.executable, "-m", "pip", "install", *options, *arguments], home)


def warmed(folder: Path, home: Path, *wanted: str, environment: Mapping[str, str] = MappingProxyType({})) -> Path:
    """A bundle of what is wanted, from a cache that was empty before. `environment`: settings of that cache."""
    settings = {**environment, "PULLTHROUGH_PORT": str(free_port()), "PULLTHROUGH_DATA": str(folder / "outside")}
    before, bundle = ["env", *(f"{name}={value}" for name, value in settings.items())], folder / "bundle.tar"
    with serving(folder / "outside", home, options=["--port", settings["PULLTHROUGH_PORT"]], environment=environment):
        verb(home, "warm", *wanted, before=before)
        verb(home, "export", str(bundle), before=before)
    verb(home, "verify", str(bundle))
    return bundle


@pytest.mark.parametrize("lock", _LOCKS)
def test_lock(
    tmp_path: Path, home: Path, uv: Uv, room: Room, tools: Tools, locks: Path, expected: dict[str, str], lock: str
) -> None:
    """What was warmed by a lock file of any kind is all that pip, uv and poetry need to install the same files."""
    bundle = warmed(tmp_path, home, "--no-tools", str(locks / lock))
    with serving(tmp_path / "inside", home, options=["--offline"], before=room.before) as server:
        verb(home, "import", str(bundle), "--data", str(tmp_path / "inside"), before=room.before)
        pip(home, tmp_path / "by-pip", "--index-url", server.index, *locked(locks), before=room.before)
        synced = [str(uv.program), "pip", "sync", "--no-cache", "--no-config", "--python", sys.executable]
        synced += ["--default-index", server.index, "--target", str(tmp_path / "by-uv"), *locked(locks)[:1]]
        room.run(*synced, str(locks / "requirements.txt"), home=home)
        by_poetry = _by_poetry(tmp_path / "by-poetry", tools, locks, server.index, room) if "poetry" in lock else {}
    assert expected == tree(tmp_path / "by-pip")
    assert _modules(expected) == _modules(tree(tmp_path / "by-uv"))
    assert not by_poetry or _modules(expected).items() <= by_poetry.items()


def test_room__has_no_way_out(tmp_path: Path, home: Path, room: Room) -> None:
    """Not even to this machine's loopback, where a server is."""
    with serving(tmp_path / "data", home) as server:
        assert not room.reaches("127.0.0.1", int(server.url.rpartition(":")[2]), home)


def test_built_with_setuptools_scm_and_cython(tmp_path: Path, home: Path, room: Room) -> None:
    """A source distribution of a house's own index is built inside by what came along for that."""
    site, port = tmp_path / "house", free_port()
    _publish_source(site / "simple" / "inhouse")
    settings = {
        "PULLTHROUGH_UPSTREAMS": json.dumps([{"mount": "house", "url": f"http://127.0.0.1:{port}/"}]),
        "PULLTHROUGH_GROUPS": json.dumps(
            [{"mount": "all", "members": ["house", "pypi"], "pins": {"inhouse": "house"}}]
        ),
    }
    with web_server([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], site):
        bundle = warmed(tmp_path, home, "--index", "all", "inhouse==1.0", environment=settings)
    inside = tmp_path / "inside"
    with serving(inside, home, options=["--offline"], environment=settings, before=room.before) as server:
        verb(home, "import", str(bundle), "--data", str(inside), before=room.before)
        index = f"{server.url}/all/simple/"
        pip(home, tmp_path / "there", "--index-url", index, "inhouse==1.0", before=room.before)
    built = tmp_path / "there" / "inhouse"
    assert _BUILT["inhouse/__init__.py"] == (built / "__init__.py").read_text("utf-8")
    assert (built / "fast.c").read_text("utf-8").startswith("/* Generated by Cython")
    assert (tmp_path / "there" / "inhouse-1.0.dist-info").is_dir()


def test_tar__without_us(tmp_path: Path, home: Path, room: Room, locks: Path, expected: dict[str, str]) -> None:
    """Unpacked, it is enough for sha256sum, for pip by folder and file, for nginx, and for its own apply.py."""
    bundle, site = warmed(tmp_path, home, "--no-tools", str(locks / "requirements.txt")), tmp_path / "site"
    _unpack(bundle, site, home)
    run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], home, folder=site)
    found = {}
    by_links = ["--no-index", "--find-links", str(site / "find-links.html")]
    pip(home, tmp_path / "links", *by_links, *locked(locks), before=room.before)
    found["links"] = tree(tmp_path / "links")
    by_file = ["--index-url", f"file://{site}/simple/"]
    pip(home, tmp_path / "file", *by_file, *locked(locks), before=room.before)
    found["file"] = tree(tmp_path / "file")
    served = {
        "nginx": (nginx(tmp_path, site, 3140), site),
        "apply": ([sys.executable, "apply.py", "serve", str(bundle), "--port", "3141"], site),
    }
    for name, (command, folder) in served.items():
        with web_server([*room.before, *command], folder):
            port = "3140" if name == "nginx" else "3141"
            pip(
                home,
                tmp_path / name,
                *("--index-url", f"http://127.0.0.1:{port}/simple/", "--retries", "20"),
                *locked(locks),
                before=room.before,
            )
        found[name] = tree(tmp_path / name)
    assert dict.fromkeys(found, expected) == found


@pytest.mark.parametrize("layout", [Layout.BY_HASH, Layout.PLAIN, Layout.PAIR], ids=lambda layout: layout.value)
def test_archive(tmp_path: Path, home: Path, key: Key, room: Room, layout: Layout) -> None:
    """apt installs inside from a cache, from the unpacked folder by itself, and from a web server, all the same."""
    archive = Archive(tmp_path / "archive", layout, key, _NAMES)
    archive.publish()
    with Mirror(archive.states[0]) as mirror:
        source = Source(f"http://{mirror.host}", layout.suite, layout.components, str(key.public))
        hosts = ["--apt-hosts", mirror.host]
        with serving(tmp_path / "outside", home, options=hosts) as server:
            outside = pointed(tmp_path / "a", [source], server.url, "prefix form")
            check(outside.update())
            check(outside.download(*_NAMES))
            verb(home, "export", str(tmp_path / "bundle.tar"), "--data", str(tmp_path / "outside"))
    site = tmp_path / "site"
    _unpack(tmp_path / "bundle.tar", site, home)
    below = f"apt/{mirror.host.replace(':', '+')}"
    roots = []
    with serving(tmp_path / "inside", home, options=[*hosts, "--offline"], before=room.before) as server:
        first = pointed(tmp_path / "b", [source], server.url, "prefix form")
        first.before = room.before
        assert 0 != first.update().status, "nothing is here yet"
        verb(home, "import", str(tmp_path / "bundle.tar"), "--data", str(tmp_path / "inside"), before=room.before)
        roots.append(_installed(first))
    plain = Source(f"file:{site}/{below}", layout.suite, layout.components, str(key.public))
    roots.append(_installed(AptRoot(tmp_path / "c", [plain], before=room.before)))
    with web_server([*room.before, *nginx(tmp_path, site, 3140)], site):
        served = Source(f"http://127.0.0.1:3140/{below}", layout.suite, layout.components, str(key.public))
        roots.append(_installed(AptRoot(tmp_path / "d", [served], before=room.before)))
    debs = {path.rpartition("/")[2]: file.body for path, file in archive.states[0].files.items() if path[-4:] == ".deb"}
    assert [debs] * 3 == [root or {path.name: path.read_bytes() for path in site.rglob("*.deb")} for root in roots]


def _unpack(bundle: Path, site: Path, home: Path) -> None:
    """As anybody does."""
    site.mkdir()
    run(["tar", "-xf", str(bundle), "-C", str(site)], home)


def _installed(root: AptRoot) -> dict[str, bytes]:
    """What apt fetches for an install; nothing of a `file:` source, which it reads where it lies."""
    check(root.update())
    check(root.download(*_NAMES))
    return root.packages()


def _by_poetry(folder: Path, tools: Tools, locks: Path, index: str, room: Room) -> dict[str, str]:
    """What poetry installs of its lock file, in an environment that holds pip besides."""
    folder.mkdir()
    for name in ("pyproject.toml", "poetry.lock"):
        shutil.copy(locks / name, folder)
    project = Project(folder, tools, index, variables={"POETRY_PYPI_MIRROR_URL": index}, before=room.before)
    assert Path(project.python).exists()
    project.run("poetry", "poetry", "install", "--no-interaction", "--no-root")
    (site,) = (folder / ".venv").glob("lib/python*/site-packages")
    return tree(site)


def _modules(files: dict[str, str]) -> dict[str, str]:
    """Files of packages, without what each installer writes about itself."""
    return {path: digest for path, digest in files.items() if ".dist-info/" not in path and path != ".lock"}


def _publish_source(folder: Path) -> None:
    """A page with a source distribution, as any web server has it."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "inhouse-1.0.tar.gz", "w:gz") as tar:
        for name, text in _BUILT.items():
            member = tarfile.TarInfo(f"inhouse-1.0/{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    (folder / "index.html").write_text('<a href="inhouse-1.0.tar.gz">inhouse-1.0.tar.gz</a>\n', "utf-8")
