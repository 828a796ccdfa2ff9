"""Contracts: implementations have the same methods with the same parameters. `tests/contract` holds how they act."""

from __future__ import annotations

import inspect

import pytest

from proxy import ports
from proxy.config.credentials import KnownCredentials
from proxy.config.proxy_selection import KnownProxies
from proxy.storage.opening import PendingStore
from proxy.storage.spool import DiskSpool
from proxy.storage.store import DiskStore
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.offline import NoUpstream
from proxy.upstream.reply import AiohttpReply
from tests.memory_store import MemorySpool, MemoryStore
from tests.memory_upstream import MemoryUpstream


@pytest.mark.parametrize(
    ("port", "implementation"),
    [
        (ports.Store, DiskStore),
        (ports.Store, PendingStore),
        (ports.Store, MemoryStore),
        (ports.Spool, DiskSpool),
        (ports.Spool, MemorySpool),
        (ports.Upstream, AiohttpUpstream),
        (ports.Upstream, MemoryUpstream),
        (ports.Upstream, NoUpstream),
        (ports.Reply, AiohttpReply),
        (ports.Credentials, KnownCredentials),
        (ports.Proxies, KnownProxies),
    ],
)
def test_implementation__has_the_same_parameters(port: type, implementation: type) -> None:
    """Callers may name any parameter of the contract."""
    methods = {name: value for name, value in inspect.getmembers(port, inspect.isfunction) if name[0] != "_"}

    assert methods
    for name, method in methods.items():
        expected = list(inspect.signature(method).parameters)
        assert expected == list(inspect.signature(getattr(implementation, name)).parameters), name
