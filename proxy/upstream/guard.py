"""The guard: which hosts and ports may be requested, and to which addresses connections may be opened.

The client asks it for every hop. A host that the settings name is `named`, and may have a private address: at the port
of the base address that names it, or at those that `hosts` opens. Other services on that host are no upstream. Any
other host is `open`, to public addresses only. That is checked on the addresses that the name resolved to, in the
resolver that the connector dials from: a name that resolves elsewhere between check and connection cannot slip through.
The two kinds have connectors, and so pools and name caches, of their own. Never checks paths.
"""

from __future__ import annotations

import enum
import ipaddress
import re
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import TypeGuard

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy import address_text
from proxy.address_text import PORTS
from proxy.errors import BadTarget, NotAllowed
from proxy.model import Site

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Never the address of an upstream, even for a host name of the settings: unspecified, link-local with the metadata
# services of clouds, multicast, reserved. Only an address written out in the settings opens these.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "168.63.129.16/32",  # a cloud's host agent, on a public address
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fd00:ec2::/32",  # a cloud's metadata service, on a unique-local address
        "fe80::/10",
        "ff00::/8",
    )
)
# Open to hosts that the settings name. Documentation ranges (RFC 5737) are left out on purpose: some networks use them
# for public registries, which is also why `ipaddress.is_global` is not used.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    )
)
# IPv6 ranges that carry an IPv4 address, and where: RFC 4291 §2.5.5, RFC 2765, RFC 6052, RFC 8215, RFC 3056.
_CARRIERS = tuple(
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (
        ("::/96", 0),
        ("::ffff:0:0/96", 0),
        ("::ffff:0:0:0/96", 0),
        ("64:ff9b::/96", 0),
        ("64:ff9b:1::/48", 0),
        ("2002::/16", 80),
    )
)
_TEREDO = ipaddress.IPv6Network("2001::/32")
_USUAL = frozenset(PORTS.values())  # ports at which a public host has web servers and nothing else
# RFC 6761 §6.3, and what the hosts files of distributions add.
_OWN_NAME = re.compile(r"(?:.*\.)?localhost|localhost6?\.localdomain6?|localhost6|ip6-(?:localhost|loopback)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as inet_aton(3) takes the parts of an address


class Trust(enum.Enum):
    """How far a host is trusted."""

    NAMED = "named"  # the settings name it
    OPEN = "open"  # any other: public addresses only


def private(address: str) -> bool:
    """Whether only a host that the settings name may have this address. Text that is no address counts as private."""
    return _within(address, _NEVER) or _within(address, _PRIVATE)


def forbidden(address: str) -> bool:
    """Whether no name may resolve to this address, not even one of the settings."""
    return _within(address, _NEVER)


def admit(url: URL, site: Site, *, redirected: bool) -> Trust:
    """How far the host of `url` is trusted for `site`. Raises NotAllowed if no request may go there.

    A base opens its own host and port. An entry of `site.hosts` with a port opens that port; one without a port opens
    all ports of the host, or of an archive (`site.named` is false) the usual ones. Hosts of the site's own pages are
    named in the same way. `redirected`: an admitted upstream redirects here, so the host need not be one of the site's,
    but it gains nothing by that.
    """
    host, port = host_of(url), url.port
    named = _named((site.base, *site.siblings) if site.named else (), site.hosts | (site.own or frozenset()))
    if (host, port) in named or ((host, None) in named and (site.named or port in _USUAL)):
        return Trust.NAMED
    if site.hosts and not redirected:
        raise NotAllowed(
            "This host, or this port of it, is not one that the upstream's files come from; "
            f"add it to {_setting(site)}."
        )
    if port not in _USUAL and any(host == known for known, _ in named):
        raise NotAllowed(f"This is another port of an upstream's host; add host:port to {_setting(site)}.")
    if _is_address(host) and private(host):
        raise _refused()
    return Trust.OPEN


def admit_unseen(url: URL, trust: Trust) -> None:
    """Refuse a name of the machine itself, where a proxy resolves names and the address is not known here.

    Raises NotAllowed unless the settings name the host.
    """
    if trust is Trust.OPEN and _OWN_NAME.fullmatch(host_of(url)):
        raise _refused()


def host_of(url: URL) -> str:
    """The host, lower case, without brackets and final dot. Raises NotAllowed if it is no plain name or address."""
    return _plain(url.raw_host or "")


class GuardedResolver(AbstractResolver):
    """Resolves names with another resolver, and drops the addresses that `refused` refuses."""

    def __init__(self, inner: AbstractResolver, refused: Callable[[str], bool]) -> None:
        self._inner = inner
        self._refused = refused

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses that may be dialled. Raises NotAllowed if all addresses of the name are refused, OSError."""
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if not self._refused(result["host"])]
        if found and not allowed:
            raise _refused()
        return allowed

    async def close(self) -> None:
        """Nothing to do: the owner of the inner resolver closes it."""


def _no_host() -> NotAllowed:
    return NotAllowed("The address names no host that can be asked.")


def _refused() -> NotAllowed:
    return NotAllowed(
        "The host has a loopback, link-local or private address; name host:port in the settings to allow it: in the "
        "upstream's `hosts`, for an apt archive under apt.hosts."
    )


def _setting(site: Site) -> str:
    """Which setting opens hosts of a site."""
    return "`hosts` in the settings" if site.named else "apt.hosts in the settings"


@lru_cache(maxsize=256)
def _named(bases: tuple[str, ...], hosts: frozenset[str]) -> frozenset[tuple[str, int | None]]:
    """The hosts that the settings name for a site, normalised, with their ports; without one: the entry has none."""
    named: set[tuple[str, int | None]] = {(host_of(url), url.port) for url in map(URL, bases)}
    for entry in hosts:
        name, port = address_text.host(entry)
        named.add((_plain(name.strip("[]")), port))
    return frozenset(named)


@lru_cache(maxsize=1024)
def _plain(text: str) -> str:
    if _is_address(text):
        return str(ipaddress.ip_address(text))
    try:
        host = address_text.host_name(text)
    except BadTarget:
        raise _no_host() from None
    if _is_address(host):
        return host
    # Numbers only: 2130706433, 127.1, 0x7f.1 and the like, which resolvers read as addresses, a proxy's too.
    if all(map(_NUMBER.fullmatch, host.split("."))):
        raise _no_host()
    return host


def _is_address(host: str) -> TypeGuard[str]:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _within(text: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return True
    return any(form in network for form in _forms(address) for network in networks)


def _forms(address: _Address) -> list[_Address]:
    """The address, and those IPv4 addresses that it stands for when a translator carries it on."""
    forms = [address]
    if isinstance(address, ipaddress.IPv6Address):
        number = int(address)
        forms.extend(
            ipaddress.IPv4Address(number >> shift & 0xFFFFFFFF)
            for network, shift in _CARRIERS
            # RFC 4291 §2.5.5.1: `::` and `::1` are not IPv4-compatible addresses.
            if address in network and number > 1
        )
        if address in _TEREDO:  # RFC 4380 §4: the client's address, inverted
            forms.append(ipaddress.IPv4Address(~number & 0xFFFFFFFF))
    return forms
