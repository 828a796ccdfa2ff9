"""Addresses as people write them in the settings: of upstreams, of the index below one, and of archives.

Every legal form is taken and brought into one; anything else is refused with the reason. Where an index seems to be
written into `url` and `index` both, the text has the line to write instead. No message shows the user information of
an address, which may be a password, or the path of `url`, which may hold a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.field_types import Notation
from proxy.errors import BadTarget

_FORM = "must be an address such as https://index.example/"
_PATH = "/%:@!$&'()*+,;=-._~"  # characters of a path that stay as they are written (RFC 3986 §3.3)
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_SEGMENT = re.compile(r"[/\\]")

DEFAULT_INDEX = "simple/"
_LISTS = ("simple", "+simple")  # folders that hold the pages of projects, by the names that servers give them
_ROOTS = ("whl",)  # folders that hold the indexes of channels


def check_base(value: str) -> str:
    """A base address that ends in a slash, in the form that links of pages have: lower-case host, no default port.

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
    if parts.scheme not in PORTS or not name or port == 0:
        raise ValueError(_FORM)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; see credentials")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    try:
        host = address_text.parsed_host(name)
    except BadTarget:
        raise ValueError(f"{_FORM}: its host is neither a name nor an address") from None
    if port not in (None, PORTS[parts.scheme]):
        host = f"{host}:{port}"
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    _check_path(path)
    written = _ESCAPE.sub(lambda escape: escape[0].upper(), quote(path, safe=_PATH))
    return f"{parts.scheme}://{host}{written}"


def check_folder(value: str) -> str:
    """A path that ends in a slash, or an empty one, as it is written. Raises ValueError for anything else."""
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


def check_cache(value: str) -> str:
    """Scheme, host and port of a cache, without a slash at the end; empty if there is none. Raises ValueError."""
    if not value:
        return ""
    base = check_base(value)
    if base.count("/") > len("://"):
        raise ValueError("must be an address without a path, such as http://cache.example:3142; mounts are added to it")
    return base.removesuffix("/")


Base = Annotated[str, AfterValidator(check_base)]
CacheAddress = Annotated[str, Notation("ADDRESS"), AfterValidator(check_cache)]
Folder = Annotated[str, AfterValidator(check_folder)]


@dataclass(frozen=True, slots=True)
class UrlPrefix:
    """What the addresses of an archive begin with: `gitlab.example/api/v4/projects/42/packages/debian`.

    It covers what is below it by http and by https, unless it begins with a scheme. `scheme`: None for both. `host`: in
    lower case, an IPv6 address in brackets. `port`: None for the scheme's default. `path`: decoded; it ends in a slash
    or is empty.
    """

    scheme: str | None
    host: str
    port: int | None
    path: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a setting. Texts that mean the same give equal prefixes. Raises ValueError, which does not show it."""
        scheme = text.partition("://")[0].lower() if "://" in text else None
        address = text if scheme else f"http://{text}"
        base = urlsplit(check_base(address))
        port = base.port
        if scheme is None and urlsplit(address).port == PORTS["http"]:  # the base has lost it
            scheme = "http"
        elif scheme is None and port == PORTS["https"]:
            scheme, port = "https", None
        host = address_text.bracketed(base.hostname or "")
        return cls(scheme, host, port, folder_path(base.path.lstrip("/")))

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes of its addresses."""
        return (self.scheme,) if self.scheme else tuple(PORTS)

    @property
    def authorities(self) -> frozenset[str]:
        """`host:port` of its addresses."""
        return frozenset(f"{self.host}:{self.port or PORTS[scheme]}" for scheme in self.schemes)

    def covers(self, scheme: str, host: str, path: str) -> bool:
        """Whether an address is below it. `host` has its port unless it is the default one; `path` is decoded.

        A prefix for http covers https at its default port, too, since servers redirect there.
        """
        own = self.host if self.port in {None, PORTS.get(scheme)} else f"{self.host}:{self.port}"
        if host != own or not path.startswith(self.path):
            return False
        return self.scheme in {None, scheme} or (self.scheme, self.port, scheme) == ("http", None, "https")

    def covers_url(self, url: str) -> bool:
        """The same of a whole address, percent-encoded."""
        scheme, host, port = address_text.origin(url)
        host = address_text.bracketed(host)
        if port != PORTS.get(scheme):
            host = f"{host}:{port}"
        return self.covers(scheme, host, folder_path(urlsplit(url).path.lstrip("/")))

    def __str__(self) -> str:
        """As one would write it."""
        scheme = f"{self.scheme}://" if self.scheme else ""
        port = f":{self.port}" if self.port else ""
        return f"{scheme}{self.host}{port}/{address_text.quoted(self.path)}"


def index_refusal(url: str) -> str | None:
    """What is wrong with a base address to which the default `index` is added; None: nothing."""
    parts, folders = urlsplit(url), _folders(url)
    if not folders or folders[-1].lower() not in _LISTS:
        return None
    last = f"{folders[-1]}/"
    other = f'write url = "{parts.scheme}://{parts.netloc}/"' if len(folders) == 1 else f"take {last} off its end"
    if last != DEFAULT_INDEX:
        other += f' and write index = "{last}"'
    return (
        f'url ends in {last}, and index, which is "{DEFAULT_INDEX}" where it is not given, is added: pages would be '
        f'looked for in {last}{DEFAULT_INDEX}. Write index = "" beside this url, or {other}. If the pages are in '
        f'{last}{DEFAULT_INDEX}, write index = "{DEFAULT_INDEX}".'
    )


def index_doubt(url: str, index: str, *, given: bool) -> str | None:
    """What is odd about an `index` beside this base address, and yet may be meant; None: nothing.

    `given`: it was written, not left to its default.
    """
    folders, further = _folders(url), _folders(index)
    for count in range(len(further), 0, -1):
        if folders[-count:] == further[:count]:
            same, rest = "/".join(further[:count]), "/".join((*further[count:], ""))
            return (
                f"url ends in {same}/, and index begins with it: pages are looked for in {same}/{index}. If they are "
                f'not there, write index = "{rest}".'
            )
    inner = next((folder for folder in folders if folder.lower() in (*_LISTS, *_ROOTS)), None)
    if inner is None or (given and index != DEFAULT_INDEX):
        return None
    return (
        f'url goes through {inner}/, and index is "{index}": pages are looked for in {index} below url. If they are '
        f'directly below it, write index = "". If url ends in the name of a project, end it before that.'
    )


def whole_address(value: str, url: str | None) -> str | None:
    """What to write instead of an `index` that is an address; None if it is none. `url`: the base, if it is known."""
    if "://" not in value:
        return None
    scheme, _, rest = value.partition("://")
    host, _, path = rest.partition("/")
    address = f"{scheme.lower()}://{host.lower()}/{path.rstrip('/')}".rstrip("/") + "/"
    if url is not None and address.startswith(url):
        return f'must be the path below url, not a whole address: write index = "{address.removeprefix(url)}"'
    return f'must be the path below url, not a whole address, such as index = "{DEFAULT_INDEX}"'


def _folders(path: str) -> list[str]:
    return [folder for folder in urlsplit(path).path.split("/") if folder]
