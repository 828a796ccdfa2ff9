"""By which address a client surely reaches the cache."""

from __future__ import annotations

import pytest

from proxy.web.own_base import own_base

_PUBLIC = "https://cache.example"


@pytest.mark.parametrize(
    ("host", "local", "base"),
    [
        ("127.0.0.1:3142", ("127.0.0.1", 3142), "http://127.0.0.1:3142"),
        ("10.0.0.1", ("10.0.0.1", 80), "http://10.0.0.1"),
        ("10.0.0.1:80", ("10.0.0.1", 80), "http://10.0.0.1:80"),
        ("[2001:DB8::1]:3142", ("2001:db8::1", 3142), "http://[2001:db8::1]:3142"),
        ("LOCALHOST:3142", ("127.0.0.1", 3142), "http://localhost:3142"),
        ("localhost:3142", ("::1", 3142), "http://localhost:3142"),
        ("cache.example", ("10.0.0.1", 3142), _PUBLIC),
        ("Cache.Example", None, _PUBLIC),
    ],
)
def test_own_base__certain(host: str, local: tuple[str, int] | None, base: str) -> None:
    """The address that the client connected to, and that of the settings, with its scheme."""
    assert base == own_base(host, local, _PUBLIC)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("10.0.0.1:8080", ("10.0.0.1", 3142)),  # a published port
        ("127.0.0.1:3142", ("172.17.0.2", 3142)),  # of a container
        ("localhost:3142", ("172.17.0.2", 3142)),
        ("localhost:3142", ("fe80::1%eth0", 3142)),
        ("10.0.0.1", ("10.0.0.1", 3142)),  # a server in front
        ("cache.lan:3142", ("10.0.0.1", 3142)),  # a name may be that of a server with TLS
        ("cache.example:8443", ("10.0.0.1", 3142)),
        ("", ("10.0.0.1", 3142)),
        ("", None),
        ("10.0.0.1:3142", None),  # a server in front
        ("a b", ("10.0.0.1", 3142)),
        ("10.0.0.1:3142/x", ("10.0.0.1", 3142)),
    ],
)
def test_own_base__not_certain(host: str, local: tuple[str, int] | None) -> None:
    """Something may stand between that changes scheme, host or port."""
    assert not own_base(host, local, _PUBLIC)
    assert not own_base(host, local, "")
