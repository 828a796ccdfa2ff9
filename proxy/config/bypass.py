"""NO_PROXY: the hosts that are reached without a proxy.

Used by `ways`. Read as curl reads it, with the further forms that other programs know: ports, `*.` and networks. Never
looks a name up: a network covers hosts that are written as addresses.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

_SEPARATORS = re.compile(r"[\s,]+")
_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>[0-9]{1,5})")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Entry:
    """One host, domain or network; `port` is None for all ports."""

    host: str
    network: _Network | None
    port: int | None

    def covers(self, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.host == "*":
            return True
        if self.network is not None:
            return address is not None and address in self.network
        return address is None and (host == self.host or host.endswith(f".{self.host}"))


@dataclass(frozen=True, slots=True)
class Bypass:
    """The hosts of one NO_PROXY."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read entries with commas or spaces between: `host`, `.domain`, `*.domain`, an address, a network, or `*`.

        Each may end in `:port`. A name covers what is below it too. What is none of these covers nothing.
        """
        return cls(tuple(_entry(part) for part in _SEPARATORS.split(text.strip()) if part))

    def covers(self, host: str, port: int) -> bool:
        """Whether the host, in lower case and without brackets, is reached without a proxy."""
        host = host.removesuffix(".")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            address = None
        return any(entry.covers(host, address, port) for entry in self.entries)

    @property
    def covers_all(self) -> bool:
        """Whether no host at all is reached through a proxy."""
        return any(entry.host == "*" and entry.port is None for entry in self.entries)


def _entry(text: str) -> _Entry:
    match = _PORT.fullmatch(text)
    host, port = (match["host"], int(match["port"])) if match else (text, None)
    host = host.lower().strip("[]").removeprefix("*.").removeprefix(".").removesuffix(".")
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        network = None
    return _Entry(host, network, port)
