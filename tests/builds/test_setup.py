"""The cache set up on this machine, with a Compose that records and a systemd that really starts it."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app import Running
from proxy.builds import env_file
from proxy.builds.build_site import CachePlace
from proxy.builds.changes import Changes
from proxy.builds.engine_trouble import EngineTrouble
from proxy.builds.removal import Remover, remove
from proxy.builds.setup import COMPOSE, refused, set_up
from proxy.builds.setup_plan import SetupCaller, SetupFailed, SetupPlan
from tests.fake_docker import FakeDocker
from tests.fake_engine import FakeEngine
from tests.fake_systemctl import FakeSystemctl

_PROJECT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody has now."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return int(listening.getsockname()[1])


class Machine:
    """A home folder, a root folder, and what setup said."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.home, self.system, self.project = folder / "home", folder / "root", folder / "project"
        self.home.mkdir(exist_ok=True)
        (self.system / "etc/apt/apt.conf.d").mkdir(parents=True)
        (self.system / "run/systemd/system").mkdir(parents=True)
        self.project.mkdir()
        (self.project / "compose.yaml").touch()
        self.environ = environ | {"HOME": str(self.home), "PYTHONPATH": str(_PROJECT)}
        self.said: list[str] = []
        own = self.home / ".config/pullthrough/pullthrough.toml"
        self.plan = SetupPlan(
            CachePlace(("127.0.0.1",), free_port()), self.home / ".docker-cache", hosts=("127.0.0.1",), own_file=own
        )

    def set_up(self, plan: SetupPlan) -> list[str]:
        caller = SetupCaller(self.environ, self.said.append, self.project, self.system)
        if plan.own_file is not None and plan.own_file.exists():
            plan = replace(plan, settings_file=plan.own_file)
        plan = plan if plan.process else env_file.taken_over(plan, self.project, self.environ, ())
        return set_up(plan, caller, Changes.of_user(self.environ))

    def remove(self, *, purge: bool = True) -> list[str]:
        remover = Remover(self.environ, self.said.append, purge=purge, system=self.system)
        return remove(Changes.of_user(self.environ), self.plan.data, remover)

    def state(self) -> dict[str, tuple[int, bytes]]:
        """Everything in home, root and project: mode, and the bytes of files."""
        return {
            str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
            for folder in (self.home, self.system, self.project)
            for path in folder.rglob("*")
        }


@pytest.fixture
def without_docker(tmp_path: Path) -> Iterator[tuple[Machine, FakeSystemctl]]:
    """A machine with systemd and no Docker."""
    units = tmp_path / ("root/etc/systemd/system" if os.geteuid() == 0 else "home/.config/systemd/user")
    systemctl = FakeSystemctl.make(tmp_path / "bin", units)
    environ = {"PATH": str(tmp_path / "bin"), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    machine = Machine(tmp_path, environ)
    yield machine, systemctl
    if systemctl.running():
        machine.remove()


def test_process__and_back(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """systemd starts it, clients are pointed at it, and afterwards all folders are as they were, byte for byte."""
    machine, systemctl = without_docker
    pip = machine.home / ".config/pip/pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_bytes(b"[global]\r\ntimeout = 60")
    before = machine.state()
    plan = replace(machine.plan, process=True, write=("pip", "uv", "apt", "docker"))

    assert [] == machine.set_up(plan)

    url = f"http://127.0.0.1:{plan.place.port}"
    assert systemctl.running()
    assert any(line.startswith(f"the cache runs by systemd: {url}") for line in machine.said)
    assert f"index-url = {url}/pypi/simple/" in pip.read_text()
    assert f'"{url}/"' in (machine.system / "etc/apt/apt.conf.d/01pullthrough").read_text()
    assert f"port = {plan.place.port}" in (machine.home / ".config/pullthrough/pullthrough.toml").read_text()

    assert [] == machine.remove()

    assert not systemctl.running()
    assert before == machine.state()


def test_process__twice_changes_nothing(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """The second run finds everything as it should be."""
    machine, systemctl = without_docker
    plan = replace(machine.plan, process=True, write=("pip", "apt"))
    machine.set_up(plan)
    files = {name: one for name, one in machine.state().items() if ".docker-cache" not in name}
    machine.said.clear()

    assert [] == machine.set_up(plan)

    assert files == {name: one for name, one in machine.state().items() if ".docker-cache" not in name}
    assert [] == [line for line in machine.said if "wrote" in line or "made" in line]
    assert systemctl.running()


def test_remove__keeps_stored_files_unless_told(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """They took long to fetch: the line says where they are, and how to delete them."""
    machine, _ = without_docker
    machine.set_up(replace(machine.plan, process=True))

    assert [] == machine.remove(purge=False)

    assert machine.plan.data.is_dir()
    assert any(f"rm -r {machine.plan.data}" in line for line in machine.said)


def test_clients__files_with_their_own_lines(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """They are left alone; the line says what would belong there, and the verb fails."""
    machine, _ = without_docker
    pip = machine.home / ".config/pip/pip.conf"
    pip.parent.mkdir(parents=True)
    pip.write_text("[global]\nindex-url = https://private.example/simple\n")

    problems = machine.set_up(replace(machine.plan, process=True, write=("pip", "uv")))

    assert 1 == len(problems)
    assert f"pip: {pip} is left alone: it has index-url in [global] of its own" in problems[0]
    assert "[global]\nindex-url = https://private.example/simple\n" == pip.read_text()
    assert (machine.home / ".config/uv/uv.toml").is_file()


def test_clients__another_port_and_a_file_that_pip_has_written(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """The address of before is no index of a person's own, though its marks are gone; taken back, theirs stays."""
    machine, _ = without_docker
    path = machine.home / ".config/pip/pip.conf"
    plan = replace(machine.plan, process=True, write=("pip",))
    machine.set_up(plan)
    parser = configparser.RawConfigParser()
    parser.read_string(path.read_text())
    parser["global"]["timeout"] = "60"
    with path.open("w") as file:
        parser.write(file)
    other = free_port()

    assert [] == machine.set_up(replace(plan, place=CachePlace(("127.0.0.1",), other)))

    assert f"http://127.0.0.1:{other}/" in path.read_text()
    assert f"http://127.0.0.1:{plan.place.port}/" not in path.read_text()
    assert [] == machine.remove()
    assert "[global]\ntimeout = 60\n\n" == path.read_text()


@pytest.mark.parametrize("process", [True, False])
def test_setup__folder_is_a_file(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path, process: bool
) -> None:
    """One line; nothing is started or left behind."""
    FakeSystemctl.make(tmp_path / "bin", tmp_path)
    docker.rule("compose", stdout="2.40.3\n")
    path = f"{tmp_path}/bin:{environ['PATH']}"
    machine = Machine(tmp_path, environ | engine.environ | {"PATH": path})
    machine.plan.data.write_text("")
    before = machine.state()

    with pytest.raises(SetupFailed, match=r"is not a folder\. Move it away"):
        machine.set_up(replace(machine.plan, process=process))

    assert before == machine.state()
    assert [] == docker.calls("compose", "--file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_process__folder_of_another_user(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """root's unit has no right to write what is not root's: the line says how the folder becomes that."""
    machine, systemctl = without_docker
    data = machine.plan.data
    data.mkdir()
    os.chown(data, 4711, 4711)

    with pytest.raises(SetupFailed, match=rf"{data} is user 4711's: .* sudo chown -R 0:0 {data}$"):
        machine.set_up(replace(machine.plan, process=True))

    assert not systemctl.running()
    os.chown(data, 0, 0)
    assert [] == machine.set_up(replace(machine.plan, process=True))


def test_setup__port_in_use(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """By another program: the line says how to take another one."""
    machine, systemctl = without_docker
    before = machine.state()
    with contextlib.closing(socket.create_server(("127.0.0.1", machine.plan.place.port))):
        with pytest.raises(SetupFailed, match=r"in use by another program\. Stop it, or .* --port"):
            machine.set_up(replace(machine.plan, process=True))

    assert before == machine.state()
    assert not systemctl.running()


def test_refused__why_nobody_can_listen() -> None:
    """In use, not of this machine, or free."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        assert errno.EADDRINUSE == refused("127.0.0.1", taken.getsockname()[1])
    assert errno.EADDRNOTAVAIL == refused("192.0.2.1", 3142)
    assert 0 == refused("127.0.0.1", free_port())


async def test_setup__cache_of_somebody_else(proxy: Running, without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """One that runs already is used, and neither stopped nor started again."""
    machine, systemctl = without_docker
    place = CachePlace(("127.0.0.1",), int(proxy.url.rpartition(":")[2]))

    assert [] == await asyncio.to_thread(machine.set_up, replace(machine.plan, process=True, place=place))

    assert f"a cache that setup did not start runs at {proxy.url}: it is used as it is" in machine.said
    assert not systemctl.running()


def test_compose__no_engine(without_docker: tuple[Machine, FakeSystemctl]) -> None:
    """Nothing is changed."""
    machine, _ = without_docker
    before = machine.state()

    with pytest.raises(EngineTrouble, match="no Docker engine answers"):
        machine.set_up(machine.plan)

    assert before == machine.state()


def test_compose__three_addresses(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """compose.yaml has two lines for them."""
    machine = Machine(tmp_path, environ | engine.environ)

    with pytest.raises(SetupFailed, match="two addresses at most"):
        machine.set_up(replace(machine.plan, hosts=("127.0.0.1", "127.0.0.2", "127.0.0.3")))


async def test_compose__second_time_and_back(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """Compose is told addresses, folder and owner; the way is proved by a build; `.env` loses our lines alone."""
    machine = Machine(tmp_path, environ | engine.environ)
    port = int(proxy.url.rpartition(":")[2])
    _listed(engine, port)
    docker.rule("compose", stdout="2.40.3\n")
    docker.rule("build", exports={"answer": f"172.17.0.1:{port} 172.17.0.1\n"})
    (machine.project / ".env").write_bytes(b"PULLTHROUGH_DISK=1TB")
    before = machine.state()
    Changes.of_user(machine.environ).note(COMPOSE, str(machine.project))
    plan = replace(machine.plan, place=CachePlace(("127.0.0.1",), port))

    assert [] == await asyncio.to_thread(machine.set_up, plan)

    text = (machine.project / ".env").read_text()
    owner = plan.data.stat()
    assert text.startswith("PULLTHROUGH_DISK=1TB\n")
    assert f"PULLTHROUGH_USER={owner.st_uid}:{owner.st_gid}\n" in text
    assert "PULLTHROUGH_LISTEN=127.0.0.1\nPULLTHROUGH_BRIDGE=127.0.0.1\n" in text
    assert 0 != owner.st_uid
    assert f"builds of the builder default reach it at 172.17.0.1:{port}: proved by a build" in machine.said
    assert ["up", "--detach", "--build", "cache"] == docker.calls("compose", "--file")[-1]["arguments"][5:]

    await proxy.close()
    assert [] == await asyncio.to_thread(machine.remove)
    down = docker.calls("compose", "--file")[-1]
    assert (["down", "--volumes"], str(port)) == (down["arguments"][5:], down["environ"]["PULLTHROUGH_PORT"])
    assert before == machine.state()


async def test_remove__container_of_another_engine(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """Compose finds none in this Docker context, and is content: while the cache serves on, its files stay."""
    FakeSystemctl.make(tmp_path / "bin", tmp_path)
    path = f"{tmp_path}/bin:{environ['PATH']}"
    machine, plan = _set_up_before(proxy, docker, engine, environ | {"PATH": path}, tmp_path)
    await asyncio.to_thread(machine.set_up, plan)

    for _ in range(2):
        problems = await asyncio.to_thread(machine.remove)

        assert 1 == len(problems)
        assert f"a cache still answers at {proxy.url}: " in problems[0]
        assert "docker context use" in problems[0]
        assert plan.data.is_dir()
        assert str(machine.project) == Changes.of_user(machine.environ).notes[COMPOSE]
    with pytest.raises(EngineTrouble, match="still answers"):
        await asyncio.to_thread(machine.set_up, replace(plan, process=True))

    await proxy.close()
    assert [] == await asyncio.to_thread(machine.remove)
    assert not plan.data.exists()


def _set_up_before(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], home: Path
) -> tuple[Machine, SetupPlan]:
    """A machine on which setup has started the cache by Compose already, and the plan for another go."""
    machine = Machine(home, environ | engine.environ)
    port = int(proxy.url.rpartition(":")[2])
    _listed(engine, port)
    docker.rule("compose", stdout="2.40.3\n")
    Changes.of_user(machine.environ).note(COMPOSE, str(machine.project))
    return machine, replace(machine.plan, place=CachePlace(("127.0.0.1",), port))


async def test_compose__volume_of_the_persons_own(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """docs/compose.md has the line for `.env`: a later setup does not lead the cache back to a folder."""
    machine, plan = _set_up_before(proxy, docker, engine, environ, tmp_path)
    await asyncio.to_thread(machine.set_up, plan)
    with (machine.project / ".env").open("a") as file:
        file.write("PULLTHROUGH_DATA=pullthrough-data\n")

    await asyncio.to_thread(machine.set_up, plan)

    before, after = docker.calls("compose", "--file")
    given = [one["environ"]["PULLTHROUGH_DATA"] for one in (before, after)]
    assert [str(plan.data), "pullthrough-data"] == given
    assert str(plan.data) not in (machine.project / ".env").read_text()
    # The other verbs are to ask the container, and not to open a folder in which nothing is.
    assert plan.own_file is not None
    settings = plan.own_file.read_text()
    assert f"port = {plan.place.port}\n" in settings
    assert "data" not in settings

    machine.said.clear()
    await proxy.close()
    assert [] == await asyncio.to_thread(machine.remove, purge=False)
    assert any("docker volume ls --filter name=pullthrough-data" in line for line in machine.said)


async def test_compose__folder_and_addresses_of_the_persons_own(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """Their lines of `.env` hold, are not written a second time, and are what the settings file has; and back."""
    machine = Machine(tmp_path, environ | engine.environ)
    port, folder = int(proxy.url.rpartition(":")[2]), tmp_path / "big disk"
    _listed(engine, port)
    docker.rule("compose", stdout="2.40.3\n")
    docker.rule("build", exports={"answer": f"172.17.0.1:{port} 172.17.0.1\n"})
    text = f"PULLTHROUGH_DATA='{folder}'\nPULLTHROUGH_LISTEN=127.0.0.1\nPULLTHROUGH_PORT={port}\n"
    (machine.project / ".env").write_text(text)
    before = machine.state()
    Changes.of_user(machine.environ).note(COMPOSE, str(machine.project))

    assert [] == await asyncio.to_thread(machine.set_up, replace(machine.plan, hosts=None))

    given = docker.calls("compose", "--file")[-1]["environ"]
    assert (str(folder), "127.0.0.1", str(port)) == tuple(
        given[f"PULLTHROUGH_{name}"] for name in ("DATA", "LISTEN", "PORT")
    )
    written = (machine.project / ".env").read_text()
    assert written.startswith(text)
    names = [line.partition("=")[0] for line in written.removeprefix(text).splitlines() if "=" in line]
    assert ["PULLTHROUGH_USER", "PULLTHROUGH_BRIDGE"] == names
    assert folder.is_dir()
    assert not machine.plan.data.exists()
    assert machine.plan.own_file is not None
    settings = machine.plan.own_file.read_text()
    assert f'data = "{folder}"\nport = {port}\n' in settings
    own = [line for line in machine.said if "as your own lines" in line]
    assert [f"PULLTHROUGH_DATA, PULLTHROUGH_PORT, PULLTHROUGH_LISTEN: as your own lines of {machine.project}/.env"] == [
        line.removesuffix(" have them") for line in own
    ]

    problems = await asyncio.to_thread(machine.remove)
    assert 1 == len(problems)  # it still answers at the port that the person's line has
    await proxy.close()
    remover = Remover(machine.environ, machine.said.append, purge=True, system=machine.system)
    assert [] == await asyncio.to_thread(remove, Changes.of_user(machine.environ), folder, remover)
    assert before == machine.state()
    assert not folder.exists()


async def test_compose__settings_that_a_container_does_not_read(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """It is said once the cache is started."""
    machine, plan = _set_up_before(proxy, docker, engine, environ, tmp_path)

    await asyncio.to_thread(machine.set_up, replace(plan, not_read="the container does not read disk"))

    assert "the container does not read disk" in machine.said


async def test_compose__volume_from_the_start(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """No folder is made in the home, and no token that the cache would never see."""
    machine, plan = _set_up_before(proxy, docker, engine, environ, tmp_path)
    (machine.project / ".env").write_text("PULLTHROUGH_DATA=pullthrough-data\n")

    await asyncio.to_thread(machine.set_up, plan)

    assert not plan.data.exists()
    assert any("belongs into the volume pullthrough-data: docs/page.md" in line for line in machine.said)


@pytest.mark.parametrize("project", ["shop", ""])
def test_compose__project_of_a_variable(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path, project: str
) -> None:
    """COMPOSE_PROJECT_NAME of another time names other containers: those that setup made are stopped."""
    machine = Machine(tmp_path, environ | engine.environ)
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", stderr="no space left on device\n", status=1)
    before, first = machine.state(), {"COMPOSE_PROJECT_NAME": project} if project else {}
    machine.environ |= first
    with pytest.raises(EngineTrouble, match="could not start the cache"):
        machine.set_up(machine.plan)
    docker.rule("compose", "--file", stderr="")
    machine.environ |= {"COMPOSE_PROJECT_NAME": "another"}

    assert [] == machine.remove()

    up, down = docker.calls("compose", "--file")
    assert ["up", "down"] == [one["arguments"][5] for one in (up, down)]
    assert [first, first] == [
        {name: value for name, value in one["environ"].items() if name == "COMPOSE_PROJECT_NAME"} for one in (up, down)
    ]
    assert before == machine.state()


async def test_compose__way_that_is_not_there(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """What no build reaches is a failure, though the cache runs."""
    machine, plan = _set_up_before(proxy, docker, engine, environ, tmp_path)

    problems = await asyncio.to_thread(machine.set_up, plan)

    assert 1 == len(problems)
    assert "do not reach the cache" in problems[0]


async def test_compose__image_without_a_name(
    proxy: Running, docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """A newer image has the name of the one that the container is of: the way is proved on another image."""
    machine = Machine(tmp_path, environ | engine.environ)
    port = int(proxy.url.rpartition(":")[2])
    _listed(engine, port, image=f"sha256:{'a' * 64}")
    engine.answer("GET", "/images/json", [{"RepoTags": ["debian:12"]}])
    docker.rule("compose", stdout="2.40.3\n")
    docker.rule("build", exports={"answer": f"172.17.0.1:{port} 172.17.0.1\n"})
    plan = replace(machine.plan, place=CachePlace(("127.0.0.1",), port))

    assert [] == await asyncio.to_thread(machine.set_up, plan)

    assert docker.calls("build")[0]["dockerfile"].startswith("FROM debian:12 ")


def _listed(engine: FakeEngine, port: int, image: str = "pullthrough:latest") -> None:
    """Have the engine list a cache that is published at this port."""
    ports = [{"IP": "127.0.0.1", "PublicPort": port, "PrivatePort": 3142, "Type": "tcp"}]
    labels = {"pullthrough.role": "cache"}
    container = {"Id": "1", "Names": ["/c"], "Image": image, "State": "running", "Labels": labels}
    engine.answer("GET", "/containers/json", [container | {"Ports": ports}])


def test_setup__from_a_container_to_a_process_and_back(
    docker: FakeDocker, engine: FakeEngine, environ: dict[str, str], tmp_path: Path
) -> None:
    """The cache that ran the other way is stopped first, and its unit is gone."""
    units = tmp_path / ("root/etc/systemd/system" if os.geteuid() == 0 else "home/.config/systemd/user")
    systemctl = FakeSystemctl.make(tmp_path / "bin", units)
    machine = Machine(tmp_path, environ | engine.environ | {"PATH": f"{tmp_path}/bin:{environ['PATH']}"})
    docker.rule("compose", "version", stdout="2.40.3\n")
    docker.rule("compose", "--file", stderr="")
    Changes.of_user(machine.environ).note(COMPOSE, str(machine.project))
    try:
        assert [] == machine.set_up(replace(machine.plan, process=True))
        assert ["down"] == docker.calls("compose", "--file")[-1]["arguments"][5:]
        assert systemctl.running()
        assert {COMPOSE}.isdisjoint(Changes.of_user(machine.environ).notes)

        docker.rule("compose", "--file", stderr="no space left on device\n", status=1)
        with pytest.raises(EngineTrouble, match="could not start the cache"):
            machine.set_up(machine.plan)

        assert not systemctl.running()
        assert not (units / "pullthrough.service").exists()
    finally:
        docker.rule("compose", "--file", stderr="")
        assert [] == machine.remove()
