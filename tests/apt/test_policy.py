"""What the settings allow of archives."""

from __future__ import annotations

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.paths import Volatile
from proxy.apt.policy import Policy
from proxy.errors import NotAllowed


def test_site__trusts_no_host_that_came_with_a_request() -> None:
    """The settings name those hosts only that are in their list."""
    site = Policy(frozenset({"deb.example"}), window=5.0).site_of(ArchiveAddress("http", "deb.example", "a"))

    assert ("apt", False, 5.0, frozenset({"deb.example"})) == (site.mount, site.named, site.ttl, site.hosts)


@pytest.mark.parametrize(
    ("hosts", "scheme", "host"),
    [
        (set(), "http", "any.example"),
        (set(), "https", "any.example"),
        ({"deb.example"}, "http", "deb.example"),
        ({"deb.example:80"}, "http", "deb.example"),
        ({"deb.example:443"}, "https", "deb.example"),
        ({"deb.example:8080"}, "http", "deb.example:8080"),
        ({"[::1]:8080"}, "http", "[::1]:8080"),
    ],
)
def test_admit(hosts: set[str], scheme: str, host: str) -> None:
    """Any host at the usual ports; with a list, those in it."""
    Policy(frozenset(hosts)).admit(ArchiveAddress(scheme, host, "a"))


@pytest.mark.parametrize(
    ("hosts", "scheme", "host"),
    [
        (set(), "http", "any.example:8080"),
        ({"deb.example"}, "http", "deb.example:8080"),
        ({"deb.example"}, "http", "other.example"),
        ({"deb.example:443"}, "http", "deb.example"),
        ({"deb.example:8080"}, "http", "deb.example"),
        ({"deb.example:8080"}, "http", "deb.example:8081"),
    ],
)
def test_admit__refused(hosts: set[str], scheme: str, host: str) -> None:
    """The message names the setting that opens it, and not the host."""
    with pytest.raises(NotAllowed, match=r"apt\.hosts") as refused:
        Policy(frozenset(hosts)).admit(ArchiveAddress(scheme, host, "a"))

    assert "deb.example" not in str(refused.value)


def test_classify__patterns() -> None:
    """Patterns open paths beside those of archives, and never a folder."""
    policy = Policy(patterns=("isos/*.iso", "all/*"))

    assert Volatile() == policy.classify("isos/a.iso")
    assert Volatile() == policy.classify("all/a/b")
    for path in ("isos/a.txt", "other/a.iso", "all/", ""):
        with pytest.raises(NotAllowed):
            policy.classify(path)
