"""The settings of apt archives. `settings` includes them; the composition root makes the archives' policy of them."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from proxy.config.addresses import UrlPrefix
from proxy.config.field_types import Duration, ListedHosts, ListedPatterns, Patterns

_FIELD = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")  # RFC 9110 §5.5, without what is obsolete
_CREDENTIALS = re.compile(r"|netrc|env:[A-Za-z_][A-Za-z0-9_]*|auth\.conf(?::[^\x00-\x1f\x7f]+)?")


MOUNT = "apt"  # what credentials, metrics and logs call all archives together; never a mount

# Publishers of packages for apt that are reached by https only, and where apt finds changelogs and apt-listbugs bugs.
# Each serves downloads and nothing else.
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
    """What is said of one archive, or of all below one address."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(
        description="Address of the archive, or what the addresses of several begin with: a host, `host:port` or "
        "`host/path`, for http and https, or with `http://` or `https://` in front for one of them. Of several entries "
        "for one address the longest counts. It may have a private address and any port, and is served beside the "
        "hosts of `apt.hosts`, but only below its path."
    )
    credentials: str = Field(
        "",
        description="Where user name and password for it come from. `env:NAME`, a variable that holds `user:password`. "
        "`netrc`, the file that `$NETRC` names, else `~/.netrc`. `auth.conf`, apt's own files `/etc/apt/auth.conf` and "
        "`/etc/apt/auth.conf.d`, or `auth.conf:` and the path of a file or folder of that form. They are read again "
        "when the archive refuses them, and are sent over plain HTTP only where `url` begins with `http://`, or the "
        "entry of `auth.conf` does. Whoever may use the cache gets what they open.",
    )
    client_credentials: bool = Field(
        default=False,
        description="Whether what a client itself says of who it is (`Authorization`) is passed on: `true` or `false`. "
        "Such an answer is not kept, and nobody else gets it.",
    )
    paths: Patterns = Field(
        frozenset(),
        description="Patterns of paths below `url` that are served beside those that apt asks for, such as `*.json`.",
    )
    window: Duration | None = Field(
        None,
        description="How long a Release file counts as fresh here, instead of `apt.window`.",
        json_schema_extra={"shown_default": "`apt.window`"},
    )
    user_agent: str = Field(
        "",
        description="What it is told in `User-Agent`, instead of `apt.user_agent`.",
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
        """What its addresses begin with."""
        return UrlPrefix.read(self.url)


def check_field(value: str) -> str:
    """What may stand in a header field. Raises ValueError."""
    if not _FIELD.fullmatch(value):
        raise ValueError("must be words in one line of ASCII, such as those of the default")
    return value


class AptSettings(BaseModel):
    """Which archives are served, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: ListedHosts = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) of the archives that are served; with none named, all at public "
        "addresses. A host at a private address, or a port other than 80 and 443, must be named. On the command line "
        "and in the environment: with commas between them.",
    )
    paths: ListedPatterns = Field(
        frozenset(),
        description="Patterns (as `ubuntu/isos/*.iso`) of paths that are served beside those that apt asks for.",
    )
    window: Duration = Field(
        20.0,
        description="How long a Release file counts as fresh; after that upstream is asked again by the next client.",
    )
    serve_expired: bool = Field(
        default=False,
        description="Whether a suite is served past its `Valid-Until` when upstream is down: `true` or `false`.",
    )
    tunnels: ListedHosts = Field(
        TUNNELS,
        description="Hosts (`host`, or `host:port` for another port than 443) to which a client may open a tunnel with "
        "CONNECT, as apt does for `https://` sources. What passes through one is not kept. A host that is added here "
        "may have a private address.",
    )
    user_agent: str = Field(
        USER_AGENT,
        description="What archives are told in `User-Agent`. Some let only apt through, so it begins as apt's does.",
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
