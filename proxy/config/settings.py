"""The settings as frozen values: one field each, with name, default, bounds, and the text that explains it.

`loading` fills them from file, environment and flags; `cli` makes the flags of the fields; `reference` prints them;
`app` reads them. A `Settings` that is built directly has only the values of the caller: it never reads the environment
or a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal, Self

from msgspec import structs
from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy import operating_system
from proxy.config.addresses import CacheAddress
from proxy.config.archives import AptSettings, ArchiveSettings
from proxy.config.builtin import builtin
from proxy.config.field_types import Addresses, Count, Duration, Folder, Names, Size, SizeOrZero, show_size
from proxy.config.groups import GroupSettings, problem, shadowing
from proxy.config.proxies import ENVIRONMENT, ProxyForAll
from proxy.config.upstreams import UpstreamSettings, repeated, twice
from proxy.config.warming import Warms
from proxy.model import Group, Site

PREFIX = "PULLTHROUGH_"
# Bytes. A new database and its log take 250 KB; below four times that they would fill most of the bound.
LEAST_DISK = 10**6

# File descriptors: the socket, and while a file is sent a second one for the sender thread, and the file itself.
_PER_CONNECTION = 3
_MOST_CONNECTIONS = 10_000


def _threads() -> int:
    """The number of CPUs that the process may use, at most four: more sender threads are not faster."""
    return min(4, operating_system.cpus())


def _connections() -> int:
    """What the limit of open files allows, less a part for upstream and the store."""
    limit = operating_system.open_files_limit()
    if limit is None:
        return _MOST_CONNECTIONS
    return min(max((limit - min(256, limit // 2)) // _PER_CONNECTION, 8), _MOST_CONNECTIONS)


class FetchSettings(BaseModel):
    """How files are fetched from upstream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: Count = Field(
        6, ge=1, le=64, description="Connections to upstream that share the download of one large file."
    )
    segment: Size = Field(
        ByteSize(16 * 2**20),
        ge=2**16,
        description="Size of the ranges that these connections fetch, at most; one that is fast takes four at a time.",
    )
    connect_timeout: Duration = Field(
        10.0, gt=0, description="How long connecting to upstream may take before it counts as unreachable."
    )
    read_timeout: Duration = Field(
        30.0, gt=0, description="How long upstream may send nothing before a request times out."
    )
    retries: Count = Field(2, ge=0, le=20, description="How often a failed request to upstream is sent again.")
    downloads: Count = Field(
        256,
        ge=1,
        le=4096,
        description="Downloads at once. A further one waits 5 s for its turn; after that the file is passed through to "
        "its client, and not cached.",
    )
    least_rate: SizeOrZero = Field(
        ByteSize(1024),
        description="Bytes a second, on average over a minute, below which a download is given up; the next one "
        "resumes it. 0 never gives up.",
    )


class ForesightSettings(BaseModel):
    """What is fetched before a client asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal["off", "metadata", "files"] = Field(
        "files",
        description="What is fetched before pip or uv asks for it: `metadata` stands for pages and metadata of the "
        "projects that come next, `files` for the wheels too, `off` for nothing.",
    )
    requests: Count = Field(
        16, ge=2, le=64, description="Requests at once that no client has asked for yet; half of them are for files."
    )
    size: SizeOrZero = Field(
        ByteSize(256 * 2**20), description="Bytes of files that one client has not asked for yet, at most."
    )


class HistorySettings(BaseModel):
    """What is remembered of who asked for which file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Count = Field(
        90,
        ge=0,
        le=3650,
        description="Days for which the data folder has who asked for which file, with clients' addresses. 0 keeps no "
        "history at all.",
    )
    size: Size = Field(
        ByteSize(256 * 10**6),
        ge=10**6,
        description="Bytes that the history may take, with SQLite's log beside it; the oldest requests make room.",
    )


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
        75.0, gt=0, description="How long a connection may be idle, or a client may read nothing, before it is closed."
    )
    connections: Count = Field(
        default_factory=_connections,
        ge=1,
        description="Connections of clients at once. Beyond that, the longest idle ones are closed, and new ones wait.",
        json_schema_extra={"shown_default": "a third of what the limit of open files leaves, at most 10000"},
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="Form of the log line that each request leaves on standard error: `json` or `text`."
    )
    log_size: SizeOrZero = Field(
        ByteSize(0),
        description="Bytes that the log may have where standard error is a file: at half of them it goes on in a new "
        "one, and the one before stays beside it, with `.1` at the end of its name. 0 for no bound.",
    )


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
        hide_input_in_errors=True,
    )

    host: Addresses = Field(
        ("127.0.0.1",),
        description="Address to listen on, or several; `::` opens the cache to the network, `0.0.0.0` to IPv4 alone. "
        "A flag or a variable has commas between them.",
    )
    port: Count = Field(3142, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    names: Names = Field(
        frozenset(),
        description="Host names of the cache. Only under one of these, under `localhost`, or by an IP address, "
        "browsers get an index that has credentials, and anybody gets the page at `/` and the API. A flag or a "
        "variable has commas between them.",
    )
    public_url: CacheAddress = Field(
        "",
        description="Address by which clients reach the cache where something else listens for them, such as a server "
        "with TLS or a published port of a container: `https://cache.example`. Pages that are asked for under its host "
        "have whole addresses, which pip reads faster. A reverse proxy has to pass `Host` on.",
    )
    data: Folder = Field(
        description="Folder of the cached files. One process at a time may use it.",
        json_schema_extra={
            "shown_default": "`pullthrough` in the user's cache folder (`$XDG_CACHE_HOME`, else `~/.cache`; "
            "on macOS `~/Library/Caches`)"
        },
    )
    disk: Size = Field(ByteSize(100 * 10**9), description="Bytes that the data folder may hold; at least 1 MB.")
    offline: bool = Field(
        default=False,
        description="Ask nothing of any upstream: serve what is here, list what is here, and say at once what is not.",
    )
    page_limit: Size = Field(
        ByteSize(64 * 2**20), description="Largest index page or metadata file that upstream may send."
    )
    proxy: ProxyForAll = Field(
        ENVIRONMENT,
        repr=False,
        description="Proxy through which all upstreams are reached: `http://proxy.example:3128`, or "
        "`http://user:password@proxy.example:3128`; `direct` for none; `environment` for what `HTTPS_PROXY`, "
        "`HTTP_PROXY` and `ALL_PROXY` name. Hosts in `NO_PROXY` are reached without it.",
    )
    parent: CacheAddress = Field(
        "",
        description="Another pullthrough that is asked in place of every upstream, for indexes and archives: "
        "`http://hub.example:3142`. It needs the same mounts, and has the credentials.",
    )
    fetch: FetchSettings = FetchSettings()
    foresight: ForesightSettings = ForesightSettings()
    serve: ServeSettings = Field(default_factory=ServeSettings)
    history: HistorySettings = HistorySettings()
    apt: AptSettings = AptSettings()
    upstreams: tuple[UpstreamSettings, ...] = Field(
        (), description="The upstreams. Some are built in; an entry with the mount of a built-in one replaces it."
    )
    groups: tuple[GroupSettings, ...] = Field((), description="Groups of upstreams at one address.")
    archives: tuple[ArchiveSettings, ...] = Field((), description="Settings of single apt archives.")
    warms: Warms = Field((), description="What the cache is to have, looked after again and again.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The caller's values only: `loading` reads all sources, and so knows where each value came from."""
        return (init_settings,)

    @field_validator("disk")
    @classmethod
    def _check_disk(cls, value: ByteSize) -> ByteSize:
        if value < LEAST_DISK:
            raise ValueError(f"must be at least {show_size(LEAST_DISK)}: the cache's database takes a part of it")
        return value

    @field_validator("upstreams", "groups", "archives", "warms", mode="before")
    @classmethod
    def _read_json(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever stands in the environment
        """An environment variable holds the list as JSON."""
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"must be a JSON list of {info.field_name}") from None

    @field_validator("upstreams")
    @classmethod
    def _check_mounts(cls, value: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
        for mount in repeated([upstream.mount for upstream in value]):
            raise ValueError(twice(mount))
        return value

    @field_validator("groups")
    @classmethod
    def _check_groups(cls, value: tuple[GroupSettings, ...], info: ValidationInfo) -> tuple[GroupSettings, ...]:
        if "upstreams" in info.data and value:
            wrong = problem(value, _with_builtin(info.data["upstreams"]))
            if wrong is not None:
                raise ValueError(wrong)
        return value

    @field_validator("archives")
    @classmethod
    def _check_archives(cls, value: tuple[ArchiveSettings, ...]) -> tuple[ArchiveSettings, ...]:
        for url in repeated([archive.url for archive in value]):
            raise ValueError(f"{url} is there twice; write one entry for each archive")
        return value

    def sites(self, known: Callable[[str], frozenset[str]] = lambda _: frozenset()) -> tuple[Site, ...]:
        """The upstreams as the services see them, the built-in ones included.

        `known`: the hosts of a mount, other than that of `url`, for which there are credentials.
        """
        alone = shadowing(self.groups)
        return tuple(
            structs.replace(
                upstream.site(shadows=upstream.mount in alone, known=known(upstream.mount)), parent=self.parent
            )
            for upstream in self.with_builtin().upstreams
        )

    @property
    def ahead(self) -> ForesightSettings:
        """What is fetched before a client asks for it: nothing while the cache is offline."""
        return ForesightSettings(what="off") if self.offline else self.foresight

    def longest_life(self) -> float:
        """Seconds for which anything that may change counts as fresh, at most."""
        windows = [one.window for one in self.archives if one.window is not None]
        return max(self.apt.window, *windows, *(one.ttl for one in self.with_builtin().upstreams))

    def index_groups(self) -> tuple[Group, ...]:
        """The groups as the services see them."""
        indexes = {upstream.mount: upstream.index for upstream in self.with_builtin().upstreams}
        return tuple(group.group(indexes) for group in self.groups)

    def with_builtin(self) -> Self:
        """The same settings with the built-in upstreams first, except those that an entry replaces."""
        return self.model_copy(update={"upstreams": _with_builtin(self.upstreams)})


def _with_builtin(upstreams: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
    given = {upstream.mount for upstream in upstreams}
    return (*(upstream for upstream in builtin() if upstream.mount not in given), *upstreams)
