"""Wishes become what the cache has; what one fails by stops no other."""

from __future__ import annotations

import asyncio
import os
import platform
from typing import TYPE_CHECKING

import pytest
from packaging.pylock import Pylock

from proxy.warming import platforms
from proxy.warming.archives import Packages, archive_file
from proxy.warming.fetching import Warming
from proxy.warming.requirement_files import Requirements
from proxy.warming.rounds import Report, WarmTarget, run
from proxy.warming.wishes import Wishes
from tests.conftest import MakeProxy
from tests.origin import Origin
from tests.warming.test_fetching import Watch
from tests.wheels import sdist, wheel

if TYPE_CHECKING:
    from proxy.app import Running

FIRST = sdist("first", pyproject='[build-system]\nrequires = ["second"]\n')
SECOND = sdist("second", pyproject='[build-system]\nrequires = ["third", "first"]\n')
THIRD = wheel("third")


pytestmark = pytest.mark.usefixtures("own_caches")


@pytest.fixture
async def running(make_proxy: MakeProxy, origin: Origin) -> Running:
    """A cache in front of sources whose builds need each other."""
    origin.publish(FIRST, SECOND, THIRD, fmt="both", metadata=True)
    return await make_proxy(origin.url)


async def report(running: Running, origin: Origin, wishes: Wishes, *, check: bool = False) -> Report:
    """What came of it, for this machine."""
    warming = Warming(running.url, "/pypi/simple/", {f"{origin.url}/": "pypi"}, Watch())
    (own,) = platforms.wanted([], [])
    target = WarmTarget(own, None, platform.python_version())
    return await asyncio.to_thread(run, wishes, warming, [target], dict(os.environ), check=check)


async def test_run__builds_of_builds(running: Running, origin: Origin) -> None:
    """What a build needs, and what the build of that needs, each once."""
    wishes = Wishes([Requirements(["first"])])
    found = await report(running, origin, wishes)
    assert ([], [], True) == (found.missing, found.refused, found.complete)
    assert 3 == found.here + found.came
    for package in (FIRST, SECOND, THIRD):
        assert 1 == origin.count(f"/packages/{package.filename}"), package.filename
    assert (await report(running, origin, wishes, check=True)).complete


async def test_run__looks_without_uv(running: Running, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks fetches nothing, as pip would, which resolves where there is no uv."""
    monkeypatch.setattr("proxy.warming.resolving.find_spec", lambda name: None if name == "uv" else object())
    monkeypatch.setenv("PATH", os.devnull)
    found = await report(running, origin, Wishes([Requirements(["third"])]), check=True)
    assert (["third"], False) == ([one.what for one in found.refused], found.complete)
    assert 0 == origin.count(f"/packages/{THIRD.filename}")


async def test_run__what_fails(running: Running, origin: Origin) -> None:
    """Each failure is reported once, and what else was wished for came."""
    wishes = Wishes(
        [Requirements(["third"]), Requirements(["unknown", "third>5"])],
        [archive_file(f"{origin.url}/debian/pool/x_1_all.deb")],
        [Packages(("no-such-package",), ())],
        unread=["line 1: x"],
    )
    found = await report(running, origin, wishes)
    assert ["no-such-package", "unknown, third>5", "x_1_all.deb"] == sorted(one.what for one in found.refused)
    assert (1, False, ["line 1: x"]) == (found.came, found.complete, found.unread)


async def test_run__the_same_name_in_two_indexes(make_proxy: MakeProxy, origin: Origin) -> None:
    """Each is asked: an offline cache keeps their pages apart."""
    for channel in ("a", "b"):
        origin.publish(THIRD, index=f"/whl/{channel}/", folder="/whl/files/", fmt="both", metadata=True)
    running = await make_proxy(origin.url, index="whl/")
    wheels = [{"name": THIRD.filename, "path": THIRD.filename, "hashes": {"sha256": THIRD.sha256}}]
    package = {"name": "third", "version": "1.0", "wheels": wheels}
    packages = [{**package, "index": f"{origin.url}/whl/{channel}/"} for channel in ("a", "b")]
    lock = Pylock.from_dict({"lock-version": "1.0", "created-by": "hand", "packages": packages})
    found = await report(running, origin, Wishes([lock]))
    assert ([], 2) == (found.refused, found.here + found.came)
    assert [1, 1] == [origin.count(f"/whl/{channel}/third/") for channel in ("a", "b")]


async def test_run__the_same_name_in_two_archives(running: Running, origin: Origin) -> None:
    """Each file is asked for."""
    keys = [archive_file(f"http://{host}.example/linux/debian/gpg") for host in ("a", "b")]
    assert 2 == len((await report(running, origin, Wishes([], [*keys]), check=True)).missing)


async def test_run__from_an_address(running: Running, origin: Origin) -> None:
    """What a project requires from an address is no matter of the cache, and is not fetched past it: the rest comes."""
    there = f"there @ {origin.url}/there/there-1.0.tar.gz"
    wishes = Wishes([Requirements([there, "third"]), Requirements([there])])
    found = await report(running, origin, wishes)
    assert ([], 1, [there]) == (found.refused, found.came, [one.what for one in found.left_out])
    assert 0 == origin.count("/there/there-1.0.tar.gz")
