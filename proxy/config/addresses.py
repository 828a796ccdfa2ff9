"""Addresses of upstreams as people write them: base addresses, and paths of folders below them.

Used by the settings. Every legal form is taken and brought into one spelling; anything else is refused with the reason.
No message shows the address: it may hold a password.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator

from proxy import address_text
from proxy.errors import BadTarget

_FORM = "must be an address such as https://index.example/"
_PATH = "/%:@!$&'()*+,;=-._~"  # characters of a path that stay as they are written (RFC 3986 §3.3)
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_SEGMENT = re.compile(r"[/\\]")


def check_base(value: str) -> str:
    """A base address that ends in a slash, spelt as links of pages are: lower-case host, no default port.

    Raises ValueError.
    """
    if not value.isprintable() or " " in value:
        raise ValueError(f"{_FORM}, without spaces; write one in the path as %20")
    if "\\" in value:
        raise ValueError(f"{_FORM}, with slashes and no backslashes")
    try:
        parts = urlsplit(value)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{_FORM}: its host or port cannot be read") from None
    if parts.scheme not in address_text.PORTS or not name or port == 0:
        raise ValueError(_FORM)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; see credentials")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    try:
        host = address_text.parsed_host(name)
    except BadTarget:
        raise ValueError(f"{_FORM}: its host is neither a name nor an address") from None
    if port not in (None, address_text.PORTS[parts.scheme]):
        host = f"{host}:{port}"
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    _check_path(path)
    written = _ESCAPE.sub(lambda escape: escape[0].upper(), quote(path, safe=_PATH))
    return f"{parts.scheme}://{host}{written}"


def check_folder(value: str) -> str:
    """A path that ends in a slash, or an empty one, as it is written. Raises ValueError for what is none."""
    path = value if not value or value.endswith("/") else f"{value}/"
    if path.startswith("/") or "//" in path or not path.isprintable() or {" ", "?", "#", "\\"} & set(path):
        raise ValueError("must be a path without a slash at its front, such as simple/, or empty; a space is %20")
    _check_path(path)
    return path


def folder_path(folder: str) -> str:
    """The path of a folder as targets have it: decoded."""
    return address_text.decoded(folder, slashes=True)


def _check_path(path: str) -> None:
    try:
        decoded = address_text.decoded(path, slashes=True)
    except BadTarget as error:
        raise ValueError(f"has a path that could be read in two ways. {error}") from None
    if {".", ".."} & set(_SEGMENT.split(decoded)):
        raise ValueError("must not have a segment of dots in its path")


Base = Annotated[str, AfterValidator(check_base)]
Folder = Annotated[str, AfterValidator(check_folder)]
