"""Requirements are resolved by uv against the cache, and index lines do not lead past it."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.warming.requirement_files import Requirements
from proxy.warming.resolving import Unresolved, resolve
from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running


pytestmark = pytest.mark.usefixtures("own_caches")


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """A cache in front of an origin where one project requires another."""
    origin.publish(
        wheel("demo", requires=("other<2", "win; sys_platform=='win32'")),
        wheel("other", "1.0"),
        wheel("other", "2.0"),
        wheel("win"),
        fmt="both",
        metadata=True,
    )
    return await make_proxy(origin.url)


async def resolved(running: Running, *lines: str, target: str | None = None, bounds: str = "") -> list[str]:
    """What uv chooses."""
    wanted = Requirements([*lines], [bounds])
    index = f"{running.url}/pypi/simple/"
    lock = await asyncio.to_thread(resolve, wanted, index, target, "3.12", dict(os.environ))
    return [f"{package.name}=={package.version}" for package in lock.packages]


async def test_resolve(running: Running) -> None:
    """Versions that go together, for a platform."""
    assert ["demo==1.0", "other==1.0"] == await resolved(running, "demo", target="manylinux_2_28_x86_64")
    assert ["demo==1.0", "other==1.0", "win==1.0"] == await resolved(running, "demo", target="windows")
    assert ["other==1.0"] == await resolved(running, "other", bounds="other<1.5")


async def test_resolve__allowed_hashes(running: Running) -> None:
    """Of the files of a version only those count that have an allowed hash, as for pip."""
    index, own = f"{running.url}/pypi/simple/", wheel("other", "1.0").sha256
    for hashes, found in (({f"sha256:{own}"}, 1), ({"sha256:" + "0" * 64}, 0), ({"md5:0"}, 1)):
        wanted = Requirements(["other<2"], hashes={"other": hashes})
        lock = await asyncio.to_thread(resolve, wanted, index, None, "3.12", dict(os.environ))
        assert found == len(lock.packages[0].wheels or ()), hashes


async def test_resolve__further_index(make_proxy: MakeProxy, origin: Origin) -> None:
    """The best version of all indexes, as pip has it: one with old versions of a project does not hide the rest."""
    origin.publish(wheel("demo", "2.0"), fmt="both", metadata=True)
    origin.publish(wheel("demo", "1.0"), fmt="both", metadata=True, index="/old/")
    running = await make_proxy(origin.url)
    wanted = Requirements(["demo==2.0"], indexes=[f"{running.url}/pypi/old/"])
    lock = await asyncio.to_thread(resolve, wanted, f"{running.url}/pypi/simple/", None, "3.12", dict(os.environ))
    assert ["2.0"] == [str(one.version) for one in lock.packages]


@pytest.mark.parametrize("how", [{"index": "old"}, {"indexes": ["old"], "first": True}])
async def test_resolve__where_it_is_looked_for(
    make_proxy: MakeProxy, origin: Origin, tmp_path: Path, how: dict[str, Any]
) -> None:
    """In place of the usual index; or, as uv, in the first one that has the project."""
    origin.publish(wheel("demo", "2.0"), fmt="both", metadata=True)
    origin.publish(wheel("demo", "1.0"), index="/whl/old/", folder="/whl/files/", fmt="both", metadata=True)
    running = await make_proxy(origin.url)
    old = f"{(await make_proxy(origin.url, index='whl/', data=tmp_path / 'other')).url}/pypi/whl/old/"
    how = {key: old if value == "old" else [old] if value == ["old"] else value for key, value in how.items()}
    wanted, usual = Requirements(["demo"], **how), f"{running.url}/pypi/simple/"
    lock = await asyncio.to_thread(resolve, wanted, usual, None, "3.12", dict(os.environ))
    assert ["1.0"] == [str(one.version) for one in lock.packages]


async def test_resolve__behind_a_proxy(running: Running) -> None:
    """The proxy that leads to upstream has no part in what is asked of the cache."""
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    environ = {**os.environ, **proxies, "NO_PROXY": "", "no_proxy": ""}
    index = f"{running.url}/pypi/simple/"
    lock = await asyncio.to_thread(resolve, Requirements(["other"]), index, None, "3.12", environ)
    assert ["other"] == [one.name for one in lock.packages]


async def test_resolve__cache_of_uv_cannot_be_written(running: Running, tmp_path: Path) -> None:
    """As in a unit that may write its data folder alone: uv does nothing without one, and gets one for a moment."""
    (tmp_path / "caches").touch()  # nobody makes a folder in a file, not even root
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "caches")}
    index = f"{running.url}/pypi/simple/"

    lock = await asyncio.to_thread(resolve, Requirements(["other"]), index, None, "3.12", environ)

    assert ["other"] == [one.name for one in lock.packages]


def test_resolve__no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room fails one wish, and not the whole run."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Unresolved, match=r"no room to resolve in .*gone: No such file or directory\. TMPDIR"):
        resolve(Requirements(["demo"]), "http://127.0.0.1:9/", None, "3.12", dict(os.environ))


async def test_resolve__no_set(running: Running) -> None:
    """What uv says is said."""
    with pytest.raises(Unresolved, match="other"):
        await resolved(running, "demo", "other>=2")


def test_resolve__without_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how to get it."""
    monkeypatch.setattr("proxy.warming.resolving.find_spec", lambda _: None)
    with pytest.raises(Unresolved, match="pip install uv"):
        resolve(Requirements(["demo"]), "http://127.0.0.1:9/", None, "3.12", {"PATH": str(tmp_path)})


@pytest.fixture
def only_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment in which there is no uv."""
    monkeypatch.setattr("proxy.warming.resolving.find_spec", lambda name: None if name == "uv" else object())
    return {**os.environ, "PATH": str(tmp_path)}


async def test_resolve__by_pip(running: Running, only_pip: dict[str, str]) -> None:
    """Where there is no uv, pip says what it would install here."""
    index = f"{running.url}/pypi/simple/"
    wanted = Requirements(["demo"], ["other<1.5"])
    lock = await asyncio.to_thread(resolve, wanted, index, None, platform.python_version(), only_pip)
    assert {"demo": "1.0", "other": "1.0"} == {package.name: str(package.version) for package in lock.packages}
    (other,) = (package for package in lock.packages if package.name == "other")
    assert other.wheels is not None
    assert (index, {"sha256": wheel("other", "1.0").sha256}) == (other.index, other.wheels[0].hashes)
    with pytest.raises(Unresolved, match="pip found no set"):
        await asyncio.to_thread(
            resolve, Requirements(["demo", "other>=2"]), index, None, platform.python_version(), only_pip
        )


@pytest.mark.parametrize(("name", "python"), [("windows", ""), (None, "3.99.0")])
def test_resolve__by_pip_for_others(only_pip: dict[str, str], name: str | None, python: str) -> None:
    """pip knows the markers of its own Python alone."""
    with pytest.raises(Unresolved, match="Install uv"):
        resolve(Requirements(["demo"]), "http://127.0.0.1:9/", name, python or platform.python_version(), only_pip)


def test_resolve__pip_would_fetch(only_pip: dict[str, str]) -> None:
    """pip fetches what it chooses, even if it installs nothing: who only looks is told what does without."""
    wanted, python = Requirements(["demo"]), platform.python_version()
    with pytest.raises(Unresolved, match="fetches the files that it chooses"):
        resolve(wanted, "http://127.0.0.1:9/", None, python, only_pip, fetching=False)


def test_resolve__pip_of_another_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pip that is a program is told for which Python it resolves; what it cannot do is said."""
    monkeypatch.setattr("proxy.warming.resolving.find_spec", lambda _: None)
    program = tmp_path / "pip3"
    program.write_text('#!/bin/sh\necho "asked for $2" >&2; exit 1\n', encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(Unresolved, match="asked for"):
        resolve(Requirements(["demo"]), "http://127.0.0.1:9/", None, platform.python_version(), {"PATH": str(tmp_path)})
