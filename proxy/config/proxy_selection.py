"""Proxy selection: which requests to upstream go through a proxy, and through which.

The command line makes one `KnownProxies` from the settings and the environment; `upstream` asks it for each request.
Settings outrank the variables HTTPS_PROXY, HTTP_PROXY and ALL_PROXY. All variables are read as curl reads them, and
NO_PROXY in the further forms that other programs know: ports, `*.` and networks. No host of NO_PROXY is looked up: a
network covers hosts that are written as addresses.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.loading import ConfigError
from proxy.config.proxies import DIRECT, ENVIRONMENT, Proxy, read_proxy
from proxy.config.settings import Settings

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - and where a connection to each arrives
_SEPARATORS = re.compile(r"[\s,]+")
_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>[0-9]{1,5})")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _NoProxyItem:
    """One host, domain or network of NO_PROXY; `port` is None for all ports."""

    host: str
    network: _Network | None
    port: int | None

    @classmethod
    def read(cls, text: str) -> Self:
        match = _PORT.fullmatch(text)
        host, port = (match["host"], int(match["port"])) if match else (text, None)
        host = host.lower().strip("[]").removeprefix("*.").removeprefix(".").removesuffix(".")
        try:
            network = ipaddress.ip_network(host, strict=False)
        except ValueError:
            network = None
        return cls(host, network, port)

    def covers(self, host: str, address: _Address | None, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.host == "*":
            return True
        if self.network is not None:
            return address is not None and address in self.network
        return address is None and (host == self.host or host.endswith(f".{self.host}"))


@dataclass(frozen=True, slots=True)
class NoProxy:
    """The hosts that NO_PROXY lists: they are reached without a proxy."""

    entries: tuple[_NoProxyItem, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read entries with commas or spaces between: `host`, `.domain`, `*.domain`, an address, a network, or `*`.

        Each may end in `:port`. A name covers its subdomains too. Anything else covers nothing.
        """
        return cls(tuple(_NoProxyItem.read(part) for part in _SEPARATORS.split(text.strip()) if part))

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


class KnownProxies:
    """Implements `ports.Proxies`. `notes`: lines for a person at the start, about variables that are ignored."""

    def __init__(
        self,
        by_scheme: Mapping[str, Proxy],
        by_mount: Mapping[str, Proxy | None],
        no_proxy: NoProxy = NoProxy(),
        notes: tuple[str, ...] = (),
    ) -> None:
        """`by_scheme`: the proxy for http and for https; `by_mount`: the upstreams' own settings."""
        self._by_scheme = by_scheme
        self._by_mount = by_mount
        self._no_proxy = no_proxy
        self.notes = notes

    @classmethod
    def find(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Read settings and variables.

        Raises ConfigError with a line for each that names no proxy, or this cache itself.
        """
        errors: list[str] = []
        notes: list[str] = []
        no_proxy = NoProxy.read(_value(environ, "no_proxy")[1])
        by_scheme: dict[str, Proxy] = {}
        if isinstance(settings.proxy, Proxy):
            by_scheme = dict.fromkeys(PORTS, replace(settings.proxy, source="`proxy` in the settings"))
        elif settings.proxy == ENVIRONMENT and not no_proxy.covers_all:
            by_scheme, notes, errors = _from_environment(settings, environ)
        by_mount = {
            upstream.mount: replace(upstream.proxy, source=f"`proxy` of the upstream {upstream.mount} in the settings")
            if isinstance(upstream.proxy, Proxy)
            else None
            for upstream in settings.upstreams
            if upstream.proxy is not None
        }
        for name, proxy in {
            "proxy": settings.proxy,
            **{f"proxy of the upstream {m}": p for m, p in by_mount.items()},
        }.items():
            if isinstance(proxy, Proxy) and _is_this_cache(proxy, settings):
                errors.append(f"{name}: names this cache itself; name the proxy behind it, or write {DIRECT}")
        if settings.parent and _is_this_cache(Proxy(settings.parent), settings):
            errors.append("parent: names this cache itself; name the cache that it is to ask, or leave it out")
        if errors:
            raise ConfigError(errors)
        return cls(by_scheme, by_mount, no_proxy, tuple(notes))

    def proxy(self, mount: str, url: str) -> Proxy | None:
        """See `ports.Proxies.proxy`. An upstream's own `proxy` outranks NO_PROXY, too."""
        if mount in self._by_mount:
            return self._by_mount[mount]
        scheme, host, port = address_text.origin(url)
        found = self._by_scheme.get(scheme)
        return None if found is None or self._no_proxy.covers(host, port) else found

    def in_force(self) -> Iterator[tuple[str, Proxy]]:
        """Each scheme whose requests go through a proxy, and the proxy."""
        yield from self._by_scheme.items()


def _from_environment(settings: Settings, environ: Mapping[str, str]) -> tuple[dict[str, Proxy], list[str], list[str]]:
    """By scheme, the proxies that the variables name; notes on variables that are ignored; errors in others."""
    found: dict[str, Proxy] = {}
    notes: dict[str, str] = {}
    errors: dict[str, str] = {}
    for scheme in PORTS:
        name, text = _value(environ, f"{scheme}_proxy", "all_proxy")
        if not text:
            continue
        try:
            proxy = replace(read_proxy(text), source=f"the variable {name}")
        except ValueError as error:
            errors[name] = f"{name}: {error}. To reach upstream without it, give --proxy {DIRECT}"
            continue
        if _is_this_cache(proxy, settings):
            notes[name] = f"{name} names this cache itself; it is not used to reach upstream"
        else:
            found[scheme] = proxy
    return found, list(notes.values()), list(errors.values())


def _value(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """The first of the variables that is set and not empty, lower case before upper, and its value."""
    for name in names:
        for variable in (name, name.upper()):
            if text := environ.get(variable, "").strip():
                return variable, text
    return "", ""


def _is_this_cache(proxy: Proxy, settings: Settings) -> bool:
    """Whether this process will listen at the proxy's address: the same variables lead clients to the cache."""
    parts = urlsplit(proxy.url)
    if not settings.port or parts.port != settings.port:
        return False
    own = {address for host in settings.host for address in _addresses(host, settings.port)}
    everywhere = not own.isdisjoint(_UNSPECIFIED)
    named = {_UNSPECIFIED.get(address, address) for address in _addresses(parts.hostname or "", settings.port)}
    return any(address in own or (everywhere and _is_local(address)) for address in named)


def _addresses(host: str, port: int) -> set[str]:
    """The addresses of a host; none if it cannot be looked up: its first use reports that."""
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def _is_local(address: str) -> bool:
    """Whether this machine has the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
