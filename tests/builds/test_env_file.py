"""A person's own lines of `.env`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.builds.build_site import CachePlace
from proxy.builds.env_file import started_with, taken_over, variables, volume
from proxy.builds.setup_plan import SetupFailed, SetupPlan, look, settings_text
from tests.fake_engine import FakeEngine

_PLAN = SetupPlan(CachePlace(("127.0.0.1",), 3142), Path("/home/me/.docker-cache"))
_HOME = {"HOME": "/home/me", "DISKS": "/mnt/disks"}


def _taken(folder: Path, text: str, *told: str, plan: SetupPlan = _PLAN) -> SetupPlan:
    (folder / ".env").write_text(text, encoding="utf-8")
    return taken_over(plan, folder, _HOME, told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PULLTHROUGH_DATA=pullthrough-data\n", "pullthrough-data"),
        ("PULLTHROUGH_DATA=/a\nPULLTHROUGH_DATA='my_volume' \n", "my_volume"),
        ("export PULLTHROUGH_DATA = volume # mine\r\n", "volume"),
        ("PULLTHROUGH_DATA=volume\nPULLTHROUGH_DATA=./a\n", None),
        ("# PULLTHROUGH_DATA=volume\nOTHER=1", None),
        ("PULLTHROUGH_DATA=\n", None),
    ],
)
def test_volume__last_line_counts(text: str, expected: str | None) -> None:
    """A volume has no slash; a folder has one."""
    assert expected == volume(variables(text, {}))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/mnt/big", "/mnt/big"),
        ("'/mnt/a b' # large", "/mnt/a b"),
        ('"/mnt/#1"', "/mnt/#1"),
        ("${DISKS}/cache", "/mnt/disks/cache"),
        ('"$DISKS/cache"', "/mnt/disks/cache"),
        ("~/cache", "/home/me/cache"),
        ("./cache/", "PROJECT/cache"),
        ("../cache", "PROJECT/../cache"),
    ],
)
def test_taken_over__folder(tmp_path: Path, written: str, expected: str) -> None:
    """As Compose reads it, and so in the settings file, too."""
    plan = _taken(tmp_path, f"PULLTHROUGH_DATA={written}\n")

    folder = Path(expected.replace("PROJECT/..", str(tmp_path.parent)).replace("PROJECT", str(tmp_path)))
    assert (folder, None) == (plan.data, plan.volume)
    assert f'data = "{folder}"' in settings_text(plan)


@pytest.mark.parametrize("told", [(), ("data",), ("host", "port")])
def test_taken_over__what_was_told_comes_first(tmp_path: Path, told: tuple[str, ...]) -> None:
    """A flag, or a variable of the shell; the other lines hold."""
    plan = replace(_PLAN, hosts=("10.0.0.9",))
    text = (
        "PULLTHROUGH_DATA=/mnt/big\nPULLTHROUGH_PORT=4000\nPULLTHROUGH_LISTEN=10.0.0.7\nPULLTHROUGH_BRIDGE=10.1.0.1\n"
    )

    taken = _taken(tmp_path, text, *told, plan=plan)

    folder, port = (plan.data, 4000) if "data" in told else (Path("/mnt/big"), 4000)
    hosts: tuple[str, ...] | None = ("10.0.0.7", "10.1.0.1")
    if "host" in told:
        port, hosts = 3142, plan.hosts
    assert (folder, port, hosts) == (taken.data, taken.place.port, taken.hosts)
    assert {"data", "port", "host"} - {*told} == {
        {"PULLTHROUGH_DATA": "data", "PULLTHROUGH_PORT": "port"}.get(name, "host") for name in taken.own
    }


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ("127.0.0.1", "172.17.0.1")),
        ("PULLTHROUGH_LISTEN=10.0.0.7", ("10.0.0.7", "172.17.0.1")),
        ("PULLTHROUGH_LISTEN=0.0.0.0", ("0.0.0.0",)),
        ("PULLTHROUGH_LISTEN=[::]", ("::",)),
        ("PULLTHROUGH_BRIDGE=10.0.0.7", ("127.0.0.1", "10.0.0.7")),
        ("PULLTHROUGH_LISTEN=10.0.0.7\nPULLTHROUGH_BRIDGE=10.0.0.7", ("10.0.0.7",)),
    ],
)
def test_taken_over__addresses(tmp_path: Path, engine: FakeEngine, text: str, hosts: tuple[str, ...]) -> None:
    """Builds reach the bridge, unless the person says another second address, or everywhere."""
    plan = _taken(tmp_path, text)
    ways = look(plan, engine.environ)
    assert ways.engine is not None
    ways.engine.close()

    assert hosts == ways.hosts
    assert ("host" in settings_text(plan)) == bool(text)


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("PULLTHROUGH_PORT=many", "--port"),
        ("PULLTHROUGH_PORT=65536", "--port"),
        ("PULLTHROUGH_DATA=${ELSEWHERE:-/mnt}/x", "--data"),
        ("PULLTHROUGH_LISTEN=$NOBODY", "--host"),
    ],
)
def test_taken_over__not_understood(tmp_path: Path, line: str, flag: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(SetupFailed, match=rf"{line.partition('=')[0]}=.* is not understood\. .* {flag}\."):
        _taken(tmp_path, line)
    assert _PLAN == _taken(tmp_path, line, "data", "port", "host")


@pytest.mark.parametrize("environ", [{}, {"HOME": "/home/me"}])
def test_taken_over__no_file(tmp_path: Path, environ: Mapping[str, str]) -> None:
    """Nothing is taken over."""
    assert _PLAN == taken_over(_PLAN, tmp_path / "none", environ, ())


def test_started_with__both_kinds_of_lines(tmp_path: Path) -> None:
    """A person's lines, and those that setup wrote, of which a value in quotes is read from the file."""
    (tmp_path / ".env").write_text("PULLTHROUGH_LISTEN=10.0.0.7\nPULLTHROUGH_DISK=1TB\nPULLTHROUGH_DATA='/a b'\n")
    lines = "PULLTHROUGH_USER=1:1\nPULLTHROUGH_PORT=4000\nPULLTHROUGH_DATA='/a b'\n"

    expected = {"PULLTHROUGH_LISTEN": "10.0.0.7", "PULLTHROUGH_USER": "1:1", "PULLTHROUGH_PORT": "4000"}
    assert expected | {"PULLTHROUGH_DATA": "/a b"} == started_with(tmp_path, lines, {})
