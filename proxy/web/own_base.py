"""The base address by which a client surely reaches this cache: links of pages may begin with it.

A link that begins with scheme and host is right only where nothing stands between that could have changed them. pip and
uv read such links faster than relative ones. Called by the edge for each request that is not replayed. Pure.
"""

from __future__ import annotations

from ipaddress import ip_address

from proxy import address_text
from proxy.address_text import PORTS
from proxy.errors import BadTarget

_HTTP = PORTS["http"]


def own_base(host: str, local_address: tuple[str, int] | None, public_url: str) -> str:
    """Scheme, host and port without a slash, such as `http://10.0.0.1:3142`; empty if they are not certain.

    `host`: the request's `Host` (RFC 9110 §7.2). It is certain if it is the address that the client connected to,
    `local_address`, or the host of the setting `public_url`, whose scheme counts then. None for a server in front that
    passed the request on: it may name the cache's own address in `Host`, as nginx does.
    """
    if public_url and host.lower() == address_text.authority(public_url):
        return public_url
    try:
        name, port = address_text.host(host)
    except BadTarget:
        return ""
    if local_address is None or (port or _HTTP) != local_address[1]:
        return ""
    if name == "localhost":
        certain = _is_loopback(local_address[0])
    else:
        certain = name == address_text.bracketed(local_address[0])
    return f"http://{name}:{port}" if certain and port else f"http://{name}" if certain else ""


def _is_loopback(address: str) -> bool:
    """Whether only programs on this machine can have connected to an address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:  # an address of IPv6 with a zone
        return False
