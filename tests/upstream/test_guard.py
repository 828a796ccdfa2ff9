"""The guard: which hosts and addresses are open to whom."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from yarl import URL

from proxy.errors import NotAllowed
from proxy.model import Site
from proxy.upstream.guard import GuardedResolver, Trust, admit, forbidden, host_of, private

SITE = Site("demo", "http://10.1.2.3:8080/", "simple/", 600.0)
CLOSED = Site("demo", "https://index.example/", "", 600.0, frozenset({"Files.Example", "10.9.9.9:81", "[::1]"}))


class Fixed(AbstractResolver):
    """Resolves every name to the same addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=a, port=port, family=0, proto=0, flags=0) for a in self.addresses]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",  # Teredo for 127.0.0.1
        "no address",
    ],
)
def test_private__address_of_a_closed_range_in_any_form(address: str) -> None:
    """Whatever leads to this machine or its network is private, however it is written."""
    assert private(address)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.1",
        "198.51.100.7",
        "203.0.113.9",
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "2002:808:808::1",
    ],
)
def test_private__public_and_documentation_addresses(address: str) -> None:
    """Public addresses are open, and so are the documentation ranges that some networks use for registries."""
    assert not private(address)


@given(st.ip_addresses(v=4))
def test_private__ipv4_inside_ipv6_is_judged_alike(address: object) -> None:
    """Mapping an address into IPv6 neither opens nor closes it."""
    assert private(str(address)) == private(f"::ffff:{address}") == private(f"64:ff9b::{address}")


def test_forbidden__metadata_but_not_the_local_network() -> None:
    """No name may lead to a metadata service; a named host may be at home."""
    assert [forbidden(address) for address in ("169.254.169.254", "fd00:ec2::254", "127.0.0.1", "192.168.0.9")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("url", "trust"),
    [
        ("http://10.1.2.3:8080/simple/", Trust.NAMED),
        ("https://files.example/x", Trust.OPEN),
        ("http://203.0.113.5/x", Trust.OPEN),
    ],
)
def test_admit__site_without_hosts(url: str, trust: Trust) -> None:
    """The base's host is named at its port, every public one is open."""
    assert trust is admit(URL(url), SITE, redirected=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.4/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.1.2.3]/",
        "http://169.254.169.254/latest/",
        "http://2130706433/",
        "http://127.1/",
        "http://017700000001/",
        "http://0x0a.1.2.4/",
        "http://0xA010204:8080/",
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_admit__private_address_that_nobody_named(url: str, redirected: bool) -> None:
    """An address of this network is refused, by a link and by a redirect."""
    with pytest.raises(NotAllowed):
        admit(URL(url), SITE, redirected=redirected)


@pytest.mark.parametrize(
    "url",
    [
        "https://FILES.example./x",
        "http://files.example:99/x",
        "http://10.9.9.9:81/x",
        "http://[::1]/",
        "https://index.example/",
    ],
)
def test_admit__host_of_the_list(url: str) -> None:
    """A listed host is named on all ports, unless the entry has a port."""
    assert admit(URL(url), CLOSED, redirected=False) is Trust.NAMED


@pytest.mark.parametrize(
    "url", ["https://other.example/", "http://10.9.9.9:82/", "http://10.9.9.9/", "https://x.files.example/"]
)
def test_admit__host_beside_the_list(url: str) -> None:
    """Where hosts are listed no other may be asked."""
    with pytest.raises(NotAllowed):
        admit(URL(url), CLOSED, redirected=False)


@pytest.mark.parametrize("hosts", [frozenset(), frozenset({"files.example"})])
def test_admit__siblings(hosts: frozenset[str]) -> None:
    """A host that the settings name as a sibling is named like the base's, private or not, beside a list or without."""
    site = structs.replace(SITE, hosts=hosts, siblings=("https://Mirror.example/a/", "http://10.1.2.9:8080/"))
    named = ("https://mirror.example/b/x", "http://10.1.2.9:8080/x", "http://10.1.2.3:8080/x")
    assert [Trust.NAMED] * 3 == [admit(URL(url), site, redirected=False) for url in named]
    with pytest.raises(NotAllowed):
        admit(URL("http://10.1.2.10/x"), site, redirected=False)
    with pytest.raises(NotAllowed):
        admit(URL("http://10.1.2.9:8080/x"), structs.replace(site, siblings=()), redirected=False)


def site_at(base: str, *siblings: str, hosts: frozenset[str] = frozenset()) -> Site:
    """A site with these bases and hosts."""
    return Site("demo", base, "simple/", 600.0, hosts, siblings=siblings)


@pytest.mark.parametrize(
    ("site", "url"),
    [
        (site_at("http://127.0.0.1:8080/"), "http://127.0.0.1:8081/x"),
        (site_at("http://127.0.0.1:8080/"), "http://127.0.0.1/x"),
        (site_at("http://127.0.0.1/"), "https://127.0.0.1/x"),
        (site_at("https://127.0.0.1/"), "http://127.0.0.1/x"),
        (site_at("http://[::1]:8080/"), "http://[::1]:8081/x"),
        (site_at("http://[::1]:8080/"), "http://[0:0:0:0:0:0:0:1]:8081/x"),
        (site_at("http://localhost:8080/"), "http://localhost:8081/x"),
        (site_at("http://index.example/"), "http://INDEX.example.:6379/x"),
        (site_at("http://index.example/", "http://10.0.0.9:81/"), "http://10.0.0.9:82/x"),
        (site_at("http://index.example/", "http://10.0.0.9:81/"), "http://10.0.0.9/x"),
        (site_at("http://index.example/", hosts=frozenset({"10.0.0.9:81"})), "http://10.0.0.9:82/x"),
        (site_at("http://index.example/", hosts=frozenset({"files.example:8081"})), "http://files.example:8082/x"),
        (Site("apt", "", "", 20.0, frozenset({"10.0.0.9"}), named=False), "http://10.0.0.9:8081/x"),
        (Site("apt", "", "", 20.0, frozenset({"deb.example"}), named=False), "http://deb.example:8081/x"),
        (Site("apt", "", "", 20.0, frozenset({"10.0.0.9:8080"}), named=False), "http://10.0.0.9:8081/x"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_admit__another_port_of_a_host_that_is_named(site: Site, url: str, redirected: bool) -> None:
    """Neither a link nor a redirect leads to what else listens on an upstream's host."""
    with pytest.raises(NotAllowed):
        admit(URL(url), site, redirected=redirected)


@pytest.mark.parametrize(
    ("site", "url"),
    [
        (site_at("http://127.0.0.1/"), "http://127.0.0.1:80/x"),
        (site_at("http://127.0.0.1:80/"), "http://127.0.0.1/x"),
        (site_at("https://[::1]/"), "https://[::1]:443/x"),
        (site_at("https://Index.example./"), "https://INDEX.example:443/x"),
        (site_at("https://index.example/", "http://10.0.0.9:81/"), "http://10.0.0.9:81/x"),
        (site_at("http://127.0.0.1:8080/", hosts=frozenset({"127.0.0.1:8081"})), "http://127.0.0.1:8081/x"),
        (site_at("http://127.0.0.1:8080/", hosts=frozenset({"127.0.0.1"})), "http://127.0.0.1:8081/x"),
        (site_at("http://index.example/", hosts=frozenset({"[::1]:8081"})), "http://[::1]:8081/x"),
        (site_at("http://index.example/", hosts=frozenset({"10.0.0.9:443"})), "https://10.0.0.9/x"),
        (Site("apt", "", "", 20.0, frozenset({"10.0.0.9"}), named=False), "https://10.0.0.9/x"),
        (Site("apt", "", "", 20.0, frozenset({"10.0.0.9:8080"}), named=False), "http://10.0.0.9:8080/x"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_admit__port_that_is_named(site: Site, url: str, redirected: bool) -> None:
    """The base's own port, and those of the list, however they are written; a listed host has all its ports."""
    assert admit(URL(url), site, redirected=redirected) is Trust.NAMED


@pytest.mark.parametrize(
    ("url", "redirected"),
    [
        ("https://index.example/x", True),
        ("https://index.example/x", False),
        ("http://files.example:8081/x", False),
        ("http://files.example:8081/x", True),
    ],
)
def test_admit__public_host_at_another_port(url: str, redirected: bool) -> None:
    """An upstream that moved to https is followed, and any other host may have any port, if its address is public."""
    assert admit(URL(url), site_at("http://index.example/"), redirected=redirected) is Trust.OPEN


@given(st.integers(1, 65535), st.integers(1, 65535), st.booleans())
def test_admit__ports_of_a_private_host(own: int, other: int, redirected: bool) -> None:
    """Of a host at a private address the port of the base is open, and no other."""
    site, url = site_at(f"http://10.1.2.3:{own}/"), URL(f"http://10.1.2.3:{other}/x")
    if own == other:
        assert admit(url, site, redirected=redirected) is Trust.NAMED
    else:
        with pytest.raises(NotAllowed):
            admit(url, site, redirected=redirected)


def test_admit__hosts_of_its_own_pages() -> None:
    """A host whose pages the settings take for the index's own is named, and closes nothing."""
    site = structs.replace(
        site_at("https://index.example/"), own=frozenset({"index.example:443", "10.0.0.9:81", "pages.corp"})
    )
    for url in ("http://10.0.0.9:81/x", "https://pages.corp/x", "http://pages.corp:8080/x"):
        assert admit(URL(url), site, redirected=True) is Trust.NAMED
    assert admit(URL("https://files.example/x"), site, redirected=False) is Trust.OPEN
    with pytest.raises(NotAllowed):
        admit(URL("http://10.0.0.9:82/x"), site, redirected=True)


def test_admit__siblings_close_nothing() -> None:
    """A sibling is one more host; it does not make a list of hosts of what was open."""
    site = structs.replace(SITE, siblings=("https://mirror.example/",))
    assert admit(URL("https://files.example/x"), site, redirected=False) is Trust.OPEN


def test_admit__redirect_beyond_the_list() -> None:
    """A redirect may lead to any public host, as those of file stores do."""
    assert admit(URL("https://cdn.example/x"), CLOSED, redirected=True) is Trust.OPEN


@pytest.mark.parametrize("url", ["http://[fe80::1%25eth0]/", "http://a b/", "http://ex_ämple/", "/path"])
def test_host_of__no_plain_host(url: str) -> None:
    """What is neither a plain name nor an address is refused."""
    with pytest.raises(NotAllowed):
        host_of(URL(url, encoded=True))


async def test_resolver__mixed_addresses() -> None:
    """Of the addresses of a name only the open ones are dialled."""
    resolver = GuardedResolver(Fixed("127.0.0.1", "203.0.113.1", "::1"), private)
    assert [result["host"] for result in await resolver.resolve("two.example", 80)] == ["203.0.113.1"]


async def test_resolver__private_addresses_only() -> None:
    """A public name with nothing but private addresses is refused."""
    with pytest.raises(NotAllowed):
        await GuardedResolver(Fixed("127.0.0.1", "10.0.0.1"), private).resolve("rebound.example", 80)


CAME = Site("apt", "", "", 20.0, named=False)  # with a request


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.deb", "http://[::1]/a.deb", "https://10.0.0.1/a.deb"])
def test_admit__host_that_came_with_a_request(url: str) -> None:
    """Where the settings name no host, none may be private."""
    with pytest.raises(NotAllowed):
        admit(URL(url), CAME, redirected=False)


def test_admit__host_that_came_with_a_request_and_is_listed() -> None:
    """Public hosts are open; with a list, those in it are named, and no other is asked."""
    closed = structs.replace(CAME, hosts=frozenset({"10.0.0.1:8080"}))

    assert Trust.OPEN is admit(URL("http://deb.example/a.deb"), CAME, redirected=False)
    assert Trust.NAMED is admit(URL("http://10.0.0.1:8080/a.deb"), closed, redirected=False)
    for url in ("http://10.0.0.1/a.deb", "http://deb.example/a.deb"):
        with pytest.raises(NotAllowed):
            admit(URL(url), closed, redirected=False)
