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

RESERVED = ("api", "apt", "healthz", "metrics", "readyz")  # the program's own pages

MOUNT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_CREDENTIALS = re.compile(r"|netrc|env:[A-Za-z_][A-Za-z0-9_]*")


def _check_mount(value: str) -> str:
    if not MOUNT.fullmatch(value):
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
    ttl: Duration = Field(600.0, description="How long a page counts as fresh; after that upstream is asked again.")
    hosts: Hosts = Field(
        frozenset(),
        description="Hosts (`host`, with all its ports, or `host:port`) to which its pages may link. Hosts that its "
        "pages link to are learnt by themselves; a host at a private or loopback address must be named here, and so "
        "must another port of the host of `url`.",
    )
    siblings: tuple[Base, ...] = Field(
        (),
        description="Base addresses that have the same files under the same paths as `url`: a file whose hash is "
        "known is fetched from there when its host fails.",
    )
    credentials: str = Field(
        "",
        description="Where user name and password come from. `env:NAME`, a variable that holds `user:password`: for "
        "the host of `url`, and no other. `netrc`, the file that `$NETRC` names, else `~/.netrc`: for the host of "
        "`url`, and for those in `siblings`, `hosts` and `page_hosts` for which the file has an entry. They are read "
        "again when upstream refuses them, and are sent over plain HTTP only where `url` itself is plain HTTP.",
    )
    host_credentials: dict[str, str] = Field(
        default_factory=dict,
        description="Where those for further hosts come from: a host (`host` or `host:port`) and, as for "
        '`credentials`, `env:NAME` or `netrc`; as in `{"files.example" = "env:FILES"}`.',
        json_schema_extra={"shown_default": "(none)"},
    )
    proxy: ProxyForOne = Field(
        None,
        repr=False,
        description="Proxy through which this upstream is reached, instead of the one for all; `direct` for none. "
        "`NO_PROXY` does not count for it.",
        json_schema_extra={"shown_default": "the one for all"},
    )
    volatile: tuple[Folder, ...] = Field(
        (),
        description="Paths below `url` whose files may be replaced under their names: unless the page has a hash, a "
        "kept file is confirmed with upstream when it is older than `ttl`.",
    )
    keep_removed: bool = Field(
        default=True,
        description="Go on listing files that the cache holds and the index does not list any more, as yanked: an "
        "exact pin still finds them.",
    )
    honour_no_store: bool = Field(
        default=False,
        description="Keep nothing that upstream marks `no-store`. Several public indexes mark all that they have.",
    )

    forbidden_is_missing: bool = Field(
        default=False,
        description="Status 403 always means that there is no such project, as stores of objects say it. Else a group "
        "does not go on to its next member after one. A page that was there before stays as it was, whatever this "
        "says.",
    )
    page_hosts: Hosts = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) whose pages count as this index's own when it redirects to them. "
        "By default those of any host do, but not where the index has `credentials`, or stands in a group before "
        "another one or has projects pinned to it: then only those of the hosts of `url` and `siblings`, and of those "
        "that have credentials of their own.",
        json_schema_extra={"shown_default": "(see text)"},
    )
    redirected_is_missing: bool = Field(
        default=False,
        description="A redirect of a page to any other host than these means that there is no such project, as "
        "registries mean it that forward what they do not have. Else it is an error, and a group goes on to its next "
        "member only for names that are none of those pinned to this one.",
    )

    @field_validator("index", mode="before")
    @classmethod
    def _check_index(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever stands in the file
        wrong = whole_address(value, info.data.get("url")) if isinstance(value, str) else None
        if wrong is not None:
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _check_placement(self) -> Self:
        """An index that was left to its default is refused where it can hardly be meant; what is written stands."""
        if self.kind == "projects" and "index" not in self.model_fields_set:
            wrong = index_refusal(self.url)
            if wrong is not None:
                raise ValueError(wrong)
        return self

    @property
    def doubt(self) -> str | None:
        """What is odd about the entry and may be meant all the same."""
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
        """Looked at before the library does, which would name the entry: a password may stand in it."""
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

        `shadows`: what it has is not taken from other members of a group. `known`: further hosts with credentials.
        """
        alone = self.authenticated or shadows or bool(self.page_hosts)
        # A netrc file knows no ports: what it has for the host of `url` says nothing of another port of that host.
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
            withholds=not self.forbidden_is_missing,
            own=frozenset((*_authorities(self.url, *self.siblings), *self.page_hosts, *others)) if alone else None,
            redirected_is_missing=self.redirected_is_missing,
            authenticated=self.authenticated,
        )


def _authorities(*bases: str) -> Iterator[str]:
    """The hosts of base addresses with their ports; for plain HTTP that of HTTPS too, to which servers redirect."""
    for base in bases:
        scheme, host, port = address_text.origin(base)
        yield f"{address_text.bracketed(host)}:{port}"
        if (scheme, port) == ("http", PORTS["http"]):
            yield f"{address_text.bracketed(host)}:{PORTS['https']}"


def repeated(names: list[str]) -> list[str]:
    """Names that occur more than once, in the order of their second occurrence."""
    return list(dict.fromkeys(name for place, name in enumerate(names) if name in names[:place]))


def twice(mount: str) -> str:
    """What is said of a mount that two entries claim."""
    return f"mount {mount} is there twice; each upstream and group needs a mount of its own"
