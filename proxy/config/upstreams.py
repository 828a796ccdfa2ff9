"""The upstreams of the settings: what each `[[upstream]]` holds, and the `Site` that services make of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from proxy import address_text
from proxy.address_text import PORTS
from proxy.config.addresses import (
    DEFAULT_INDEX,
    Base,
    Folder,
    folder_path,
    index_doubt,
    index_refusal,
    whole_address,
)
from proxy.config.field_types import Duration, Hosts, check_host
from proxy.config.proxies import ProxyForOne
from proxy.model import Site

RESERVED = ("api", "apt", "healthz", "metrics", "readyz")  # the cache's own pages, and what stands for all archives

MOUNT_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CREDENTIALS = re.compile(r"|netrc|env:[A-Za-z_][A-Za-z0-9_]*")


def _check_mount(value: str) -> str:
    if not MOUNT_PATTERN.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and hyphens, beginning with a letter, such as pytorch")
    if value in RESERVED:
        raise ValueError(f"{value} is one of the cache's own pages ({', '.join(RESERVED)}); choose another name")
    return value


Mount = Annotated[str, AfterValidator(_check_mount)]
MOUNT_TEXT = (
    "First part of the addresses on the cache: lower-case letters, digits and hyphens, beginning with a letter. "
    f"Not {', '.join(RESERVED)}."
)


class UpstreamSettings(BaseModel):
    """One upstream and the mount that stands for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mount: Mount = Field(description=MOUNT_TEXT)
    url: Base = Field(description="Base address that the mount stands for, with `http://` or `https://`.")
    index: Folder = Field(
        DEFAULT_INDEX,
        description="Path below `url` under which the pages of projects are: `simple/`, or empty if they are directly "
        "below `url`.",
    )
    kind: Literal["projects", "flat"] = Field(
        "projects",
        description="`projects`: each project has a page (PEP 503). `flat`: every page is a list of files of any "
        "project, as `pip --find-links` takes, or a listing of a folder.",
    )
    ttl: Duration = Field(600.0, description="How long a page counts as fresh; after that it is revalidated.")
    hosts: Hosts = Field(
        frozenset(),
        description="Hosts (`host`, with all its ports, or `host:port`) to which its pages may link; if empty, any "
        "host at a public address. A host at a private or loopback address must be listed, and so must another port of "
        "the host of `url`.",
    )
    siblings: tuple[Base, ...] = Field(
        (),
        description="Base addresses that have the same files under the same paths as `url`. A file whose hash is known "
        "is fetched from there when its host fails.",
    )
    credentials: str = Field(
        "",
        description="Source of user name and password. `env:NAME`, a variable that holds `user:password`: for "
        "the host of `url`, and no other. `netrc`, the file that `$NETRC` names, else `~/.netrc`: for the host of "
        "`url`, and for those in `siblings`, `hosts` and `page_hosts` for which the file has an entry. They are read "
        "again when upstream refuses them, and are sent over plain HTTP only if `url` itself is plain HTTP.",
    )
    host_credentials: dict[str, str] = Field(
        default_factory=dict,
        description="Sources for further hosts: a host (`host` or `host:port`) and, as for `credentials`, `env:NAME` "
        'or `netrc`; as in `{"files.example" = "env:FILES"}`.',
        json_schema_extra={"shown_default": "(none)"},
    )
    proxy: ProxyForOne = Field(
        None,
        repr=False,
        description="Proxy through which this upstream is reached, instead of the one for all; `direct` for none. "
        "`NO_PROXY` does not apply to it.",
        json_schema_extra={"shown_default": "the one for all"},
    )
    volatile: tuple[Folder, ...] = Field(
        (),
        description="Paths below `url`, and so below each of `siblings`, whose files upstream may replace under their "
        "names: a cached file that is older than `ttl` is revalidated, unless the page has its hash.",
    )
    keep_removed: bool = Field(
        default=True,
        description="List cached files that the index no longer lists, as yanked: an exact pin still finds them.",
    )
    honour_no_store: bool = Field(
        default=False,
        description="Cache nothing that upstream marks `no-store`. Several public indexes mark everything.",
    )
    forbidden_is_missing: bool = Field(
        default=False,
        description="Status 403 always means that there is no such project, as with S3-like stores. Otherwise a group "
        "does not go on to its next member after a 403. A cached page is kept in both cases.",
    )
    page_hosts: Hosts = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) whose pages count as this index's own when it redirects to them. By "
        "default those of any host do. If the index has `credentials`, or if it stands in a group before another one "
        "or has projects pinned to it, only the hosts of `url` and `siblings` do, and those with credentials of their "
        "own.",
        json_schema_extra={"shown_default": "(see text)"},
    )
    redirected_is_missing: bool = Field(
        default=False,
        description="A redirect of a page to another host than these means that there is no such project, as with "
        "registries that redirect for projects that they do not have. Otherwise it is an error, and a group goes on to "
        "its next member only for projects that are not pinned to this one.",
    )

    @field_validator("index", mode="before")
    @classmethod
    def _check_index(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever stands in the file
        wrong = whole_address(value, info.data.get("url")) if isinstance(value, str) else None
        if wrong is not None:
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _check_default_index(self) -> Self:
        """The default of `index` is refused where it cannot be meant; an `index` that is written is never refused."""
        if self.kind == "projects" and "index" not in self.model_fields_set:
            wrong = index_refusal(self.url)
            if wrong is not None:
                raise ValueError(wrong)
        return self

    @property
    def doubt(self) -> str | None:
        """What is odd about the entry, and may yet be meant; it is said at the start."""
        if self.kind == "flat":
            return None
        return index_doubt(self.url, self.index, given="index" in self.model_fields_set)

    @field_validator("credentials")
    @classmethod
    def _check_credentials(cls, value: str) -> str:
        """The message does not show the value: it may be a password in the wrong place."""
        if not _CREDENTIALS.fullmatch(value):
            raise ValueError("must be netrc, or env: and the name of a variable, such as env:CORP_INDEX")
        return value

    @field_validator("host_credentials", mode="before")
    @classmethod
    def _check_host_credentials(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
        """Checked before the library does so: its message would show the entry, which may be a password."""
        if not isinstance(value, dict):
            return value
        if not all(isinstance(source, str) and source and _CREDENTIALS.fullmatch(source) for source in value.values()):
            raise ValueError("must have netrc, or env: and the name of a variable, for each host")
        return dict(zip(map(check_host, value), value.values(), strict=True))

    @property
    def authenticated(self) -> bool:
        """Whether it has credentials, for whatever host."""
        return bool(self.credentials or self.host_credentials)

    def site(self, *, shadows: bool = False, known: frozenset[str] = frozenset()) -> Site:
        """The upstream as the services see it.

        `shadows`: a group takes its projects from no other member. `known`: further hosts with credentials.
        """
        alone = self.authenticated or shadows or bool(self.page_hosts)
        # A netrc file has no ports: its entry for the host of `url` does not count for another port of that host.
        host = address_text.bracketed(address_text.origin(self.url)[1])
        others = {entry for entry in known if entry in self.host_credentials or not f"{entry}:".startswith(f"{host}:")}
        return Site(
            self.mount,
            self.url,
            folder_path(self.index),
            self.ttl,
            self.hosts,
            flat=self.kind == "flat",
            siblings=self.siblings,
            volatile=tuple(map(folder_path, self.volatile)),
            keep_removed=self.keep_removed,
            honour_no_store=self.honour_no_store,
            forbidden_is_missing=self.forbidden_is_missing,
            own=frozenset((*_authorities(self.url, *self.siblings), *self.page_hosts, *others)) if alone else None,
            redirected_is_missing=self.redirected_is_missing,
            authenticated=self.authenticated,
        )


def _authorities(*bases: str) -> Iterator[str]:
    """The hosts of base addresses with their ports; for plain HTTP that of HTTPS, too, since servers redirect there."""
    for base in bases:
        scheme, host, port = address_text.origin(base)
        yield f"{address_text.bracketed(host)}:{port}"
        if (scheme, port) == ("http", PORTS["http"]):
            yield f"{address_text.bracketed(host)}:{PORTS['https']}"


def repeated(names: list[str]) -> list[str]:
    """Names that occur more than once, in the order of their second occurrence."""
    return list(dict.fromkeys(name for place, name in enumerate(names) if name in names[:place]))


def twice(mount: str) -> str:
    """The text for a mount that two entries have."""
    return f"mount {mount} is there twice; each upstream and group needs a mount of its own"
