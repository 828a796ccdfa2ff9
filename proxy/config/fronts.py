"""Fronts: what the addresses of one archive have in common, as people write it in the settings.

`gitlab.example/api/v4/projects/42/packages/debian` stands for what is below it by http and by https; a scheme in front
narrows that. Read by the settings; asked by credentials, and by the policy of archives. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.addresses import check_base


@dataclass(frozen=True, slots=True)
class Front:
    """`scheme`: None for both. `port`: None for the one that the scheme has. `path`: decoded, ends in a slash or empty.

    `host` is in lower case; an IPv6 address has brackets.
    """

    scheme: str | None
    host: str
    port: int | None
    path: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what the settings say. Raises ValueError, with a text that does not show it: a password may stand in it.

        Spellings that are equal give equal fronts.
        """
        scheme = text.partition("://")[0].lower() if "://" in text else None
        base = urlsplit(check_base(text if scheme else f"http://{text}"))
        port = base.port
        if scheme is None and port is None and _written_port(text) == PORTS["http"]:
            scheme = "http"
        elif scheme is None and port == PORTS["https"]:
            scheme, port = "https", None
        host = address_text.bracketed(base.hostname or "")
        return cls(scheme, host, port, address_text.decoded(base.path.lstrip("/"), slashes=True))

    @property
    def schemes(self) -> tuple[str, ...]:
        """Those that it is asked by."""
        return (self.scheme,) if self.scheme else tuple(PORTS)

    @property
    def places(self) -> frozenset[str]:
        """The hosts with their ports, `host:port`."""
        return frozenset(f"{self.host}:{self.port or PORTS[scheme]}" for scheme in self.schemes)

    def covers(self, scheme: str, host: str, path: str) -> bool:
        """Whether an address is below it. `host` with its port unless it is the usual one; `path` as of addresses.

        What is meant for http is so for https at its usual port, to which servers redirect.
        """
        own = self.host if self.port in {None, PORTS.get(scheme)} else f"{self.host}:{self.port}"
        if host != own or not path.startswith(self.path):
            return False
        return self.scheme in {None, scheme} or (self.scheme, self.port, scheme) == ("http", None, "https")

    def covers_url(self, url: str) -> bool:
        """The same of a whole address, encoded."""
        scheme, host, port = address_text.origin(url)
        host = address_text.bracketed(host)
        if port != PORTS.get(scheme):
            host = f"{host}:{port}"
        return self.covers(scheme, host, address_text.decoded(urlsplit(url).path.lstrip("/"), slashes=True))

    def __str__(self) -> str:
        """As one would write it."""
        front = f"{self.scheme}://" if self.scheme else ""
        port = f":{self.port}" if self.port else ""
        return f"{front}{self.host}{port}/{address_text.quoted(self.path)}"


def _written_port(text: str) -> int | None:
    """The port as it is written; the base's own has lost it where it is the usual one."""
    return urlsplit(f"http://{text}").port
