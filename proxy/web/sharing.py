"""Sharing: which client asks over a connection, where a proxy on the way lets several share one.

The edge asks for the memory of the client, so that each gets the indexes of the Release file that it was given itself.
"""

from __future__ import annotations

from collections import OrderedDict

from multidict import CIMultiDictProxy

_CLIENTS = 64  # remembered of one connection
_LENGTH = 512  # characters of a header field that count


class Shared:
    """The memories of one connection. Mutable state: by client, the one that asked last at the end."""

    __slots__ = ("_memories",)

    def __init__(self) -> None:
        self._memories: OrderedDict[str, dict[str, str]] = OrderedDict()

    def memory(self, client: str) -> dict[str, str]:
        """What `client` was given of changing things."""
        memory = self._memories.setdefault(client, {})
        self._memories.move_to_end(client)
        if len(self._memories) > _CLIENTS:
            self._memories.popitem(last=False)
        return memory


def client_of(address: str, headers: CIMultiDictProxy[str]) -> str:
    """What tells clients apart: the `address` of the connection, whom a proxy names (RFC 7239), and the program."""
    names = (",".join(headers.getall(name, ())) for name in ("X-Forwarded-For", "Forwarded", "User-Agent"))
    return " ".join([address, *(name[:_LENGTH] for name in names)])


def is_shared(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a proxy passed the request on (RFC 9110 §7.6.3): others may have asked over the same connection."""
    return any(name in headers for name in ("Via", "X-Forwarded-For", "Forwarded"))
