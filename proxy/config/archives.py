"""The settings of apt archives: those of all, and those of single ones. `app` makes the archives' policy of them."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from proxy.config.addresses import UrlPrefix
from proxy.config.field_types import Duration, ListedHosts, ListedPatterns, Patterns

_FIELD = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")  # RFC 9110 §5.5, without what is obsolete
_CREDENTIALS = re.compile(r"|netrc|env:[A-Za-z_][A-Za-z0-9_]*|auth\.conf(?::[^\x00-\x1f\x7f]+)?")


MOUNT = "apt"  # stands for all archives in credentials, metrics and logs; no upstream may have it

# Publishers of packages that apt reaches by https only, and the hosts of changelogs and of apt-listbugs. Each serves
# downloads and nothing else.
TUNNELS = frozenset(
    {
        "apt.llvm.org",
        "apt.repos.intel.com",
        "bugs.debian.org",
        "changelogs.ubuntu.com",
        "developer.download.nvidia.com",
        "download.docker.com",
        "metadata.ftp-master.debian.org",
        "packages.microsoft.com",
        "repo.radeon.com",
    }
)

USER_AGENT = "Debian APT-HTTP/1.3 (2.6.1) pullthrough"


class ArchiveSettings(BaseModel):
    """One archive, or all archives below one address."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(
        description="Address of the archive, or what the addresses of several begin with: a host, `host:port` or "
        "`host/path`, for http and https, or with `http://` or `https://` in front for one of them. The longest entry "
        "for an address counts. The host may have a private address and any port. It is served in addition to "
        "`apt.hosts`, but only below the path."
    )
    credentials: str = Field(
        "",
        description="Source of user name and password. `env:NAME`, a variable that holds `user:password`. "
        "`netrc`, the file that `$NETRC` names, else `~/.netrc`. `auth.conf`, apt's own files `/etc/apt/auth.conf` and "
        "`/etc/apt/auth.conf.d`, or `auth.conf:` and the path of a file or folder of that form. They are read again "
        "when the archive refuses them. They are sent over plain HTTP only if `url`, or the entry of `auth.conf`, "
        "begins with `http://`. All clients of the cache get the files of this archive.",
    )
    client_credentials: bool = Field(
        default=False,
        description="Whether the credentials of a client (`Authorization`) are passed on: `true` or `false`. The "
        "response is not cached, and no other client gets it.",
    )
    paths: Patterns = Field(
        frozenset(),
        description="Patterns of further paths below `url` that are served, beside those that apt requests, such as "
        "`*.json`.",
    )
    window: Duration | None = Field(
        None,
        description="How long a Release file counts as fresh here, instead of `apt.window`.",
        json_schema_extra={"shown_default": "`apt.window`"},
    )
    user_agent: str = Field(
        "",
        description="The `User-Agent` of requests to it, instead of `apt.user_agent`.",
        json_schema_extra={"shown_default": "`apt.user_agent`"},
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return str(UrlPrefix.read(value))

    @field_validator("credentials")
    @classmethod
    def _check_credentials(cls, value: str) -> str:
        """The message does not show the value: it may be a password in the wrong place."""
        if not _CREDENTIALS.fullmatch(value):
            raise ValueError(
                "must be netrc, auth.conf, auth.conf: and a path, or env: and the name of a variable, such as "
                "env:CORP_APT"
            )
        return value

    @field_validator("user_agent")
    @classmethod
    def _check_user_agent(cls, value: str) -> str:
        return check_field(value) if value else value

    @property
    def prefix(self) -> UrlPrefix:
        """The prefix of its addresses."""
        return UrlPrefix.read(self.url)


def check_field(value: str) -> str:
    """A value of a header field. Raises ValueError."""
    if not _FIELD.fullmatch(value):
        raise ValueError("must be words in one line of ASCII, such as those of the default")
    return value


class AptSettings(BaseModel):
    """Which archives are served, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: ListedHosts = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) of the archives that are served; if empty, all at public addresses. "
        "A host at a private address, or a port other than 80 and 443, must be listed. A flag or a variable has commas "
        "between them.",
    )
    paths: ListedPatterns = Field(
        frozenset(),
        description="Patterns of further paths that are served, beside those that apt requests, such as "
        "`ubuntu/isos/*.iso`.",
    )
    window: Duration = Field(
        20.0,
        description="How long a Release file counts as fresh; the next request after that revalidates it.",
    )
    serve_expired: bool = Field(
        default=False,
        description="Whether a suite is served after its `Valid-Until` while upstream is down: `true` or `false`.",
    )
    tunnels: ListedHosts = Field(
        TUNNELS,
        description="Hosts (`host`, or `host:port` for another port than 443) to which a client may open a tunnel with "
        "CONNECT, as apt does for `https://` sources. What passes through a tunnel is not cached. A host that is added "
        "here may have a private address.",
    )
    user_agent: str = Field(
        USER_AGENT,
        description="The `User-Agent` of requests to archives. Some admit only apt, so it begins as apt's own.",
    )
    announce: bool = Field(
        default=False,
        description="Whether to announce the cache on the local network (DNS-SD, `_apt_proxy._tcp`), where clients "
        "with squid-deb-proxy-client find it. Needs the extra `pullthrough[announce]`.",
    )

    @field_validator("user_agent")
    @classmethod
    def _check_user_agent(cls, value: str) -> str:
        return check_field(value)
