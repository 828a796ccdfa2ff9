"""`proxy.upstream.parent`: where a parent has things, and what its own refusals mean."""

from __future__ import annotations

import pytest

from proxy.config.proxies import Proxy
from proxy.errors import NotAllowed, ParentOffline, UpstreamUnreachable
from proxy.model import Site
from proxy.python.urls import path_on_cache
from proxy.upstream.parent import Parent

HUB = "http://hub.example:3142"
INDEX = Site("corp", "https://index.example/base/", "simple/", 600.0)
ARCHIVE = Site("apt", "", "", 20.0, named=False)
PARENT = Parent(HUB, "cache-1", path_on_cache)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://index.example/base/simple/demo/", "/corp/simple/demo/"),
        ("https://index.example/base/a%2Bb.whl", "/corp/a%2Bb.whl"),
        ("https://index.example/other/a.whl", "/corp/~files/index.example/other/a.whl"),
        ("https://files.example/p/a.whl?token=1", "/corp/~files/files.example/p/a.whl"),
        ("https://files.example/p/a.whl.metadata?waited=2", "/corp/~files/files.example/p/a.whl.metadata?waited=2"),
        ("http://files.example/p/a.whl", "/corp/~files/files.example:80/p/a.whl"),
        ("https://[::1]:8443/a.whl", "/corp/~files/%5B::1%5D:8443/a.whl"),
        (f"{HUB}/corp/get/%2Bname/a.whl", "/corp/get/%2Bname/a.whl"),
        (f"{HUB}/other/a.whl", "/corp/~files/hub.example:3142/other/a.whl"),
    ],
)
def test_place__of_an_index(url: str, path: str) -> None:
    """At the same mount; an address that is below it at the parent already stays, one of another mount does not."""
    assert HUB + path == str(PARENT.place(url, INDEX))


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://deb.example/debian/dists/stable/InRelease", "/deb.example/debian/dists/stable/InRelease"),
        ("https://deb.example/debian/a%7eb.deb", "/HTTPS///deb.example/debian/a%7eb.deb"),
        ("http://deb.example:8080/a.deb", "/deb.example:8080/a.deb"),
        ("http://mirror/debian/a.deb", "/mirror:80/debian/a.deb"),
        ("https://mirror/debian/a.deb", "/HTTPS///mirror:443/debian/a.deb"),
        ("http://[::1]/a.deb", "/[::1]/a.deb"),
    ],
)
def test_place__of_an_archive(url: str, path: str) -> None:
    """In prefix form, spelt as the client spelt it; a name without a dot gets its port, or it would be a mount."""
    assert HUB + path == str(PARENT.place(url, ARCHIVE))


def test_place__without_an_address() -> None:
    """A file that no path on a cache stands for."""
    with pytest.raises(NotAllowed, match="parent"):
        PARENT.place("ftp://files.example/a.whl", INDEX)


def test_refusal() -> None:
    """An offline parent, and a circle; all other answers may be upstream's."""
    offline = {"cache-status": "pullthrough; detail=offline"}
    assert isinstance(PARENT.refusal(404, offline), ParentOffline)
    assert isinstance(PARENT.refusal(508, {}), UpstreamUnreachable)
    assert [None, None, None] == [PARENT.refusal(404, {}), PARENT.refusal(200, offline), PARENT.refusal(502, {})]


def test_proxy() -> None:
    """Tunnels go through it."""
    assert Proxy(HUB, "`parent` in the settings") == PARENT.proxy("-", "https://files.example/")


def test_asked() -> None:
    """The parent gets this cache's name, and those of caches that ask it, so that it finds its own in a circle."""
    parent = Parent(HUB, "pullthrough-00000000", path_on_cache)
    assert {"Via": "1.1 pullthrough-00000000"} == parent.headers
    parent.asked(["1.1 pullthrough-0a0a0a0a, 1.1 squid", "1.1 pullthrough-0b0b0b0b"])
    parent.asked(["1.1 pullthrough-0a0a0a0a"])
    assert {"Via": "1.1 pullthrough-0b0b0b0b, 1.1 pullthrough-0a0a0a0a, 1.1 pullthrough-00000000"} == parent.headers
