"""What upstreams want to be told of who asks: user names and passwords, from the environment or a netrc file.

Called by `commands` with the surroundings of the process; the answers go to `app` and from there to `upstream`. Nothing
of them is ever shown: messages name the variable or the file, never what stands there.
"""

from __future__ import annotations

import base64
import netrc
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from proxy.config.loading import ConfigError
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings

Origin = tuple[str, str, int]  # scheme, host, port
_PORTS = {"http": 80, "https": 443}


class KnownCredentials:
    """Implements `ports.Credentials`: user names and passwords that were found once, each for one origin."""

    def __init__(self, found: Mapping[tuple[str, Origin], str]) -> None:
        """`found`: by mount and origin, `user:password`."""
        self._found = {place: _basic(pair) for place, pair in found.items()}

    @classmethod
    def find(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Look for the credentials of all upstreams.

        Raises ConfigError with a line for each upstream whose credentials are not where its setting says.
        """
        found: dict[tuple[str, Origin], str] = {}
        errors: list[str] = []
        for upstream in settings.upstreams:
            if not upstream.credentials:
                continue
            try:
                pair = _from_netrc(upstream, environ) if upstream.credentials == "netrc" else _named(upstream, environ)
            except LookupError as error:
                errors.append(f"credentials of the upstream {upstream.mount}: {error.args[0]}")
            else:
                found[upstream.mount, _origin(upstream.url)] = pair
        if errors:
            raise ConfigError(errors)
        return cls(found)

    def authorization(self, mount: str, url: str) -> str | None:
        """See `ports.Credentials.authorization`."""
        return self._found.get((mount, _origin(url)))


def _basic(pair: str) -> str:
    """The value of the header `Authorization` for `user:password` (RFC 7617), in UTF-8."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _origin(url: str) -> Origin:
    """Scheme, host and port (RFC 6454 §4), the same whether or not a default port is written out."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _named(upstream: UpstreamSettings, environ: Mapping[str, str]) -> str:
    name = upstream.credentials.removeprefix("env:")
    pair = environ.get(name, "")
    if ":" not in pair or not pair.isprintable():
        raise LookupError(f"set the variable {name} to user:password")
    return pair


def _from_netrc(upstream: UpstreamSettings, environ: Mapping[str, str]) -> str:
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    host = urlsplit(upstream.url).hostname or ""
    try:
        entry = netrc.netrc(str(path)).authenticators(host)
    except OSError as error:
        raise LookupError(f"{path} cannot be read: {error.strerror}") from None
    except (netrc.NetrcParseError, UnicodeDecodeError):
        raise LookupError(f"{path} is no netrc file") from None  # the parser's words may hold the password
    if entry is None or not entry[2]:
        raise LookupError(f"{path} has no entry with a password for its host; add one, or a default")
    return f"{entry[0]}:{entry[2]}"
