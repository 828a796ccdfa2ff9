"""Hosts as people write them: where the server listens, what clients call it, and which hosts others may have.

The types of settings. A flag or a variable holds a list as one text with commas. Never looks a name up, and no message
shows what was written: whoever writes more than a host may have written a password too.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from proxy import address_text
from proxy.errors import BadTarget

_LISTEN = "must be an address or a host name, such as 127.0.0.1, without a port"


def read_list(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """The parts of a text with commas; anything else as it is."""
    return [part.strip(" ") for part in value.split(",") if part.strip(" ")] if isinstance(value, str) else value


def check_host(value: str) -> str:
    """`host` or `host:port` in the one form in which hosts are compared. Raises ValueError."""
    try:
        host, port = address_text.host(value)
    except BadTarget:
        raise ValueError(
            "must be names of hosts such as files.example or 10.0.0.7:8080, without a scheme or path"
        ) from None
    return host if port is None else f"{host}:{port}"


def _check_hosts(value: frozenset[str]) -> frozenset[str]:
    return frozenset(map(check_host, value))


def _read_addresses(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    return tuple(read_list(value)) if isinstance(value, str) else value


def _check_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses, each once, in their order. Raises ValueError."""
    if not value:
        raise ValueError(_LISTEN)
    return tuple(dict.fromkeys(map(_check_address, value)))


def _check_address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        try:
            address_text.host_name(value)
        except BadTarget:
            raise ValueError(_LISTEN) from None
    return value


def _check_names(value: frozenset[str]) -> frozenset[str]:
    try:
        return frozenset(map(address_text.host_name, value))
    except BadTarget:
        raise ValueError("must be host names such as cache.example, without a scheme or port") from None


Hosts = Annotated[frozenset[str], AfterValidator(_check_hosts)]
ListedHosts = Annotated[Hosts, BeforeValidator(read_list)]  # of a setting that a flag or a variable may give, too
Addresses = Annotated[tuple[str, ...], BeforeValidator(_read_addresses), AfterValidator(_check_addresses)]
Names = Annotated[frozenset[str], BeforeValidator(read_list), AfterValidator(_check_names)]
