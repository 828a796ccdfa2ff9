"""What `docker compose config` makes of compose.yaml, and what a linter says of the image's Dockerfile.

Grafana has no package in Debian, so this is all that is checked of it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from proxy import app
from tests.e2e.composing import ROOT, project

pytestmark = pytest.mark.e2e

_SERVICES = ["cache", "grafana", "prometheus"]


def test_config__of_every_service(compose: None, tmp_path: Path) -> None:
    """Read-only roots, no capabilities, no way to get some, bounds for memory and processes, and loopback alone."""
    with project(tmp_path, {}) as made:
        config = made.config()

    assert _SERVICES == sorted(config["services"])
    for name, service in config["services"].items():
        assert service["read_only"] is True, name
        assert ["ALL"] == service["cap_drop"], name
        assert ["no-new-privileges:true"] == service["security_opt"], name
        assert {"memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert {"127.0.0.1"} == {port["host_ip"] for port in service["ports"]}, name
        assert name == service["labels"]["pullthrough.role"]
    cache = config["services"]["cache"]
    assert ["3142"] == [port["published"] for port in cache["ports"]]
    assert [("bind", f"{tmp_path}/.docker-cache", "/data")] == [
        (mount["type"], mount["source"], mount["target"]) for mount in cache["volumes"]
    ]
    assert "start_interval" not in json.dumps(config), "engines before 25 refuse it"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", ""])
def test_run__proxies_of_the_caller_alone(compose: None, busybox: str, tmp_path: Path, variable: str) -> None:
    """Docker's config.json may name the cache itself, for containers: it reaches all of them but this one."""
    names = {"httpProxy": "http://host.docker.internal:3142", "httpsProxy": "http://a:1", "noProxy": "pullthrough"}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": names}}), encoding="utf-8")
    override = tmp_path / "override.json"
    shown = {"image": busybox, "entrypoint": ["/bin/sh", "-c", "env"], "command": []}
    override.write_text(json.dumps({"services": {"cache": shown}}), encoding="utf-8")
    named = {variable: "http://b:2"} if variable else {}
    variables = {"DOCKER_CONFIG": str(tmp_path), "PULLTHROUGH_PORT": "0", "NO_PROXY": "", "no_proxy": "", **named}

    with project(tmp_path, variables, override) as made:
        said = made.run("run", "--rm", "--no-TTY", "cache")

    found = (line.partition("=") for line in said.splitlines())
    assert named == {name: value for name, _, value in found if name.lower().endswith("_proxy") and value}


def test_config__grace_is_longer_than_the_drain(compose: None, tmp_path: Path) -> None:
    """Docker kills no cache that still lets answers end."""
    with project(tmp_path, {}) as made:
        grace = made.config()["services"]["cache"]["stop_grace_period"]

    assert float(grace.removesuffix("s")) >= app._DRAIN + 10


def test_config__of_grafana(compose: None, tmp_path: Path) -> None:
    """It is provisioned from files here, all of which are there and may be read by another user."""
    with project(tmp_path, {}) as made:
        config = made.config()["services"]

    mounts = [
        mount for name in ("grafana", "prometheus") for mount in config[name]["volumes"] if mount["type"] == "bind"
    ]
    assert 3 == len(mounts)
    for mount in mounts:
        source = Path(mount["source"])
        assert mount["read_only"] is True
        assert ROOT / "grafana" in (source, *source.parents)
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        assert files
        git = ["git", "ls-files", "--stage", *map(str, files)]
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert ["100644"] * len(files) == [line.split()[0] for line in listed]
    environment = config["grafana"]["environment"]
    assert "console" == environment["GF_LOG_MODE"]
    assert ["true", "false"] == [environment[f"GF_PLUGINS_PREINSTALL_{name}"] for name in ("DISABLED", "AUTO_UPDATE")]
    assert "/var/lib/grafana" in [mount["target"] for mount in config["grafana"]["volumes"]]


def test_config__variables(compose: None, tmp_path: Path) -> None:
    """The bridge is a second address, a name in place of a folder is a volume, and a variable opens the ports."""
    variables = {
        "PULLTHROUGH_DATA": "pullthrough-data",
        "PULLTHROUGH_LISTEN": "0.0.0.0",
        "PULLTHROUGH_BRIDGE": "172.17.0.1",
        "PULLTHROUGH_PORT": "4000",
        "PULLTHROUGH_MONITORING_LISTEN": "192.0.2.1",
    }
    with project(tmp_path, variables) as made:
        config = made.config()

    cache = config["services"]["cache"]
    assert [("0.0.0.0", "4000"), ("172.17.0.1", "4000")] == [
        (port["host_ip"], port["published"]) for port in cache["ports"]
    ]
    assert [("volume", "pullthrough-data")] == [(mount["type"], mount["source"]) for mount in cache["volumes"]]
    for name in ("grafana", "prometheus"):
        assert ["192.0.2.1"] == [port["host_ip"] for port in config["services"][name]["ports"]]


def test_hadolint() -> None:
    """A linter has nothing to say of the image's Dockerfile."""
    program = Path(sys.executable).parent / "hadolint"
    assert program.exists(), "install the group e2e: make e2e does"
    done = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout + done.stderr)
