"""The whole diagnosis, of machines that lack something and of one that lacks nothing. Docker is played."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.app import Running
from proxy.builds.build_site import CachePlace
from proxy.builds.candidates import Candidate
from proxy.builds.diagnosis import Patient, any_image, diagnose, fetched
from proxy.builds.engine import Engine
from proxy.builds.findings import Finding, Health
from proxy.builds.running_cache import RunningCache
from tests.fake_docker import FakeDocker
from tests.fake_engine import BRIDGE, FakeEngine
from tests.faults import cut
from tests.origin import Origin
from tests.wheels import wheel

_LOOPBACK = {**BRIDGE, "IPAM": {"Config": [{"Gateway": "127.0.0.1", "Subnet": "127.0.0.0/8"}]}}


def _patient(environ: dict[str, str], tmp_path: Path, port: int = 9, **more: Any) -> Patient:
    return Patient(CachePlace(["127.0.0.1"], port), tmp_path / "data", environ, tmp_path, **more)


def _by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {one.subject: one for one in findings}


async def test_diagnose__nothing_is_wrong(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path, proxy: Running, origin: Origin
) -> None:
    """Everything is looked at, in the order in which one thing needs the other."""
    port = int(proxy.url.rpartition(":")[2])
    origin.publish(wheel("six", "1.0"), fmt="json")
    engine.answer("GET", "/info", {"OperatingSystem": "Debian"})
    engine.answer("GET", "/networks/bridge", _LOOPBACK)
    engine.answer("GET", "/images/python:3.12-slim/json", {"Id": "sha256:1", "Config": {"Env": ["PATH=/bin"]}})
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})
    file = tmp_path / "Dockerfile"
    file.write_text("FROM python:3.12-slim\nRUN true\n", encoding="utf-8")
    patient = _patient(environ | engine.environ, tmp_path, port, dockerfile=file)

    findings = await asyncio.to_thread(lambda: list(diagnose(patient)))

    assert [
        *("docker", "engine", "buildkit", "builder", "cache", "cache's clock", "folder", "way", "page", "file"),
        *("dockerfile", "base image"),
    ] == [one.subject for one in findings]
    assert {Health.OK} == {one.health for one in findings}
    assert f"reach the cache at 127.0.0.1:{port} (tried on python:3.12-slim)" in _by_subject(findings)["way"].text


def test_diagnose__no_docker(environ: dict[str, str], tmp_path: Path) -> None:
    """What needs it is skipped; what does not is looked at."""
    gone = {**environ, "PATH": "/nowhere", "DOCKER_HOST": "unix:///nowhere/docker.sock"}

    found = _by_subject(list(diagnose(_patient(gone, tmp_path))))

    assert Health.WRONG is found["docker"].health
    assert "no Docker engine answers" in found["engine"].text
    assert (Health.SKIPPED, Health.SKIPPED) == (found["buildkit"].health, found["way"].health)
    assert (Health.WRONG, "pullthrough setup") == (found["cache"].health, found["cache"].remedy)
    assert Health.OK is found["folder"].health


async def test_diagnose__engine_beyond_ssh(
    docker: FakeDocker, environ: dict[str, str], tmp_path: Path, proxy: Running
) -> None:
    """The command builds there, so the way is tried all the same."""
    port = int(proxy.url.rpartition(":")[2])
    file = tmp_path / "Dockerfile"
    file.write_text("FROM base\nRUN true\n", encoding="utf-8")
    docker.rule("build", "--no-cache", exports={"answer": f"127.0.0.1:{port} 127.0.0.1\n"})
    place = CachePlace(["127.0.0.1"], port, named=Candidate("127.0.0.1", port))
    patient = Patient(place, tmp_path, environ | {"DOCKER_HOST": "ssh://me@far"}, tmp_path, dockerfile=file)

    found = _by_subject(list(await asyncio.to_thread(lambda: list(diagnose(patient)))))

    assert (Health.SKIPPED, Health.OK) == (found["engine"].health, found["builder"].health)
    assert (Health.OK, True) == (found["way"].health, f"at 127.0.0.1:{port}" in found["way"].text)


def test_diagnose__engines_clock(engine: FakeEngine, environ: dict[str, str], tmp_path: Path) -> None:
    """The engine's clock of the test stands still."""
    found = _by_subject(list(diagnose(_patient(environ | engine.environ, tmp_path))))

    assert Health.WRONG is found["engine's clock"].health


def test_diagnose__builder_that_is_gone(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """Docker's own words."""
    docker.with_buildx()

    found = _by_subject(list(diagnose(_patient(environ | engine.environ, tmp_path, builder="gone"))))

    assert (Health.WRONG, True) == (found["builder"].health, "no builder found" in found["builder"].text)


async def test_diagnose__cache_out_of_reach(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path, proxy: Running
) -> None:
    """Without a Dockerfile it is tried on an image that the engine has; what helps is in the line."""
    engine.answer("GET", "/images/json", [{"Id": "1", "RepoTags": ["app:1", "library/debian:12"]}, {"RepoTags": None}])
    patient = _patient(environ | engine.environ, tmp_path, int(proxy.url.rpartition(":")[2]))

    found = _by_subject(await asyncio.to_thread(lambda: list(diagnose(patient))))

    assert Health.WRONG is found["way"].health
    assert "pullthrough serve --host" in found["way"].text
    assert docker.calls("build")[0]["dockerfile"].startswith("FROM library/debian:12 ")


async def test_diagnose__no_image_to_try_on(
    engine: FakeEngine, environ: dict[str, str], tmp_path: Path, proxy: Running
) -> None:
    """Nothing is pulled for that."""
    engine.answer("GET", "/images/json", [])
    patient = _patient(environ | engine.environ, tmp_path, int(proxy.url.rpartition(":")[2]))

    found = _by_subject(await asyncio.to_thread(lambda: list(diagnose(patient))))

    assert (Health.SKIPPED, True) == (found["way"].health, "docker pull" in found["way"].text)


@pytest.mark.parametrize("volume", [True, False])
async def test_diagnose__cache_in_a_container(
    engine: FakeEngine, environ: dict[str, str], tmp_path: Path, proxy: Running, volume: bool
) -> None:
    """Its folder is the one that is mounted there."""
    port = int(proxy.url.rpartition(":")[2])
    mount = {"Source": str(tmp_path), "Destination": "/data", "Name": "pullthrough-data" if volume else ""}
    engine.answer(
        "GET",
        "/containers/json",
        [
            {
                "Id": "1",
                "Names": ["/pullthrough-cache"],
                "State": "running",
                "Mounts": [mount],
                "Ports": [{"IP": "127.0.0.1", "PrivatePort": 3142, "PublicPort": port, "Type": "tcp"}],
            }
        ],
    )
    engine.answer("GET", "/images/json", [])
    engine.answer("GET", "/containers/1/json", {"Id": "1", "Config": {"User": f"{os.geteuid() + 1}:1000"}})

    found = _by_subject(
        await asyncio.to_thread(lambda: list(diagnose(_patient(environ | engine.environ, tmp_path, 9))))
    )

    assert "in the container pullthrough-cache" in found["cache"].text
    if volume:
        assert "the cache's data is in Docker's volume pullthrough-data" == found["folder"].text
    else:  # which is not that of the container's user
        assert (Health.WRONG, True) == (found["folder"].health, found["folder"].remedy.startswith("sudo chown"))


@pytest.mark.parametrize("desktop", [True, False])
async def test_diagnose__what_else_is_mounted(
    engine: FakeEngine, environ: dict[str, str], tmp_path: Path, proxy: Running, desktop: bool
) -> None:
    """A certificate and a settings file, as docs/compose.md has them, are no folders of stored files."""
    port = int(proxy.url.rpartition(":")[2])
    (tmp_path / "house.pem").touch()
    sources = {"/data": tmp_path, "/etc/ssl/house.pem": tmp_path / "house.pem"}
    ports = [{"IP": "127.0.0.1", "PrivatePort": 3142, "PublicPort": port, "Type": "tcp"}]
    mounts = [{"Source": str(source), "Destination": target, "Name": ""} for target, source in sources.items()]
    container = {"Id": "1", "Names": ["/c"], "State": "running", "Mounts": mounts, "Ports": ports}
    engine.answer("GET", "/containers/json", [container])
    engine.answer("GET", "/images/json", [])
    engine.answer("GET", "/info", {"OperatingSystem": "Docker Desktop" if desktop else "Debian"})
    engine.answer("GET", "/containers/1/json", {"Id": "1", "Config": {"User": str(os.geteuid())}})

    found = await asyncio.to_thread(lambda: list(diagnose(_patient(environ | engine.environ, tmp_path, 9))))

    (folder,) = [one for one in found if one.subject == "folder"]
    assert Health.WRONG is not folder.health
    assert f"{tmp_path}: " in folder.text


def test_any_image__has_a_shell(engine: FakeEngine, environ: dict[str, str]) -> None:
    """Docker's own images come before those of others, of which some have none."""
    images = ["gcr.io/distroless/python3-debian12:latest", "cgr.dev/chainguard/python:latest", "debian:12"]
    with Engine.connect(environ | engine.environ) as connected:
        for names, expected in ((images, "debian:12"), (images[:2], images[1]), (images[:1], None)):
            engine.answer("GET", "/images/json", [{"RepoTags": [name]} for name in names])
            ground = any_image(connected, None)
            assert expected == (ground.base if ground else None)


async def _fetched(running: Running, project: str = "six", path: str = "simple/") -> list[Finding]:
    cache = RunningCache("127.0.0.1", int(running.url.rpartition(":")[2]), "1", "0.1.0")
    return await asyncio.to_thread(fetched, cache, "pypi", path, project)


async def test_fetched__page_and_file(proxy: Running, origin: Origin) -> None:
    """The smallest file, with the digest that its page promises."""
    small, large = wheel("six", "1.0"), wheel("six", "2.0", padding=100_000)
    origin.publish(large, small, fmt="json")

    page, file = await _fetched(proxy)
    assert [page, file] == await _fetched(proxy, "SiX")

    assert (Health.OK, "/pypi/simple/six/: 2 files") == (page.health, page.text)
    assert (Health.OK, True) == (file.health, file.text.startswith(f"{small.filename}: {small.body.size} bytes"))


async def test_fetched__project_that_is_not_there(proxy: Running) -> None:
    """Another one can be named."""
    (page,) = await _fetched(proxy)

    assert (Health.DOUBTFUL, "pullthrough doctor --project NAME") == (page.health, page.remedy)


async def test_fetched__upstream_fails(proxy: Running, origin: Origin) -> None:
    """What the cache says of it is shown: for the page, and for the file."""
    await origin.stop()
    (page,) = await _fetched(proxy)
    assert Health.WRONG is page.health
    assert page.text.startswith("/pypi/simple/six/: status 50")


async def test_fetched__file_fails(proxy: Running, origin: Origin) -> None:
    """The page is fine, and the file is not there."""
    package = wheel("six", "1.0")
    origin.publish(package, fmt="json")
    origin.remove(f"/packages/{package.filename}")

    page, file = await _fetched(proxy)

    assert (Health.OK, Health.WRONG) == (page.health, file.health)
    assert f"{package.filename}: status 404" in file.text


async def test_fetched__page_without_digests(proxy: Running, origin: Origin) -> None:
    """Nothing on it can be checked."""
    origin.page("/simple/six/", [], fmt="json")

    (page,) = await _fetched(proxy)

    assert (Health.DOUBTFUL, "/pypi/simple/six/: no file on it has a sha256") == (page.health, page.text)


async def test_fetched__another_server_in_between(origin: Origin) -> None:
    """Bytes that are not what the page promises: a proxy on the way that changes them."""
    package, other = wheel("six", "1.0"), wheel("six", "1.0", padding=5000)
    origin.page("/pypi/simple/six/", [package.link(f"/files/{package.filename}")], fmt="json")
    origin.file(f"/files/{package.filename}", other.body)
    cache = RunningCache("127.0.0.1", int(origin.url.rstrip("/").rpartition(":")[2]), "1", "0.1.0")

    _, file = await asyncio.to_thread(fetched, cache, "pypi", "simple/", "six")

    assert (Health.WRONG, "pullthrough verify") == (file.health, file.remedy)


async def test_fetched__file_that_is_too_long_for_a_look(origin: Origin) -> None:
    """Only its beginning is read, as of CUDA's wheels; that is no wrong digest."""
    package = wheel("six", "1.0", padding=21 << 20)
    origin.page("/pypi/simple/six/", [package.link(f"/files/{package.filename}")], fmt="json")
    origin.file(f"/files/{package.filename}", package.body)
    cache = RunningCache("127.0.0.1", int(origin.url.rstrip("/").rpartition(":")[2]), "1", "0.1.0")

    _, file = await asyncio.to_thread(fetched, cache, "pypi", "simple/", "six")

    assert (Health.OK, True) == (file.health, "the digest is not tried" in file.text)


async def test_fetched__file_that_breaks_off(origin: Origin) -> None:
    """What is missing is said, and no wrong digest."""
    package = wheel("six", "1.0", padding=100_000)
    origin.page("/pypi/simple/six/", [package.link(f"/files/{package.filename}")], fmt="json")
    origin.file(f"/files/{package.filename}", package.body)
    origin.misbehave(f"/files/{package.filename}", cut(1000))
    cache = RunningCache("127.0.0.1", int(origin.url.rstrip("/").rpartition(":")[2]), "1", "0.1.0")

    _, file = await asyncio.to_thread(fetched, cache, "pypi", "simple/", "six")

    assert (Health.WRONG, f"{package.filename}: it breaks off after 1000 bytes") == (file.health, file.text)


async def test_fetched__nobody_answers(proxy: Running) -> None:
    """The cache ended meanwhile."""
    await proxy.close()

    (page,) = await _fetched(proxy)

    assert (Health.WRONG, "pullthrough setup") == (page.health, page.remedy)
