"""The settings as frozen values: names, defaults, bounds, and the one text that explains each.

`loading` fills them from file, environment and flags; `reference` prints them; `app` reads them. A `Settings` that is
built directly takes only what it is given: it never looks at the environment or a file.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.config.quantities import Count, Duration, Size
from proxy.model import Site

RESERVED = ("api", "healthz", "metrics", "readyz")  # the program's own pages
PREFIX = "PULLTHROUGH_"

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
_LINK_HOST = re.compile(
    r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?(?::[0-9]{1,5})?|\[[0-9a-f:.]{2,45}\](?::[0-9]{1,5})?"
)
_MOUNT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*")


def _threads() -> int:
    """The number of CPUs that the process may use, at most four: more sender threads gain nothing."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, available)


class FetchSettings(BaseModel):
    """How files are fetched from upstream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: Count = Field(
        6, ge=1, le=64, description="Connections to upstream that share the download of one large file."
    )
    segment: Size = Field(ByteSize(16 * 2**20), ge=2**16, description="Size of the ranges that they fetch.")
    connect_timeout: Duration = Field(
        10.0, gt=0, description="How long connecting to upstream may take before it counts as unreachable."
    )
    read_timeout: Duration = Field(
        30.0, gt=0, description="How long upstream may send nothing before it counts as timed out."
    )
    retries: Count = Field(2, ge=0, le=20, description="How often a failed request to upstream is tried again.")


class ServeSettings(BaseModel):
    """How clients are served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Count = Field(
        default_factory=_threads,
        ge=1,
        le=64,
        description="Threads that send files to clients.",
        json_schema_extra={"shown_default": "the number of CPUs, at most 4"},
    )
    idle_timeout: Duration = Field(
        75.0, gt=0, description="How long a connection may be idle, or a client may take no bytes, before it is closed."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="Form of the log line that each request leaves on standard error: `json` or `text`."
    )


class UpstreamSettings(BaseModel):
    """One upstream and the mount that stands for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mount: str = Field(
        description="First part of the addresses on the cache: lower-case letters, digits and hyphens, beginning with "
        f"a letter. Not {', '.join(RESERVED)}."
    )
    url: str = Field(description="Base address that the mount stands for, with `http://` or `https://`.")
    index: str = Field(
        "simple/",
        description="Path below `url` under which the pages of projects are: `simple/`, or empty if they are directly "
        "below `url`.",
    )
    ttl: Duration = Field(600.0, description="How long a page counts as fresh; after that upstream is asked again.")
    hosts: frozenset[str] = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) to which its pages may link. Hosts that its pages link to are "
        "learnt by themselves; a host at a private or loopback address must be named here.",
    )

    @field_validator("mount")
    @classmethod
    def _check_mount(cls, value: str) -> str:
        if not _MOUNT.fullmatch(value):
            raise ValueError("must be lower-case letters, digits and hyphens, beginning with a letter, such as pytorch")
        if value in RESERVED:
            raise ValueError(f"{value} is one of the cache's own pages ({', '.join(RESERVED)}); choose another name")
        return value

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        """Messages never show the address: it may hold a password."""
        wrong = ValueError("must be an address such as https://index.example/, in plain ASCII")
        if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
            raise wrong
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme not in ("http", "https") or not _LINK_HOST.fullmatch(parts.netloc.rpartition("@")[2].lower()):
            raise wrong
        if "@" in parts.netloc:
            raise ValueError("must not hold a user name or password")
        if "?" in value or "#" in value:
            raise ValueError("must not have a query or a fragment")
        if port == 0 or {".", ".."} & set(parts.path.split("/")):
            raise wrong
        return value if value.endswith("/") else f"{value}/"

    @field_validator("index")
    @classmethod
    def _check_index(cls, value: str) -> str:
        path = value if not value or value.endswith("/") else f"{value}/"
        if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            raise ValueError("must be a path without a slash at its front, such as simple/, or empty")
        return path

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: frozenset[str]) -> frozenset[str]:
        hosts = frozenset(host.lower() for host in value)
        wrong = sorted(host for host in hosts if not _LINK_HOST.fullmatch(host))
        if wrong:
            raise ValueError(f"must be names of hosts such as files.example or 10.0.0.7:8080, not {', '.join(wrong)}")
        return hosts

    def site(self) -> Site:
        """The upstream as the services see it."""
        return Site(self.mount, self.url, self.index, self.ttl, self.hosts)


class Settings(BaseSettings):
    """Everything that can be set. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        enable_decoding=False,
    )

    host: str = Field(
        "127.0.0.1", description="Address to listen on; `0.0.0.0` or `::` opens the cache to the network."
    )
    port: Count = Field(3142, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    data: Path = Field(
        description="Folder that holds what is cached. One process at a time may use it.",
        json_schema_extra={
            "shown_default": "`pullthrough` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`; "
            "on macOS `~/Library/Caches`)"
        },
    )
    disk: Size = Field(ByteSize(100 * 10**9), description="Bytes that the data folder may hold.")
    page_limit: Size = Field(
        ByteSize(64 * 2**20), description="Largest index page or metadata file that is taken from upstream."
    )
    fetch: FetchSettings = FetchSettings()
    serve: ServeSettings = Field(default_factory=ServeSettings)
    upstreams: tuple[UpstreamSettings, ...] = Field(
        (), description="The upstreams. `pypi` is built in; an entry with that mount replaces it."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller gives: `loading` reads the sources, so that it can say where each value came from."""
        return (init_settings,)

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            try:
                ipaddress.ip_address(value)
            except ValueError:
                raise ValueError("must be an address or a host name, such as 127.0.0.1, without a port") from None
        return value

    @field_validator("upstreams", mode="before")
    @classmethod
    def _read_json(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the environment
        """An environment variable holds the list as JSON."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("must be a JSON list of upstreams") from None

    @field_validator("upstreams")
    @classmethod
    def _check_mounts(cls, value: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
        for mount in repeated([upstream.mount for upstream in value]):
            raise ValueError(twice(mount))
        return value

    def sites(self) -> tuple[Site, ...]:
        """The upstreams as the services see them, the built-in one included."""
        return tuple(upstream.site() for upstream in self.with_builtin().upstreams)

    def with_builtin(self) -> Self:
        """The same settings with the built-in upstream written out first, unless an entry replaces it."""
        if any(upstream.mount == "pypi" for upstream in self.upstreams):
            return self
        return self.model_copy(update={"upstreams": (builtin(), *self.upstreams)})


def builtin() -> UpstreamSettings:
    """PyPI."""
    # The address is another project's constant: it is written nowhere in this one. Imported late: it brings much along.
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415

    return UpstreamSettings(mount="pypi", url=PYPI_SIMPLE_ENDPOINT.removesuffix("simple/"), index="simple/")


def repeated(names: list[str]) -> list[str]:
    """Names that occur more than once, in the order of their second occurrence."""
    return list(dict.fromkeys(name for place, name in enumerate(names) if name in names[:place]))


def twice(mount: str) -> str:
    """What is said of a mount that two upstreams claim."""
    return f"mount {mount} is there twice; each upstream needs a mount of its own"
