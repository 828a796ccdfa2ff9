"""docs/offline.md: its stories, with the commands as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.bodies import pieces
from tests.e2e.clients import Failed, Uv, run, serving, tree
from tests.e2e.mirror import free_port
from tests.e2e.rooms import Room, obstacle
from tests.e2e.web_servers import web_server
from tests.wheels import Package, wheel

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

_ROOT = Path(__file__).parents[2]
_GUIDE = (_ROOT / "docs" / "offline.md").read_text("utf-8")
_INSTALL = "pip install --require-hashes -r requirements.txt --index-url"


def story(heading: str) -> list[str]:
    """The commands of a section, block by block."""
    [section] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", _GUIDE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


class Desk:
    """A folder in which a person types commands. `variables`: what they set before, such as the port of their cache."""

    def __init__(self, folder: Path, home: Path, uv: Uv, **variables: str) -> None:
        self.folder = folder
        self._home = home
        programs = folder / "bin"
        programs.mkdir(parents=True)
        for name, module in (("pullthrough", "proxy"), ("pip", "pip")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', "utf-8")
            program.chmod(0o755)
        path = f"{programs}:{uv.program.parent}:{os.environ['PATH']}"
        self.variables = {"PATH": path, "PYTHONPATH": str(_ROOT), "PULLTHROUGH_DATA": str(folder / "data")} | variables

    def types(
        self, commands: str, room: Room | None = None, variables: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Type a block; gives what was printed. Raises Failed if a command fails."""
        before = room.before if room is not None else ()
        return run([*before, "sh", "-euc", commands], self._home, {**self.variables, **variables}, self.folder)


@pytest.fixture
def room() -> Iterator[Room]:
    """A machine without internet; each port of it is free."""
    with Room.make() as made:
        yield made


def pip_settings(folder: Path, target: str) -> dict[str, str]:
    """Where pip installs, and that it leaves nothing that holds times."""
    return {"PIP_TARGET": str(folder / target), "PIP_COMPILE": "0", "PIP_NO_CACHE_DIR": "1"}


def locked(desk: Desk, *wanted: str) -> None:
    """Have `uv.lock` and `requirements.txt`, made from PyPI itself; and what pip installs by them from there."""
    project = {"name": "demo", "version": "1", "requires-python": ">=3.11", "dependencies": wanted}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in project.items())
    (desk.folder / "pyproject.toml").write_text(f"[project]\n{lines}", "utf-8")
    lock = "uv lock --quiet && uv export --quiet --no-emit-project -o requirements.txt"
    desk.types(lock, None, {"UV_DEFAULT_INDEX": PYPI_SIMPLE_ENDPOINT})
    desk.types(f"{_INSTALL} {PYPI_SIMPLE_ENDPOINT}", None, pip_settings(desk.folder, "expected"))


def test_on_a_train(tmp_path: Path, home: Path, uv: Uv, room: Room) -> None:
    """What was warmed at home is installed on the train."""
    port = str(free_port())
    desk = Desk(tmp_path / "desk", home, uv, PULLTHROUGH_PORT=port)
    locked(desk, "python-dateutil==2.9.0.post0", "markupsafe==3.0.2")
    at_home, elsewhere, train = story("On a train")
    with serving(desk.folder / "data", home, options=["--port", port]):
        with pytest.raises(Failed):
            desk.types("pullthrough warm uv.lock --check")
        assert "all of it is here" in desk.types(at_home)
        desk.types(elsewhere)
    assert "pullthrough serve --offline\n" == train
    with serving(desk.folder / "data", home, options=train.split()[2:], before=room.before) as server:
        desk.types(f"{_INSTALL} {server.index}", room, pip_settings(tmp_path, "train"))
    assert tree(desk.folder / "expected") == tree(tmp_path / "train")


def test_a_room_without_internet(tmp_path: Path, home: Path, uv: Uv, room: Room) -> None:
    """A bundle is packed outside; inside it is enough for pip alone, and for a cache."""
    port = str(free_port())
    outside, inside = Desk(tmp_path / "outside", home, uv, PULLTHROUGH_PORT=port), Desk(tmp_path / "inside", home, uv)
    locked(outside, "python-dateutil==2.9.0.post0")
    pack, pack_next, unpack = story("A room without internet")
    with serving(outside.folder / "data", home, options=["--port", port]):
        outside.types(pack)
        outside.types(pack_next)
    for name in ("bundle.tar", "requirements.txt"):
        shutil.copy(outside.folder / name, inside.folder)
    inside.types(unpack.replace("/srv/bundle", str(tmp_path / "srv")), room, pip_settings(tmp_path, "alone"))
    with serving(inside.folder / "data", home, options=["--offline"], before=room.before) as server:
        inside.types(story("Import")[0], room)
        inside.types(f"{_INSTALL} {server.index}", room, pip_settings(tmp_path, "cached"))
    assert tree(outside.folder / "expected") == tree(tmp_path / "alone") == tree(tmp_path / "cached")


def test_a_version_that_the_index_dropped(tmp_path: Path, home: Path, uv: Uv, room: Room) -> None:
    """The exact pin is installed from the cache, and nobody else gets that version."""
    old, new = wheel("demo", "1.0"), wheel("demo", "2.0")
    site, port = tmp_path / "site", 3141
    usual = [wheel(name, "1.0") for name in ("pip", "setuptools", "wheel", "uv")]
    publish(site, old, new, *usual)
    upstream = {"mount": "pypi", "url": f"http://127.0.0.1:{port}/", "ttl": 0}
    desk = Desk(tmp_path / "desk", home, uv, PULLTHROUGH_UPSTREAMS=json.dumps([upstream]))
    (desk.folder / "requirements.txt").write_text(f"demo==1.0 --hash=sha256:{old.sha256}\n", "utf-8")
    warm, install = story("A version that the index dropped")
    command = [*room.before, sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    settings = {"PULLTHROUGH_UPSTREAMS": json.dumps([upstream])}
    options = ["--port", "3142"]
    with (
        web_server(command, site),
        serving(desk.folder / "data", home, None, settings, options=options, before=room.before) as server,
    ):
        desk.types(warm, room)
        (site / "packages" / old.filename).unlink()
        publish(site, new, *usual)
        desk.types(install, room, pip_settings(tmp_path, "there"))
        assert (tmp_path / "there" / "demo-1.0.dist-info").is_dir()
        desk.types(f"pip install --index-url {server.index} 'demo>=1'", room, pip_settings(tmp_path, "newest"))
        assert (tmp_path / "newest" / "demo-2.0.dist-info").is_dir()


def publish(site: Path, *packages: Package) -> None:
    """A folder that any web server makes an index of: pages for these packages, and their files."""
    (site / "packages").mkdir(parents=True, exist_ok=True)
    pages: dict[str, list[str]] = {}
    for one in packages:
        (site / "packages" / one.filename).write_bytes(b"".join(pieces(one.body)))
        link = f'<a href="../../packages/{one.filename}#sha256={one.sha256}">{one.filename}</a>'
        pages.setdefault(one.project, []).append(link)
    for project, links in pages.items():
        (site / "simple" / project).mkdir(parents=True, exist_ok=True)
        (site / "simple" / project / "index.html").write_text("\n".join(links), "utf-8")
