"""The real apt and a cache that is offline: a suite is there whole, or not at all; and one that has a hub behind it."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from tests.e2e.apt import Source, check
from tests.e2e.archive import Archive, Key, Layout
from tests.e2e.clients import serving
from tests.e2e.mirror import Mirror
from tests.e2e.ways import FETCHED, FORMS, pointed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_NAMES = ["demo-0", "demo-1"]


@pytest.mark.parametrize("layout", Layout, ids=lambda layout: layout.value)
@pytest.mark.parametrize("form", FORMS)
def test_suite__whole(tmp_path: Path, home: Path, key: Key, layout: Layout, form: str) -> None:
    """A machine that has no lists yet installs what is here; of what is not, apt says that the cache is offline."""
    archive = Archive(tmp_path / "archive", layout, key, _NAMES)
    archive.publish()
    with Mirror(archive.states[0]) as mirror:
        source = Source(f"http://{mirror.host}", layout.suite, layout.components, str(key.public))
        hosts = ["--apt-hosts", mirror.host, "--apt-window", "0s"]
        with serving(tmp_path / "data", home, options=hosts) as server:
            before = pointed(tmp_path / "before", [source], server.url, form)
            check(before.update())
            check(before.download(_NAMES[0]))
    with serving(tmp_path / "data", home, options=[*hosts, "--offline"]) as server:
        after = pointed(tmp_path / "after", [source], server.url, form)
        check(after.update())
        check(after.download(_NAMES[0]))
        missing = after.download(_NAMES[1])
        assert 0 == server.metric(FETCHED)
    assert before.packages() == after.packages()
    assert sorted(before.lists()) == sorted(after.lists())
    assert 0 != missing.status
    assert any("offline" in line for line in missing.complaints), missing.output


def test_suite__not_at_all(tmp_path: Path, home: Path, key: Key) -> None:
    """Of a suite without its lists of packages apt gets nothing, and a machine that knows an older state keeps it."""
    archive = Archive(tmp_path / "archive", Layout.BY_HASH, key, _NAMES)
    archive.publish()
    with Mirror(archive.states[0]) as mirror:
        source = Source(f"http://{mirror.host}", "stable", "main", str(key.public))
        hosts = ["--apt-hosts", mirror.host, "--apt-window", "0s"]
        with serving(tmp_path / "first", home, options=hosts) as server:
            root = pointed(tmp_path / "root", [source], server.url, "proxy form")
            check(root.update())
        lists = sorted(root.lists())
        mirror.move(archive.publish(_NAMES[0]))
        with serving(tmp_path / "data", home, options=hosts) as server:
            path = f"{server.url}/{mirror.host}/dists/stable/InRelease"
            with urllib.request.urlopen(path, timeout=60) as answer:
                assert archive.states[1].files["dists/stable/InRelease"].body == answer.read()
    with serving(tmp_path / "data", home, options=[*hosts, "--offline"]) as server:
        for machine in (
            pointed(tmp_path / "root", [source], server.url, "proxy form"),
            pointed(tmp_path / "new", [source], server.url, "proxy form"),
        ):
            ran = machine.update()
            assert 0 != ran.status
            assert any("no list of packages of this suite is here" in line for line in ran.complaints), ran.output
        assert [] == [one for one in machine.lists() if one]  # the lock is empty
    assert lists == sorted(root.lists())


@pytest.mark.parametrize("form", FORMS)
def test_parent(tmp_path: Path, home: Path, key: Key, form: str) -> None:
    """A suite and packages come through the hub once, and through the site alone while the hub is gone."""
    archive = Archive(tmp_path / "archive", Layout.BY_HASH, key, _NAMES)
    archive.publish()
    with Mirror(archive.states[0]) as mirror:
        source = Source(f"http://{mirror.host}", "stable", "main", str(key.public))
        hosts = ["--apt-hosts", mirror.host, "--apt-window", "0s"]
        with (
            serving(tmp_path / "hub", home, options=hosts) as hub,
            serving(tmp_path / "site", home, options=[*hosts, "--parent", hub.url]) as site,
        ):
            first = pointed(tmp_path / "first", [source], site.url, form)
            check(first.update())
            check(first.download(*_NAMES))
            assert sum(mirror.sent.values()) == hub.metric(FETCHED, upstream="apt")
            hub.stop()
            second = pointed(tmp_path / "second", [source], site.url, form)
            check(second.update())
            check(second.download(*_NAMES))
    assert first.packages() == second.packages()
    assert {f"{name}_1.1_all.deb" for name in _NAMES} == set(first.packages())
