"""The real pip and the real uv install real packages from PyPI through the cache: whole, and only once from there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.e2e.clients import Client, Failed, Pip, Server, Uv, serving, tree

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_FETCHED = "pullthrough_fetched_bytes_total"
_SENT = "pullthrough_sent_bytes_total"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, newest_pip: Pip) -> list[Path]:
    """The wheels that requests needs, as PyPI gives them without the cache."""
    folder = tmp_path_factory.mktemp("direct")
    return newest_pip.download(PYPI_SIMPLE_ENDPOINT, folder, "requests", "--only-binary", ":all:")


def _pin(file: Path) -> str:
    name, version, *_ = file.name.split("-")
    return f"{name}=={version}"


def _locked(path: Path, pins: dict[str, str]) -> Path:
    path.write_text("".join(f"{pin} --hash=sha256:{digest}\n" for pin, digest in pins.items()), "utf-8")
    return path


def test_install__cold_then_warm(client: Client, server: Server, tmp_path: Path, files: list[Path]) -> None:
    """What is installed is what PyPI gives, and the second time nothing at all is fetched."""
    wanted = [_pin(file) for file in files]
    client.install(PYPI_SIMPLE_ENDPOINT, tmp_path / "direct", *wanted)

    client.install(server.index, tmp_path / "cold", *wanted)
    fetched = server.metric(_FETCHED)
    passed = server.metric(_SENT, source="upstream")
    sent = server.metric(_SENT, kind="file")
    client.install(server.index, tmp_path / "warm", *wanted)

    assert fetched > 0
    assert fetched == server.metric(_FETCHED)
    assert passed == server.metric(_SENT, source="upstream")
    assert sum(file.stat().st_size for file in files) == server.metric(_SENT, kind="file") - sent
    assert tree(tmp_path / "direct") == tree(tmp_path / "cold") == tree(tmp_path / "warm")


def test_install__after_restart(client: Client, tmp_path: Path, home: Path) -> None:
    """What was fetched once is there after a restart: no byte of it is fetched again."""
    with serving(tmp_path / "data", home) as first:
        client.install(first.index, tmp_path / "cold", "idna", "six")

    with serving(tmp_path / "data", home) as second:
        client.install(second.index, tmp_path / "warm", "idna", "six")
        assert 0 == second.metric(_FETCHED)

    assert tree(tmp_path / "cold") == tree(tmp_path / "warm")


def test_install__hashes_required(client: Client, server: Server, tmp_path: Path, files: list[Path]) -> None:
    """Files through the cache have the hashes of PyPI's own."""
    pins = {_pin(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    listed = _locked(tmp_path / "requirements.txt", pins)

    client.install(server.index, tmp_path / "installed", "--require-hashes", "--requirement", str(listed))

    installed = {path.name.partition("-")[0] for path in (tmp_path / "installed").glob("*.dist-info")}
    assert {pin.partition("==")[0] for pin in pins} == installed


def test_install__wrong_hash(client: Client, server: Server, tmp_path: Path, files: list[Path]) -> None:
    """A client that wants other bytes is not content: the cache gives it what PyPI has."""
    listed = _locked(tmp_path / "requirements.txt", {_pin(file): "0" * 64 for file in files})

    with pytest.raises(Failed, match=r"(?i)hash"):
        client.install(server.index, tmp_path / "installed", "--require-hashes", "--requirement", str(listed))


@pytest.mark.parametrize("which", ["oldest_pip", "newest_pip"])
def test_download__sdist(which: str, request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> None:
    """Source archives come through unchanged, and are kept like wheels."""
    pip: Pip = request.getfixturevalue(which)
    options = ("--no-deps", "--no-binary", ":all:", "six==1.16.0")
    (direct,) = pip.download(PYPI_SIMPLE_ENDPOINT, tmp_path / "direct", *options)

    (cold,) = pip.download(server.index, tmp_path / "cold", *options)
    fetched = server.metric(_FETCHED)
    (warm,) = pip.download(server.index, tmp_path / "warm", *options)

    assert fetched == server.metric(_FETCHED)
    assert (direct.name, direct.read_bytes()) == (cold.name, cold.read_bytes())
    assert (direct.name, direct.read_bytes()) == (warm.name, warm.read_bytes())


def test_compile__metadata_only(uv: Uv, server: Server, tmp_path: Path) -> None:
    """Resolving takes metadata files only: no wheel is sent, and PyPI's answer is the same."""
    wanted = tmp_path / "requirements.in"
    wanted.write_text("requests==2.32.3\n", "utf-8")

    through = uv.compile(server.index, wanted)

    assert "requests==2.32.3" in through.splitlines()
    assert uv.compile(PYPI_SIMPLE_ENDPOINT, wanted) == through
    assert 0 == server.metric(_SENT, kind="file")
    assert server.metric(_SENT, kind="metadata") > 0
