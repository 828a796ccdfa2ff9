"""The clients, made once for a run, and a server with an empty folder for each test."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxy.builds.engine import Engine
from tests.certificates import bundle, server_context
from tests.e2e import composing
from tests.e2e.archive import Key
from tests.e2e.clients import Client, Pip, Server, Uv, make_pip, make_uv, serving
from tests.e2e.engine import busybox_image, obstacle, python_image


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of all processes: empty, and no settings in it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def newest_pip(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Pip:
    """The newest pip that PyPI has."""
    return make_pip(tmp_path_factory.mktemp("newest-pip"), home, newest=True)


@pytest.fixture(scope="session")
def oldest_pip(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Pip:
    """The oldest pip that is supported."""
    return make_pip(tmp_path_factory.mktemp("oldest-pip"), home, newest=False)


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory, home: Path, newest_pip: Pip) -> Uv:
    """The newest uv that PyPI has."""
    return make_uv(tmp_path_factory.mktemp("uv"), home, newest_pip)


@pytest.fixture(params=["oldest_pip", "newest_pip", "uv"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each client in turn."""
    chosen: Client = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def server(tmp_path: Path, home: Path) -> Iterator[Server]:
    """The program in front of PyPI, with an empty folder."""
    with serving(tmp_path / "data", home) as started:
        yield started


@pytest.fixture(scope="session")
def key() -> Iterator[Key]:
    """A key that signs archives."""
    with Key() as made:
        yield made


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """What local indexes need to speak TLS, with a certificate of the private authority."""
    return server_context(authority)


@pytest.fixture(scope="session")
def roots(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates to trust: those of this machine, and the private authority's."""
    return bundle(authority, tmp_path_factory.mktemp("roots") / "roots.pem")


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine runs. In continuous integration it must; elsewhere the test is skipped, and says why."""
    if reason := obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def bridge(engine: None) -> str:
    """This machine's address for containers of the default network."""
    with Engine.connect({"PATH": ""}) as connected:
        found = connected.bridge_gateway()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def compose(engine: None) -> None:
    """Compose is there. In continuous integration it must be; elsewhere the test is skipped, and says why."""
    if reason := composing.obstacle():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def python_base(engine: None) -> str:
    """The name of a base image with apt and Python."""
    return python_image()


@pytest.fixture(scope="session")
def busybox(engine: None) -> str:
    """The name of a base image with a shell."""
    return busybox_image()
