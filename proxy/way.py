"""A proxy on the way to upstream, as a value: read by `config`, handed on by `ports.Ways`, used by `upstream`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy on the way to upstream. `url` is scheme, host and port; it holds no user name and no password."""

    url: str
    source: str = ""  # where it is named, for people: "`proxy` in the settings", "the variable HTTPS_PROXY"
    authorization: str | None = field(default=None, repr=False)  # what it is sent in `Proxy-Authorization`

    def __str__(self) -> str:
        """For people: what stands before the host is left out, since a user name may be a token too."""
        if self.authorization is None:
            return self.url
        scheme, _, authority = self.url.partition("://")
        return f"{scheme}://***@{authority}"
