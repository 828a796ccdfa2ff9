"""The texts that point a client at the cache: shell lines for pip and for uv.

Called by `commands` when the server has started. Pure texts: nothing is written, no client is looked for. `base_url` is
the cache's own address, such as `http://127.0.0.1:3142`, with or without a slash at its end.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def index_url(base_url: str, mount: str = "pypi", index: str = "simple/") -> str:
    """The index address to give to a client. `index` is the path of the upstream's index below its mount."""
    return f"{base_url.rstrip('/')}/{mount}/{index}"


def pip_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which pip installs through the cache.

    pip takes no index over plain HTTP from a host other than the machine itself unless the host is named as trusted.
    """
    lines = [f"export PIP_INDEX_URL={index_url(base_url, mount, index)}"]
    if urlsplit(base_url).scheme == "http" and not _on_this_machine(base_url):
        lines.append(f"export PIP_TRUSTED_HOST={urlsplit(base_url).netloc}")
    return lines


def uv_lines(base_url: str, mount: str = "pypi", index: str = "simple/") -> list[str]:
    """Shell lines after which uv installs through the cache. It reads no PIP_ variable; plain HTTP is fine."""
    return [f"export UV_DEFAULT_INDEX={index_url(base_url, mount, index)}"]


def _on_this_machine(base_url: str) -> bool:
    """Whether pip counts the host as secure without TLS: `localhost`, 127.0.0.0/8, ::1."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
