"""The upstreams and groups of the settings: what each entry holds, and which are built in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from proxy.config import placement
from proxy.config.hosts import HOST, Hosts
from proxy.config.quantities import Duration
from proxy.model import Group, Member, Site

RESERVED = ("api", "apt", "healthz", "metrics", "readyz")  # the program's own pages

_MOUNT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+/)*")
_CREDENTIALS = re.compile(r"|netrc|env:[A-Za-z_][A-Za-z0-9_]*")
_PATTERN = re.compile(r"[A-Za-z0-9.*_-]+")
_SEPARATORS = re.compile(r"[-_.]+")


def _check_mount(value: str) -> str:
    if not _MOUNT.fullmatch(value):
        raise ValueError("must be lower-case letters, digits and hyphens, beginning with a letter, such as pytorch")
    if value in RESERVED:
        raise ValueError(f"{value} is one of the cache's own pages ({', '.join(RESERVED)}); choose another name")
    return value


def _check_base(value: str) -> str:
    """A base address that ends in a slash, spelt as links of pages are: lower-case host, no default port.

    Messages never show the address: it may hold a password.
    """
    wrong = ValueError("must be an address such as https://index.example/, in plain ASCII")
    if not value.isascii() or not value.isprintable() or " " in value or "\\" in value:
        raise wrong
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not HOST.fullmatch(parts.netloc.rpartition("@")[2].lower()):
        raise wrong
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password; see credentials")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or a fragment")
    if port == 0 or {".", ".."} & set(parts.path.split("/")):
        raise wrong
    default = ":80" if parts.scheme == "http" else ":443"
    base = urlunsplit(parts._replace(netloc=parts.netloc.lower().removesuffix(default)))
    return base if base.endswith("/") else f"{base}/"


def _check_path(value: str) -> str:
    path = value if not value or value.endswith("/") else f"{value}/"
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise ValueError("must be a path without a slash at its front, such as simple/, or empty")
    return path


Mount = Annotated[str, AfterValidator(_check_mount)]
Base = Annotated[str, AfterValidator(_check_base)]
Folder = Annotated[str, AfterValidator(_check_path)]
_MOUNT_TEXT = (
    "First part of the addresses on the cache: lower-case letters, digits and hyphens, beginning with a letter. "
    f"Not {', '.join(RESERVED)}."
)


class UpstreamSettings(BaseModel):
    """One upstream and the mount that stands for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mount: Mount = Field(description=_MOUNT_TEXT)
    url: Base = Field(description="Base address that the mount stands for, with `http://` or `https://`.")
    index: Folder = Field(
        placement.DEFAULT,
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
        description="Hosts (`host` or `host:port`) to which its pages may link. Hosts that its pages link to are "
        "learnt by themselves; a host at a private or loopback address must be named here.",
    )
    siblings: tuple[Base, ...] = Field(
        (),
        description="Base addresses that have the same files under the same paths as `url`: a file whose hash is "
        "known is fetched from there when its host fails.",
    )
    credentials: str = Field(
        "",
        description="Where user name and password for `url` come from: `env:NAME`, a variable that holds "
        "`user:password`; or `netrc`, the file that `$NETRC` names, else `~/.netrc`. They are sent to that host only.",
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
        "does not go on to its next member after one.",
    )

    @field_validator("index", mode="before")
    @classmethod
    def _check_index(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever stands in the file
        wrong = placement.whole_address(value, info.data.get("url")) if isinstance(value, str) else None
        if wrong is not None:
            raise ValueError(wrong)
        return value

    @model_validator(mode="after")
    def _check_placement(self) -> Self:
        """An index that was left to its default is refused where it can hardly be meant; what is written stands."""
        if self.kind == "projects" and "index" not in self.model_fields_set:
            wrong = placement.refusal(self.url)
            if wrong is not None:
                raise ValueError(wrong)
        return self

    @property
    def doubt(self) -> str | None:
        """What is odd about the entry and may be meant all the same."""
        if self.kind == "flat":
            return None
        return placement.doubt(self.url, self.index, given="index" in self.model_fields_set)

    @field_validator("credentials")
    @classmethod
    def _check_credentials(cls, value: str) -> str:
        """The message does not show the value: it may be a password in the wrong place."""
        if not _CREDENTIALS.fullmatch(value):
            raise ValueError("must be netrc, or env: and the name of a variable, such as env:CORP_INDEX")
        return value

    def site(self) -> Site:
        """The upstream as the services see it."""
        return Site(
            self.mount,
            self.url,
            self.index,
            self.ttl,
            self.hosts,
            flat=self.kind == "flat",
            siblings=self.siblings,
            volatile=self.volatile,
            keep_removed=self.keep_removed,
            honour_no_store=self.honour_no_store,
            withholds=not self.forbidden_is_missing,
            authenticated=bool(self.credentials),
        )


class GroupSettings(BaseModel):
    """Indexes in order, at one address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mount: Mount = Field(description=f"{_MOUNT_TEXT} The group's pages are at `/<mount>/simple/<project>/`.")
    members: tuple[str, ...] = Field(
        min_length=1,
        description="Mounts in order, or a mount and the path of an index below it (`pytorch/whl/cu126`). For each "
        "project the first that has it answers; their pages are never merged, and one that fails is an error.",
    )
    pins: dict[str, str] = Field(
        default_factory=dict,
        description="Projects that only one member may answer for: a pattern such as `torch*`, and the member.",
        json_schema_extra={"shown_default": "(none)"},
    )

    @field_validator("members")
    @classmethod
    def _check_members(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for member in value:
            mount, _, path = member.partition("/")
            if not _MOUNT.fullmatch(mount):
                raise ValueError("must be mounts, such as pypi or pytorch/whl/cu126")
            _check_path(path)
        return value

    @field_validator("pins")
    @classmethod
    def _check_pins(cls, value: dict[str, str]) -> dict[str, str]:
        if not all(map(_PATTERN.fullmatch, value)):
            raise ValueError("must have names of projects as keys, with a star for any letters: torch*")
        return value

    def group(self, indexes: dict[str, str]) -> Group:
        """The group as the services see it. `indexes`: by mount, the path of its index."""
        members = {text: _member(text, indexes) for text in self.members}
        return Group(
            self.mount,
            tuple(members.values()),
            # PEP 503: in any spelling of a name, as requests are.
            tuple((_SEPARATORS.sub("-", pattern).lower(), members[to]) for pattern, to in self.pins.items()),
        )


def _member(text: str, indexes: dict[str, str]) -> Member:
    mount, slash, path = text.partition("/")
    return Member(mount, _check_path(path) if slash else indexes[mount])


def builtin() -> tuple[UpstreamSettings, ...]:
    """PyPI, PyTorch's index with all its channels, NVIDIA's."""
    # The address is another project's constant: it is written nowhere in this one. Imported late: it brings much along.
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415

    return (
        UpstreamSettings(mount="pypi", url=PYPI_SIMPLE_ENDPOINT.removesuffix("simple/"), index="simple/"),
        UpstreamSettings(
            mount="pytorch",
            url="https://download.pytorch.org/",
            index="whl/",
            siblings=("https://download-r2.pytorch.org/",),
            volatile=("whl/nightly/", "whl/test/"),
            forbidden_is_missing=True,
        ),
        UpstreamSettings(mount="nvidia", url="https://pypi.nvidia.com/", index=""),
    )


def problem(groups: tuple[GroupSettings, ...], upstreams: tuple[UpstreamSettings, ...]) -> str | None:
    """What is wrong with the groups beside these upstreams, the built-in ones included; None if nothing is."""
    mounts = {upstream.mount for upstream in upstreams}
    flat = {upstream.mount for upstream in upstreams if upstream.kind == "flat"}
    for mount in repeated([*sorted(mounts), *(group.mount for group in groups)]):
        return twice(mount)
    for group in groups:
        for member in group.members:
            if member.partition("/")[0] not in mounts:
                return f"{group.mount}: there is no upstream with the mount of {member}; add an [[upstream]] for it"
            if member.partition("/")[0] in flat:
                return f"{group.mount}: {member} is flat: only indexes with a page for each project can be members"
        for pattern, member in group.pins.items():
            if member not in group.members:
                return f"{group.mount}: {pattern} is pinned to {member}, which is not one of its members"
    return None


def repeated(names: list[str]) -> list[str]:
    """Names that occur more than once, in the order of their second occurrence."""
    return list(dict.fromkeys(name for place, name in enumerate(names) if name in names[:place]))


def twice(mount: str) -> str:
    """What is said of a mount that two entries claim."""
    return f"mount {mount} is there twice; each upstream and group needs a mount of its own"
