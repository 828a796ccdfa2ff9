"""Where the server listens, and what clients call it: the types of the settings `host` and `names`.

Used by the settings. Never looks a name up.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from proxy.config.hosts import read_hosts

_WRONG = "must be an address or a host name, such as 127.0.0.1, without a port"
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?")


def _read_addresses(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    return tuple(read_hosts(value)) if isinstance(value, str) else value


def _check_addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses, each once, in their order. Raises ValueError."""
    if not value:
        raise ValueError(_WRONG)
    return tuple(dict.fromkeys(map(_check_address, value)))


def _check_address(value: str) -> str:
    if not _NAME.fullmatch(value):
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise ValueError(_WRONG) from None
    return value


def _check_names(value: frozenset[str]) -> frozenset[str]:
    """The names in lower case, without the dot of the root. Raises ValueError."""
    if not all(map(_NAME.fullmatch, value)):
        raise ValueError("must be host names such as cache.example, without a scheme or port")
    return frozenset(name.lower().removesuffix(".") for name in value)


# A list in the file, commas in a flag or a variable.
Addresses = Annotated[tuple[str, ...], BeforeValidator(_read_addresses), AfterValidator(_check_addresses)]
Names = Annotated[frozenset[str], BeforeValidator(read_hosts), AfterValidator(_check_names)]
