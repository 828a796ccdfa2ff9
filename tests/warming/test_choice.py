"""Which files of a lock are installed on which platforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.pylock import Pylock

from proxy.warming import lock_files, platforms
from proxy.warming.choice import UNSAID, Chosen, LeftOut, Platform, Refused, choose

_LOCKS = Path(__file__).parent.parent / "data" / "locks"
HASHES = {"sha256": "a" * 64}


def lock(*packages: dict[str, Any]) -> Pylock:
    """A lock file with these packages; `wheels` and `sdist` by name."""

    def file(name: str) -> dict[str, Any]:
        return {"name": name, "url": f"https://files.example/{name}", "hashes": HASHES}

    tables = [
        {
            **package,
            **({"wheels": [file(name) for name in package["wheels"]]} if "wheels" in package else {}),
            **({"sdist": file(package["sdist"])} if "sdist" in package else {}),
        }
        for package in packages
    ]
    return Pylock.from_dict({"lock-version": "1.0", "created-by": "hand", "packages": tables})


def linux(*, own: bool = False, python: str = "3.12") -> Platform:
    """Linux."""
    (found,) = platforms.wanted(["manylinux_2_28_x86_64"], [python])
    return Platform("linux", found.environment, own)


def mac() -> Platform:
    """A Mac with an ARM processor."""
    (found,) = platforms.wanted(["macosx_14_0_arm64"], ["3.12"])
    return Platform("mac", found.environment)


BINARY = {
    "name": "demo",
    "version": "1.0",
    "wheels": [
        "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
        "demo-1.0-cp312-cp312-macosx_11_0_arm64.whl",
        "demo-1.0-py3-none-any.whl",
    ],
    "sdist": "demo-1.0.tar.gz",
}


def names(*found: Chosen | Refused | LeftOut) -> list[str]:
    """The files."""
    return [one.filename if isinstance(one, Chosen) else f"no {one.what}" for one in found]


def test_choose__the_best_wheel_of_each() -> None:
    """For each platform its own; a file that suits several comes once."""
    found = list(
        choose(lock(BINARY, {"name": "any", "version": "1", "wheels": ["any-1-py3-none-any.whl"]}), [linux(), mac()])
    )
    assert [BINARY["wheels"][0], "any-1-py3-none-any.whl", BINARY["wheels"][1]] == names(*found)
    assert isinstance(found[0], Chosen)
    assert ("demo", "1.0", HASHES) == (found[0].project, found[0].version, found[0].hashes)


def test_choose__name_of_many_tags() -> None:
    """A name that stands for thousands of tags is none of a wheel that fits."""
    many = ".".join("x" * 40)
    wheels = [f"demo-1.0-py3.{many}-none.{many}-any.{many}.whl"]
    assert ["no demo 1.0"] == names(*choose(lock({"name": "demo", "version": "1.0", "wheels": wheels}), [linux()]))


def test_choose__source() -> None:
    """Where there is no wheel the source is taken on a machine that can build it, and refused for others."""
    source = {"name": "demo", "version": "1.0", "sdist": "demo-1.0.tar.gz"}
    assert ["demo-1.0.tar.gz"] == names(*choose(lock(source), [linux(own=True)]))
    (refused,) = choose(lock(source), [mac(), mac()])
    assert isinstance(refused, Refused)
    assert "built there" in refused.why


def test_choose__nothing_fits() -> None:
    """A lock file without any file for a platform."""
    windows = {"name": "demo", "version": "1.0", "wheels": ["demo-1.0-cp312-cp312-win_amd64.whl"]}
    (refused,) = choose(lock(windows), [linux()])
    assert isinstance(refused, Refused)
    assert ("demo 1.0", True) == (refused.what, "linux" in refused.why)


def test_choose__what_applies() -> None:
    """Markers and versions of Python decide; which groups are taken nobody knows, so all are."""
    one = {"version": "1", "wheels": ["a-1-py3-none-any.whl"]}
    packages = (
        {"name": "a", "marker": "sys_platform == 'darwin'", **one},
        {"name": "b", "requires-python": ">=3.13", **one, "wheels": ["b-1-py3-none-any.whl"]},
        {"name": "c", "marker": "'dev' in dependency_groups", **one, "wheels": ["c-1-py3-none-any.whl"]},
        {"name": "d", "directory": {"path": "."}},
    )
    assert ["c-1-py3-none-any.whl"] == names(*choose(lock(*packages), [linux()]))
    assert ["a-1-py3-none-any.whl", "c-1-py3-none-any.whl"] == names(*choose(lock(*packages), [mac()]))
    assert ["b-1-py3-none-any.whl", "c-1-py3-none-any.whl"] == names(*choose(lock(*packages), [linux(python="3.13")]))


def test_choose__the_last_build() -> None:
    """Of wheels that fit as well pip takes the one with the highest build number."""
    wheels = [f"demo-1.0-{build}py3-none-any.whl" for build in ("", "2-", "10b-", "10a-", "9-")]
    assert [wheels[2]] == names(*choose(lock({"name": "demo", "version": "1.0", "wheels": wheels}), [linux()]))


def test_choose__left_out() -> None:
    """What is from no index, without its password; and what a lock file does not say to be needed on a platform."""
    windows = ["demo-1.0-cp312-cp312-win_amd64.whl"]
    packages = (
        {"name": "a", "archive": {"url": "https://user:secret@files.example/a.whl", "hashes": HASHES}},
        {"name": "b", "vcs": {"type": "git", "url": "https://git.example/b", "commit-id": "0"}},
        {"name": "demo", "version": "1.0", "wheels": windows, "tool": UNSAID},
        {"name": "demo", "version": "1.0", "wheels": windows, "sdist": "demo-1.0.tar.gz", "tool": UNSAID},
    )
    found = list(choose(lock(*packages), [linux()]))
    assert ["a", "b", "demo 1.0"] == [one.what for one in found if isinstance(one, LeftOut)]
    assert not [one for one in found if isinstance(one, LeftOut) and "secret" in one.why]
    assert 3 == len(found)
    assert ["demo-1.0.tar.gz"] == names(*choose(lock(packages[3]), [linux(own=True)]))


@pytest.mark.parametrize("name", ["poetry.lock", "pdm.lock"])
def test_choose__of_real_lock_files(name: str) -> None:
    """As poetry 2 and pdm 2 write them: groups, extras, markers, packages with many wheels, and one without any."""
    lock = lock_files.read(_LOCKS / name)
    assert isinstance(lock, Pylock)
    always = ["click", "iniconfig", "pycparser", "pyyaml"]
    chosen = list(choose(lock, [linux()]))
    files = {one.project: one.filename for one in chosen if isinstance(one, Chosen)}
    assert sorted(["cffi", *always]) == sorted(files)
    assert "cffi-1.17.1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl" == files["cffi"]
    assert ["docopt 0.6.2"] == [one.what for one in chosen if isinstance(one, Refused)]
    assert all(one.hashes["sha256"] for one in chosen if isinstance(one, Chosen))
    assert "docopt-0.6.2.tar.gz" in names(*choose(lock, [linux(own=True)]))
    older = {one.project for one in choose(lock, [linux(python="3.11")]) if isinstance(one, Chosen)}
    assert {"importlib-metadata", "zipp"} == older - set(files)
    (windows,) = platforms.wanted(["win_amd64"], ["3.12"])
    elsewhere = [one for one in choose(lock, [windows]) if isinstance(one, Chosen)]
    assert {"colorama"} == {one.project for one in elsewhere} - set(files)
    assert "cffi-1.17.1-cp312-cp312-win_amd64.whl" in names(*elsewhere)
