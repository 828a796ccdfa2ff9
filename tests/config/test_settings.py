"""The settings as values."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from proxy.config.loading import ConfigError, resolve
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.model import Site

_DATA = Path("/data")


def test_settings__defaults() -> None:
    """What nobody set is what the documentation says."""
    settings = Settings(data=_DATA)

    assert (("127.0.0.1",), 3142, frozenset()) == (settings.host, settings.port, settings.names)
    assert (100_000_000_000, 67_108_864) == (settings.disk, settings.page_limit)
    assert (6, 16_777_216, 10.0, 30.0, 2, 256, 1024) == tuple(settings.fetch.model_dump().values())
    assert (75.0, "json") == (settings.serve.idle_timeout, settings.serve.log_format)
    assert 1 <= settings.serve.threads <= 4
    assert 8 <= settings.serve.connections <= 10_000


def test_settings__built_directly_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `load` reads an environment, and only the one that it is handed."""
    monkeypatch.setenv("PULLTHROUGH_PORT", "9999")

    assert Settings(data=_DATA).port == 3142


def test_settings__sizes_of_nothing() -> None:
    """Where 0 means something, it may stand there, as a number or as text."""
    settings = Settings.model_validate({"data": _DATA, "fetch": {"least_rate": 0}, "foresight": {"size": "0"}})
    assert (0, 0) == (settings.fetch.least_rate, settings.foresight.size)
    with pytest.raises(ValidationError):
        Settings.model_validate({"data": _DATA, "fetch": {"segment": 0}})


def test_settings__are_frozen() -> None:
    """No part can be changed after the start."""
    settings = Settings(data=_DATA)

    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.fetch.retries = 1  # type: ignore[misc]


def test_sites__builtin() -> None:
    """Without settings there are PyPI's Simple API and the indexes of PyTorch, NVIDIA and Astral."""
    sites = Settings(data=_DATA).sites()

    assert [
        ("pypi", PYPI_SIMPLE_ENDPOINT, 600.0),
        ("pytorch", "https://download.pytorch.org/whl/", 600.0),
        ("nvidia", "https://pypi.nvidia.com/", 600.0),
        ("astral", "https://wheels.astral.sh/simple/", 600.0),
    ] == [(site.mount, site.base + site.index, site.ttl) for site in sites]


def test_sites__entries_join_the_builtin() -> None:
    """Further upstreams stand beside the built-in ones."""
    channel = UpstreamSettings(
        mount="torch", url="http://files.example", index="", ttl=5.0, hosts=frozenset({"CDN.example"})
    )

    sites = Settings(data=_DATA, upstreams=(channel,)).sites()

    assert ["pypi", "pytorch", "nvidia", "astral", "torch"] == [site.mount for site in sites]
    assert Site("torch", "http://files.example/", "", 5.0, frozenset({"cdn.example"})) == sites[-1]


def test_sites__entry_replaces_the_builtin() -> None:
    """An entry called `pypi` is used instead of PyPI."""
    mirror = UpstreamSettings(mount="pypi", url="http://index.example/root", index="simple")

    sites = Settings(data=_DATA, upstreams=(mirror,)).sites()

    assert ["pytorch", "nvidia", "astral", "pypi"] == [site.mount for site in sites]
    assert Site("pypi", "http://index.example/root/", "simple/", 600.0) == sites[-1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::", "::1", "fe80::1%eth0", "localhost", "cache_1.example"])
def test_settings__good_host(host: str) -> None:
    """Addresses of both families and names are places to listen."""
    assert (host,) == Settings(data=_DATA, host=(host,)).host


@pytest.mark.parametrize("host", ["", "127.0.0.1:80", "[::1]", "http://localhost", "a b", "-a"])
def test_settings__bad_host(host: str) -> None:
    """A port, brackets or a scheme do not belong there."""
    with pytest.raises(ValidationError, match="without a port"):
        Settings(data=_DATA, host=(host,) if host else ())


@pytest.mark.parametrize("disk", ["1", "999 KB", "512KiB"])
def test_errors__disk_below_the_database(tmp_path: Path, disk: str) -> None:
    """A bound in which nothing fits beside the database is refused with the least value, which is taken."""
    with pytest.raises(ConfigError) as caught:
        resolve({"disk": disk}, {"HOME": "/home/somebody"}, tmp_path)

    assert ["--disk: must be at least 1 MB: the cache's database takes a part of it"] == caught.value.errors
    assert 10**6 == resolve({"disk": "1 MB"}, {"HOME": "/home/somebody"}, tmp_path).settings.disk
