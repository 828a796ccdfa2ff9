"""What upstreams want to be told of who asks: user names and passwords, from the environment or a netrc file.

Called by `commands` with the surroundings of the process; the answers go to `app` and from there to `upstream`. Nothing
of them is ever shown: messages name the variable or the file, never what stands there.
"""

from __future__ import annotations

import base64
import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from proxy.config.loading import ConfigError
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings


def authorizations(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """By mount, the value of the header `Authorization` for each upstream that has credentials (RFC 7617).

    Raises ConfigError with a line for each upstream whose credentials are not where its setting says.
    """
    found: dict[str, str] = {}
    errors: list[str] = []
    for upstream in settings.upstreams:
        if not upstream.credentials:
            continue
        try:
            pair = _from_netrc(upstream, environ) if upstream.credentials == "netrc" else _named(upstream, environ)
        except LookupError as error:
            errors.append(f"credentials of the upstream {upstream.mount}: {error.args[0]}")
        else:
            found[upstream.mount] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if errors:
        raise ConfigError(errors)
    return found


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
