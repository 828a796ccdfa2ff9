"""The lines that point clients at the cache."""

from __future__ import annotations

import pytest

from proxy.clients import index_url, pip_lines, uv_lines


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:3142", "http://localhost:3142/", "http://[::1]:3142"])
def test_pip_lines__this_machine(base_url: str) -> None:
    """pip trusts the machine itself: one line is enough."""
    assert [f"export PIP_INDEX_URL={base_url.rstrip('/')}/pypi/simple/"] == pip_lines(base_url)


@pytest.mark.parametrize("host", ["10.0.0.7:3142", "cache.example", "[fd00::7]:3142", "localhost.example:80"])
def test_pip_lines__another_machine(host: str) -> None:
    """Over plain HTTP pip ignores an index on another host unless it is named as trusted."""
    assert [
        f"export PIP_INDEX_URL=http://{host}/torch/simple/",
        f"export PIP_TRUSTED_HOST={host}",
    ] == pip_lines(f"http://{host}", mount="torch")


def test_pip_lines__tls() -> None:
    """An index with TLS needs no trust beside its certificate."""
    assert ["export PIP_INDEX_URL=https://cache.example/pypi/simple/"] == pip_lines("https://cache.example")


def test_uv_lines__any_machine() -> None:
    """uv needs its default index only."""
    assert ["export UV_DEFAULT_INDEX=http://10.0.0.7:3142/nvidia/"] == uv_lines("http://10.0.0.7:3142", "nvidia", "")


def test_index_url__ends_in_a_slash() -> None:
    """PEP 503: addresses of pages end in a slash."""
    assert "http://127.0.0.1:1/pypi/simple/" == index_url("http://127.0.0.1:1/")
