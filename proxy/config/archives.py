"""The settings of apt archives. `settings` includes them; the composition root makes the archives' policy of them."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from proxy.config.hosts import ListedHosts
from proxy.config.quantities import Duration

_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?",
)
_FIELD = re.compile(r"[!-~](?:[ -~]{0,254}[!-~])?")  # RFC 9110 §5.5, without what is obsolete
_PATTERN = re.compile(r"[^\x00-\x20\x7f\\/][^\x00-\x1f\x7f\\]*")


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


class AptSettings(BaseModel):
    """Which archives are served, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: frozenset[str] = Field(
        frozenset(),
        description="Hosts (`host` or `host:port`) of the archives that are served; with none named, all at public "
        "addresses. A host at a private address, or a port other than 80 and 443, must be named. On the command line "
        "and in the environment: with commas between them.",
    )
    paths: frozenset[str] = Field(
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
        if not _FIELD.fullmatch(value):
            raise ValueError("must be words in one line of ASCII, such as those of the default")
        return value

    @field_validator("hosts", "paths", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:  # noqa: ANN401 - whatever stands in the environment
        """A flag or a variable holds the list as one text."""
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: frozenset[str]) -> frozenset[str]:
        hosts = frozenset(host.lower() for host in value)
        if not all(map(_HOST.fullmatch, hosts)):
            # Not shown: somebody who writes more than a host may have written a password too.
            raise ValueError("must be names of hosts such as deb.example or 10.0.0.7:8080, without a scheme or path")
        return hosts

    @field_validator("paths")
    @classmethod
    def _check_paths(cls, value: frozenset[str]) -> frozenset[str]:
        wrong = sorted(pattern for pattern in value if not _PATTERN.fullmatch(pattern))
        if wrong:
            raise ValueError("must be patterns of paths without a slash at their front, such as ubuntu/isos/*.iso")
        return value
