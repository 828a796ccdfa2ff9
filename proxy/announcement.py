"""The announcement of the cache on the local network: DNS-SD (RFC 6763), service type `_apt_proxy._tcp`.

`app` makes one if `apt.announce` is set; hosts with squid-deb-proxy-client find the cache by it. It announces this one
service only.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Sequence

import ifaddr
from zeroconf import Error, InterfaceChoice, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

_log = logging.getLogger(__name__)

SERVICE = "_apt_proxy._tcp.local."


@contextlib.asynccontextmanager
async def announced(listening: Sequence[str], port: int) -> AsyncIterator[None]:
    """Announce the cache at these addresses and `port`, and withdraw it at the end of the context.

    If one of them is the unspecified address, those of all interfaces are announced. Announcing takes a second, which
    nothing waits for. A failure is logged, and the cache serves all the same.
    """
    everywhere = any(ipaddress.ip_address(address).is_unspecified for address in listening)
    try:
        speaker = AsyncZeroconf(interfaces=InterfaceChoice.All if everywhere else list(listening))
    except OSError as error:
        _log.warning("the cache cannot be announced on the local network: %s", error)
        yield
        return
    info = service(_addresses() if everywhere else list(listening), port)
    registering = asyncio.create_task(_register(speaker, info), name="announcement")
    try:
        yield
    finally:
        registering.cancel()
        await asyncio.gather(registering, return_exceptions=True)
        await speaker.async_unregister_all_services()
        await speaker.async_close()


def service(addresses: list[str], port: int, host: str | None = None) -> ServiceInfo:
    """The service: the port, and the addresses that other machines can reach, if there is one."""
    # RFC 6763 §4.1.1: one label of at most 63 bytes; a dot would have to be escaped.
    name = (host or socket.gethostname()).partition(".")[0][:40] or "cache"
    reachable = [text for text in addresses if not ipaddress.ip_address(text).is_loopback]
    return ServiceInfo(
        SERVICE,
        f"pullthrough on {name}.{SERVICE}",
        port=port,
        server=f"{name}.local.",
        parsed_addresses=reachable or addresses,
    )


def _addresses() -> list[str]:
    """The IPv4 addresses of this machine."""
    return [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]


async def _register(speaker: AsyncZeroconf, info: ServiceInfo) -> None:
    """Announce; under another name if this one is taken, as by a second cache on the host."""
    try:
        # Not strict: RFC 6335 §5.1 allows no underscore within a name, and this one is older.
        await (await speaker.async_register_service(info, allow_name_change=True, strict=False))
    except (OSError, Error) as error:
        _log.warning("the cache cannot be announced on the local network: %s", type(error).__name__)
