"""The way out: which requests to upstream go through a proxy, and through which.

Called by the command line with the surroundings of the process, once; the answers go to `app` and from there to
`upstream`. Settings outrank the variables HTTPS_PROXY, HTTP_PROXY and ALL_PROXY, which are read as curl reads them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Self
from urllib.parse import urlsplit

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.bypass import Bypass
from proxy.config.loading import ConfigError
from proxy.config.proxies import DIRECT, ENVIRONMENT, read_proxy
from proxy.config.settings import Settings
from proxy.way import Proxy

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a connection to these arrives


class KnownWays:
    """Implements `ports.Ways`. `notes`: what a person should hear about them at the start."""

    def __init__(
        self,
        by_scheme: Mapping[str, Proxy],
        by_mount: Mapping[str, Proxy | None],
        bypass: Bypass = Bypass(),  # noqa: B008 - frozen
        notes: tuple[str, ...] = (),
    ) -> None:
        """`by_scheme`: the proxy for http and for https; `by_mount`: what upstreams say for themselves."""
        self._by_scheme = by_scheme
        self._by_mount = by_mount
        self._bypass = bypass
        self.notes = notes

    @classmethod
    def find(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Read settings and variables.

        Raises ConfigError with a line for each that names no proxy, or names this cache itself.
        """
        errors: list[str] = []
        notes: list[str] = []
        bypass = Bypass.read(_value(environ, "no_proxy")[1])
        by_scheme: dict[str, Proxy] = {}
        if isinstance(settings.proxy, Proxy):
            by_scheme = dict.fromkeys(PORTS, replace(settings.proxy, source="`proxy` in the settings"))
        elif settings.proxy == ENVIRONMENT and not bypass.covers_all:
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
        if errors:
            raise ConfigError(errors)
        return cls(by_scheme, by_mount, bypass, tuple(notes))

    def proxy(self, mount: str, url: str) -> Proxy | None:
        """See `ports.Ways.proxy`. What an upstream says for itself outranks NO_PROXY, too."""
        if mount in self._by_mount:
            return self._by_mount[mount]
        scheme, host, port = address_text.origin(url)
        found = self._by_scheme.get(scheme)
        return None if found is None or self._bypass.covers(host, port) else found

    def in_force(self) -> Iterator[tuple[str, Proxy]]:
        """For each scheme that goes through a proxy: the scheme, and which."""
        yield from self._by_scheme.items()


def _from_environment(settings: Settings, environ: Mapping[str, str]) -> tuple[dict[str, Proxy], list[str], list[str]]:
    """By scheme, what the variables name; notes about those that are left out; what is wrong with others."""
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
    """The first of the variables that is set and not empty, lower case before upper, and what it holds."""
    for name in names:
        for spelling in (name, name.upper()):
            if text := environ.get(spelling, "").strip():
                return spelling, text
    return "", ""


def _is_this_cache(proxy: Proxy, settings: Settings) -> bool:
    """Whether the proxy is where this process will listen: clients' machines are told so by the same variables."""
    parts = urlsplit(proxy.url)
    if not settings.port or parts.port != settings.port:
        return False
    own = {address for host in settings.host for address in _addresses(host, settings.port)}
    everywhere = not own.isdisjoint(_UNSPECIFIED)
    named = {_UNSPECIFIED.get(address, address) for address in _addresses(parts.hostname or "", settings.port)}
    return any(address in own or (everywhere and _is_local(address)) for address in named)


def _addresses(host: str, port: int) -> set[str]:
    """The addresses of a host; none if it cannot be looked up, which is told when it is used."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return set()
    return found


def _is_local(address: str) -> bool:
    """Whether this machine has the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
