"""Which client asks over a connection that several may share."""

from __future__ import annotations

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.web import sharing
from proxy.web.sharing import Shared, client_of, is_shared


def fields(**headers: str) -> CIMultiDictProxy[str]:
    """Header fields."""
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))


def test_client_of() -> None:
    """Clients behind one address differ by what a proxy says of them, or by their programs."""
    asked = [
        fields(),
        fields(User_Agent="apt/2.6"),
        fields(User_Agent="apt/3.0"),
        fields(X_Forwarded_For="192.0.2.7"),
        fields(X_Forwarded_For="192.0.2.8"),
        fields(Forwarded="for=192.0.2.7"),
    ]

    assert len(asked) == len({client_of("127.0.0.1", headers) for headers in asked})
    assert client_of("127.0.0.1", asked[1]) == client_of("127.0.0.1", fields(user_agent="apt/2.6"))
    assert 2000 > len(client_of("127.0.0.1", fields(User_Agent="x" * 8000)))


def test_is_shared() -> None:
    """A proxy on the way says so."""
    assert [False, True, True, True, False] == [
        is_shared(fields(**{name: "x"})) for name in ("Host", "Via", "x_forwarded_for", "Forwarded", "User_Agent")
    ]


def test_memory__by_client() -> None:
    """Each client has its own; the ones that asked long ago are forgotten."""
    shared = Shared()
    shared.memory("one")["suite"] = "a"
    shared.memory("two")["suite"] = "b"

    assert ["a", "b"] == [shared.memory(name)["suite"] for name in ("one", "two")]
    for number in range(sharing._CLIENTS - 1):
        shared.memory(str(number))
    assert {"suite": "b"} == shared.memory("two")
    assert {} == shared.memory("one")
