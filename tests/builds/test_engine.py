"""The engine, as its API answers: on a Unix socket, by versions old and new."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.builds.engine import Engine, EngineFacts, gateway
from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord, EngineContainer
from proxy.builds.engine_trouble import EngineTrouble
from tests.fake_engine import FakeEngine


def test_connect__facts_of_the_engine(engine: FakeEngine) -> None:
    """Name, version, API and clock are those that the engine gives; nanoseconds are read too."""
    with Engine.connect(engine.environ) as connected:
        facts = connected.facts

    assert ("DOCKER_HOST", engine.environ["DOCKER_HOST"]) == (facts.context, facts.address)
    assert ("20.10.24", 20, "1.41", "1.12") == (facts.version, facts.major, facts.api, facts.least_api)
    assert datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) == facts.time
    assert (False, False) == (facts.desktop, facts.rootless)


@pytest.mark.parametrize(
    ("info", "desktop", "rootless"),
    [
        ({"OperatingSystem": "Docker Desktop"}, True, False),
        ({"OperatingSystem": "OrbStack"}, True, False),
        ({"OperatingSystem": "Ubuntu", "SecurityOptions": ["name=seccomp", "name=rootless"]}, False, True),
        ({"OperatingSystem": "Ubuntu", "SecurityOptions": None}, False, False),
    ],
)
def test_connect__kind_of_engine(engine: FakeEngine, info: dict[str, Any], desktop: bool, rootless: bool) -> None:
    """A virtual machine and a rootless engine have no bridge that leads to this machine's loopback."""
    engine.answer("GET", "/info", info)

    with Engine.connect(engine.environ) as connected:
        assert (desktop, rootless) == (connected.facts.desktop, connected.facts.rootless)


@pytest.mark.parametrize(
    ("status", "finds"),
    [
        (None, True),
        ([["Backing Filesystem", "extfs"], ["Supports d_type", "true"]], True),
        ([["driver-type", "io.containerd.snapshotter.v1"]], False),
    ],
)
def test_connect__where_images_are(engine: FakeEngine, status: list[list[str]] | None, finds: bool) -> None:
    """A build finds the layers of an image in the engine's own store, and not of one in containerd's."""
    engine.answer("GET", "/info", {"DriverStatus": status})

    with Engine.connect(engine.environ) as connected:
        assert finds == connected.facts.finds_own_layers


def test_facts__on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called, an engine with a socket on this machine is in a virtual one; others are elsewhere."""
    monkeypatch.setattr(sys, "platform", "darwin")
    facts = EngineFacts("mine", "unix:///x.sock", "29.0.0", "1.52", "1.44", "Ubuntu", rootless=False, time=None)

    assert (True, False) == (facts.desktop, replace(facts, address="ssh://me@far").desktop)


@pytest.mark.parametrize(
    ("address", "near"),
    [("unix:///run/docker.sock", True), ("tcp://localhost:2375", True), ("tcp://10.0.0.1:2375", False)],
)
def test_facts__bridge_of_this_machine(engine: FakeEngine, address: str, near: bool) -> None:
    """The bridge of an engine elsewhere is none of this machine's addresses, though it has the same number."""
    with Engine.connect(engine.environ) as connected:
        assert near is replace(connected.facts, address=address).near


def test_connect__by_ssh() -> None:
    """The library wants another one for that; a person is not to install something for it."""
    with pytest.raises(EngineTrouble, match=r"is on another machine \(ssh://me@far\): run pullthrough there"):
        Engine.connect({"DOCKER_HOST": "ssh://me@far"})


@pytest.mark.parametrize(
    ("user", "number"), [("", 0), ("0", 0), ("1000:1000", 1000), ("1000", 1000), ("me", None), (None, 0)]
)
def test_user_of__a_container(engine: FakeEngine, user: str | None, number: int | None) -> None:
    """By its number, which the folders of this machine have."""
    engine.answer("GET", "/containers/1/json", {"Id": "1", "Config": {"User": user}})

    with Engine.connect(engine.environ) as connected:
        assert number == connected.user_of(EngineContainer("1", "cache", "image", "running"))


@pytest.mark.parametrize("api", ["1.41", "1.44", "1.52", "1.54"])
def test_connect__speaks_the_engines_api(engine: FakeEngine, api: str) -> None:
    """The newest API of the engine is used, whatever the library was made for: engine 29 refuses all before 1.44."""
    engine.answer("GET", "/version", {"Version": "29.0.0", "ApiVersion": api, "MinAPIVersion": "1.44"})

    with Engine.connect(engine.environ):
        assert [f"/v{api}"] == [request.version for request in engine.asked("GET", "/info")]


def test_connect__no_engine(tmp_path: Path) -> None:
    """The address is named, and how an engine is started."""
    with pytest.raises(EngineTrouble, match=r"^no Docker engine answers at unix:///.*none\.sock\. Start .*context use"):
        Engine.connect({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})


def test_connect__context_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default engine is not used in place of the one that was chosen."""
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "gone"}), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    with pytest.raises(EngineTrouble, match="docker context ls"):
        Engine.connect({"PATH": ""})
    with pytest.raises(EngineTrouble, match="context named is not there"):
        Engine.connect({"DOCKER_CONTEXT": "named"})


def test_connect__follows_the_context(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is that of `docker context use`, as on a Mac with Docker Desktop."""
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "desktop-linux"}), encoding="utf-8")
    meta = tmp_path / "contexts/meta/fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e"
    meta.mkdir(parents=True)
    described = {"Name": "desktop-linux", "Metadata": {}, "Endpoints": {"docker": {"Host": engine.address}}}
    (meta / "meta.json").write_text(json.dumps(described), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    with Engine.connect({"PATH": ""}) as connected:
        assert ("desktop-linux", True) == (connected.facts.context, connected.facts.desktop)


def test_usage__leaves_volumes_out(engine: FakeEngine) -> None:
    """The engine is not asked to count volumes, which can take minutes; a new engine is asked for its records."""
    engine.answer("GET", "/system/df", {"BuildCache": [{"ID": "1"}, {"ID": "2"}]})

    with Engine.connect(engine.environ) as connected:
        assert 2 == len(connected.usage().records)

    query = engine.asked("GET", "/system/df")[0].query
    assert {"type": ["image", "build-cache"], "verbose": ["1"]} == query


def test_prune__one_record_or_all_mounts(engine: FakeEngine) -> None:
    """Layers are never removed along with cache mounts."""
    engine.answer("POST", "/build/prune", {"CachesDeleted": ["m1"], "SpaceReclaimed": 400})

    with Engine.connect(engine.environ) as connected:
        record = CacheRecord("m1", CACHE_MOUNT, 400, in_use=False, shared=False)
        assert [400, 400] == [connected.prune(record), connected.prune_cache_mounts()]

    filters = [request.filters for request in engine.asked("POST", "/build/prune")]
    assert [{"id": ["m1"]}, {"type": [CACHE_MOUNT]}] == filters


def test_engine__what_it_refuses(engine: FakeEngine) -> None:
    """Its own words reach the person."""
    engine.answer("POST", "/build/prune", {"message": "a prune operation is already running"}, status=409)

    with Engine.connect(engine.environ) as connected:
        with pytest.raises(EngineTrouble, match="a prune operation is already running"):
            connected.prune_cache_mounts()


def test_containers__running_first(engine: FakeEngine) -> None:
    """Those of a role, with their mounts, published ports and addresses."""
    stopped = {"Id": "a" * 64, "Names": ["/a-cache"], "State": "exited"}
    running = {
        "Id": "b" * 64,
        "Names": ["/b-cache"],
        "Image": "pullthrough:latest",
        "State": "running",
        "Labels": {"pullthrough.role": "cache"},
        "Mounts": [{"Type": "bind", "Source": "/host_mnt/Users/me/.docker-cache", "Destination": "/data"}],
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 3142, "PublicPort": 3199, "Type": "tcp"},
            {"PrivatePort": 9090, "Type": "tcp"},
        ],
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "none": {"IPAddress": ""}}},
    }
    engine.answer("GET", "/containers/json", [stopped, running])

    with Engine.connect(engine.environ) as connected:
        first, second = connected.containers()

    assert {"label": ["pullthrough.role=cache"]} == engine.asked("GET", "/containers/json")[0].filters
    assert (["b-cache", "a-cache"], [True, False]) == ([first.name, second.name], [first.running, second.running])
    assert [("127.0.0.1", 3199, 3142)] == [(port.host, port.port, port.inside) for port in first.ports]
    assert {"bridge": "172.17.0.2"} == first.networks


@pytest.mark.parametrize(
    ("configurations", "address"),
    [
        ([{"Subnet": "172.17.0.0/16"}], "172.17.0.1"),
        ([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.9"}], "172.17.0.9"),
        ([{"Subnet": "fd00::/64", "Gateway": "fd00::1/64"}, {"Subnet": "10.1.0.0/24"}], "10.1.0.1"),
        ([{"Subnet": "fd00::/64"}], "fd00::1"),
        ([{"Subnet": "what"}, {}], None),
        ([], None),
    ],
)
def test_gateway__with_and_without_the_field(configurations: list[dict[str, str]], address: str | None) -> None:
    """A default bridge gives no gateway: it is the first address of the subnet."""
    assert address == gateway(configurations)


def test_bridge_gateway__engine_without_a_bridge(engine: FakeEngine) -> None:
    """An engine may be set up without one; another refusal is not taken for that."""
    engine.answer("GET", "/networks/bridge", {"message": "network bridge not found"}, status=404)
    with Engine.connect(engine.environ) as connected:
        assert connected.bridge_gateway() is None
        engine.answer("GET", "/networks/bridge", {"message": "it is tired"}, status=500)
        with pytest.raises(EngineTrouble, match="it is tired"):
            connected.bridge_gateway()


def test_image_environment__of_an_image(engine: FakeEngine) -> None:
    """The variables of a base image; None where the engine has no such image yet."""
    engine.answer("GET", "/images/base/json", {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin", "PIP_INDEX_URL=a=b"]}})
    engine.answer("GET", "/images/gone/json", {"message": "No such image: gone"}, status=404)

    with Engine.connect(engine.environ) as connected:
        assert {"PATH": "/bin", "PIP_INDEX_URL": "a=b"} == connected.image_environment("base")
        assert connected.image_environment("gone") is None
        assert [True, False] == [connected.has_image(name) for name in ("base", "gone")]
        assert [False, None] == [connected.has_triggers(name) for name in ("base", "gone")]
