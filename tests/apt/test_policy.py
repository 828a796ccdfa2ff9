"""What the settings allow of archives."""

from __future__ import annotations

import pytest

from proxy.apt.addresses import ArchiveAddress
from proxy.apt.paths import Volatile
from proxy.apt.policy import Archive, Policy
from proxy.config.addresses import UrlPrefix
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


def at(path: str, host: str = "deb.example", scheme: str = "http") -> ArchiveAddress:
    """An address."""
    return ArchiveAddress(scheme, host, path)


def test_classify__patterns() -> None:
    """Patterns open paths beside those of archives, and never a folder."""
    policy = Policy(patterns=("isos/*.iso", "all/*"))

    assert Volatile() == policy.classify(at("isos/a.iso"))
    assert Volatile() == policy.classify(at("all/a/b"))
    for path in ("isos/a.txt", "other/a.iso", "all/", ""):
        with pytest.raises(NotAllowed):
            policy.classify(at(path))


def test_archive_of__the_longest() -> None:
    """Of several entries the one counts that says most of the address."""
    prefixes = ["deb.example", "deb.example/a", "https://deb.example/a", "deb.example/a/b"]
    archives = {text: Archive(UrlPrefix.read(text), agent=text) for text in prefixes}
    policy = Policy(archives=tuple(archives.values()))
    expected = {
        at("x"): "deb.example",
        at("a/x"): "deb.example/a",
        at("a/x", scheme="https"): "https://deb.example/a",
        at("a/b/x", scheme="https"): "deb.example/a/b",
        at("x", "other.example"): None,
        at("x", "deb.example:8080"): None,
    }
    for address, text in expected.items():
        assert (archives[text] if text else None) == policy.archive_of(address)


def test_archive__what_it_says() -> None:
    """Its host is named, whatever its port and whoever else is; its window, its agent, its paths are its own."""
    prefix = UrlPrefix.read("10.0.0.7:8080/debian")
    own = Archive(prefix, authenticated=True, patterns=("*.json",), window=5.0, agent="corp")
    policy = Policy(frozenset({"deb.example"}), window=20.0, agent="apt", archives=(own,))
    address = at("debian/a/x.json", "10.0.0.7:8080")

    policy.admit(address)
    site = policy.site_of(address)
    assert (5.0, frozenset({"deb.example", "10.0.0.7:8080"}), "corp", True) == (
        site.ttl,
        site.hosts,
        site.agent,
        site.authenticated,
    )
    assert Volatile() == policy.classify(address)
    other = policy.site_of(at("x"))
    assert (20.0, frozenset({"deb.example"}), "apt", False) == (
        other.ttl,
        other.hosts,
        other.agent,
        other.authenticated,
    )
    for stranger in (at("other/x.deb", "10.0.0.7:8080"), at("debian/x.deb", "10.0.0.7")):
        with pytest.raises(NotAllowed, match=r"apt\.hosts"):
            policy.admit(stranger)
    with pytest.raises(NotAllowed, match=r"apt\.paths"):
        policy.classify(at("debian/x.json"))
