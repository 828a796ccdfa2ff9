"""A proxy between this cache and upstream, and its address as people write it: in the settings, or in HTTPS_PROXY.

Read by the settings and by `proxy_selection`; handed on by `ports.Proxies` and used by `upstream`. The user information
in front of the host is secret: no message and no `repr` shows it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote, urlsplit

from pydantic import PlainValidator

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.field_types import Notation
from proxy.errors import BadTarget

DIRECT: Final = "direct"
ENVIRONMENT: Final = "environment"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NO_HOSTS = ("none", "no", "off", "false", "null", ENVIRONMENT)  # what is hardly the name of a host
_FORM = "must be an address such as http://proxy.example:3128 or http://user:password@proxy.example:3128"
_MASK = "***"  # stands for user and password where a proxy is shown


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy between this cache and upstream. `url` is scheme, host and port, without user name and password."""

    url: str
    source: str = ""  # where it is named, for people: "`proxy` in the settings", "the variable HTTPS_PROXY"
    authorization: str | None = field(default=None, repr=False)  # what it gets in `Proxy-Authorization`

    def __str__(self) -> str:
        """For people: without the user information, since a user name may be a token too."""
        if self.authorization is None:
            return self.url
        scheme, _, authority = self.url.partition("://")
        return f"{scheme}://{_MASK}@{authority}"


def read_proxy(text: str) -> Proxy:
    """The proxy that an address names; one without a scheme is `http://`, and what is percent-encoded is decoded.

    Raises ValueError, whose words never repeat the address.
    """
    text = text.strip(" ")
    if not text.isprintable() or " " in text:
        raise ValueError(f"{_FORM}, without spaces")
    address = text if _SCHEME.match(text) else f"http://{text}"
    try:
        parts = urlsplit(address)
        who, _, authority = parts.netloc.rpartition("@")
        host, port = address_text.host(authority)
    except (ValueError, BadTarget):
        raise ValueError(f"{_FORM}; write / ? # and @ in user or password as %2F %3F %23 and %40") from None
    if parts.scheme.startswith("socks"):
        raise ValueError("names a SOCKS proxy, which is not supported; name an http:// or https:// proxy, or direct")
    if parts.scheme not in PORTS:
        raise ValueError(_FORM)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{_FORM}, with nothing after the port; write / ? and # in a password as %2F %3F and %23")
    if who in (_MASK, f"{_MASK}:{_MASK}"):
        raise ValueError(f"has {_MASK} where user and password were; --print-config leaves them out: write them again")
    return Proxy(
        f"{parts.scheme}://{host}:{port or PORTS[parts.scheme]}",
        authorization=_basic(who) if who else None,
    )


def _read(value: Any, words: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever stands in the file
    """A proxy or one of these words; an empty text means `direct`."""
    if isinstance(value, Proxy) or value is None:
        return value
    if not isinstance(value, str):
        raise ValueError("must be a text in quotes")  # noqa: TRY004 - pydantic's way
    word = value.strip(" ").lower() or DIRECT
    if word in words:
        return word
    if word in _NO_HOSTS:
        raise ValueError(f"must be the address of a proxy, or {' or '.join(words)}")
    return read_proxy(value)


def _read_for_all(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    return ENVIRONMENT if value is None else _read(value, (DIRECT, ENVIRONMENT))


def _read_for_one(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    return _read(value, (DIRECT,))


def _basic(who: str) -> str:
    """The value of `Proxy-Authorization` for what stands before the host of an address (RFC 7617, RFC 3986 §3.2.1)."""
    user, _, password = who.partition(":")
    return f"Basic {base64.b64encode(f'{unquote(user)}:{unquote(password)}'.encode()).decode()}"


ProxyForAll = Annotated[Proxy | Literal["direct", "environment"], Notation("ADDRESS"), PlainValidator(_read_for_all)]
ProxyForOne = Annotated[Proxy | Literal["direct"] | None, Notation("ADDRESS"), PlainValidator(_read_for_one)]
