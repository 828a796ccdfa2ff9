"""Which requests go through which proxy: settings, variables, and the errors in both."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loading import ConfigError
from proxy.config.proxies import read_proxy
from proxy.config.proxy_selection import KnownProxies, NoProxy
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings

URLS = ("http://index.example/simple/", "https://index.example/simple/")


def settings(**more: Any) -> Settings:
    """Settings with these values."""
    return Settings(data=Path("/data"), **more)


def through(known: KnownProxies, mount: str = "pypi") -> list[str | None]:
    """The host of the proxy for http and for https."""
    proxies = [known.proxy(mount, url) for url in URLS]
    return [proxy.url.removeprefix("http://").removesuffix(":1") if proxy else None for proxy in proxies]


_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@pytest.mark.parametrize("named", [c for n in range(7) for c in itertools.combinations(_VARIABLES, n)], ids=" ".join)
def test_environment__every_combination(named: tuple[str, ...]) -> None:
    """Lower case wins over upper case, the scheme's own variable over the one for all."""
    known = KnownProxies.find(settings(), {name: f"http://{name}.example:1" for name in named})

    orders = [_VARIABLES[:2] + _VARIABLES[4:], _VARIABLES[2:]]
    expected = [next((f"{name.lower()}.example" for name in order if name in named), None) for order in orders]
    # Hosts are compared in lower case: which spelling it was says the source.
    assert expected == through(known)
    first = [next((f"the variable {name}" for name in order if name in named), None) for order in orders]
    assert first == [proxy and proxy.source for proxy in (known.proxy("pypi", url) for url in URLS)]


def test_environment__empty_counts_as_unset() -> None:
    """As curl has it: what is empty says nothing."""
    known = KnownProxies.find(
        settings(), {"https_proxy": " ", "HTTPS_PROXY": "http://upper.example:1", "http_proxy": ""}
    )

    assert [None, "upper.example"] == through(known)


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_environment__no_proxy(name: str) -> None:
    """What it covers goes straight, whoever asks for it."""
    known = KnownProxies.find(settings(), {"all_proxy": "http://all.example:1", name: "index.example:80,.corp"})

    assert [None, "all.example"] == through(known)
    assert known.proxy("apt", "https://mirror.corp/dists/") is None


def test_settings__outrank_the_environment() -> None:
    """A proxy of the settings is used for both schemes; what variables name is not even looked at."""
    environ = {"http_proxy": "http://environment.example:1", "https_proxy": "socks5://environment.example:1"}

    assert ["own.example"] * 2 == through(KnownProxies.find(settings(proxy="http://own.example:1"), environ))
    assert [None, None] == through(KnownProxies.find(settings(proxy="direct"), environ))
    assert [None, None] == through(KnownProxies.find(settings(proxy=""), environ))


def test_settings__no_proxy_of_the_environment_counts() -> None:
    """Where hosts are is the network's matter, whoever named the proxy."""
    known = KnownProxies.find(settings(proxy="http://own.example:1"), {"NO_PROXY": "index.example"})

    assert [None, None] == through(known)
    assert known.proxy("pypi", "https://files.example/") is not None


def test_upstream__has_its_own() -> None:
    """An upstream's word is the last one for it, over NO_PROXY too."""
    upstreams = (
        UpstreamSettings(mount="own", url="https://a.example/", proxy="http://user:hunter2@own.example:1"),
        UpstreamSettings(mount="straight", url="https://b.example/", proxy="direct"),
        UpstreamSettings(mount="none", url="https://b.example/", proxy=""),
        UpstreamSettings(mount="usual", url="https://c.example/"),
    )
    known = KnownProxies.find(
        settings(proxy="http://all.example:1", upstreams=upstreams), {"no_proxy": "index.example:443"}
    )

    assert [["own.example"] * 2, [None] * 2, [None] * 2, ["all.example", None], ["all.example", None]] == [
        through(known, mount) for mount in ("own", "straight", "none", "usual", "apt")
    ]
    assert "hunter2" not in f"{known.proxy('own', URLS[0])!r} {upstreams!r} {settings(upstreams=upstreams)!r}"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTPS_PROXY": "socks5://user:hunter2@a.example:1"}, "HTTPS_PROXY: names a SOCKS proxy"),
        ({"all_proxy": "socks5://a.example:1"}, "all_proxy: names a SOCKS proxy"),
        ({"http_proxy": "http://user:hun/ter2@a.example:1"}, "http_proxy: must be an address"),
    ],
)
def test_environment__no_proxy_at_all(environ: dict[str, str], expected: str) -> None:
    """The variable is named once, with what to do; its value is not shown."""
    with pytest.raises(ConfigError) as caught:
        KnownProxies.find(settings(), environ)

    (line,) = caught.value.errors
    assert line.startswith(expected)
    assert "--proxy direct" in line
    assert "ter2" not in line


@pytest.mark.parametrize(
    "environ",
    [
        {"all_proxy": "socks5://a.example:1", "http_proxy": "a.example:1", "https_proxy": "a.example:1"},
        {"all_proxy": "socks5://a.example:1", "no_proxy": "*"},
    ],
)
def test_environment__what_is_not_needed_is_not_judged(environ: dict[str, str]) -> None:
    """A variable that decides nothing stops nobody."""
    KnownProxies.find(settings(), environ)


@pytest.mark.parametrize(
    ("host", "proxy"),
    [
        ("127.0.0.1", "http://127.0.0.1:3142"),
        ("127.0.0.1", "http://localhost:3142/"),
        ("localhost", "127.0.0.1:3142"),
        ("0.0.0.0", "http://127.0.0.1:3142"),
        ("0.0.0.0", "http://127.0.0.9:3142"),
        ("0.0.0.0", "http://0.0.0.0:3142"),
        ("127.0.0.1", "http://0.0.0.0:3142"),
        ("::", "http://[::1]:3142"),
        ("::1", "http://[::1]:3142"),
    ],
)
def test_loop__the_cache_itself(host: str, proxy: str) -> None:
    """A variable that is meant for the cache's clients is left out, and that is said; a setting is refused."""
    known = KnownProxies.find(settings(host=host), {"http_proxy": proxy})

    assert [None, None] == through(known)
    assert ("http_proxy names this cache itself; it is not used to reach upstream",) == known.notes
    upstream = UpstreamSettings(mount="one", url="https://a.example/", proxy=proxy)
    with pytest.raises(ConfigError) as caught:
        KnownProxies.find(settings(host=host, proxy=proxy, parent=read_proxy(proxy).url, upstreams=(upstream,)), {})
    assert [
        "proxy: names this cache itself",
        "proxy of the upstream one: names this cache itself",
        "parent: names this cache itself",
    ] == [line.partition(";")[0] for line in caught.value.errors]


@pytest.mark.parametrize(
    ("host", "port", "proxy"),
    [
        ("127.0.0.1", 3142, "http://127.0.0.1:3128"),
        ("127.0.0.1", 3142, "http://127.0.0.2:3142"),
        ("0.0.0.0", 3142, "http://192.0.2.7:3142"),
        ("127.0.0.1", 0, "http://127.0.0.1:80"),
        ("127.0.0.1", 3142, "http://proxy.invalid:3142"),
    ],
)
def test_loop__another_program(host: str, port: int, proxy: str) -> None:
    """Another port, another address of the machine, another machine, or a name that nobody knows yet."""
    assert KnownProxies.find(settings(host=host, port=port), {"http_proxy": proxy}).proxy("pypi", URLS[0]) is not None


def test_loop__names_are_looked_up_only_for_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that hangs does not hold up a start."""

    def hangs(*_: object, **__: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    assert KnownProxies.find(settings(), {"http_proxy": "http://proxy.example:3128"}).proxy("pypi", URLS[0]) is not None


@pytest.mark.parametrize(
    ("text", "covered", "others"),
    [
        ("", "", "a.example:80 127.0.0.1:80 localhost:80"),
        ("*", "a.example:80 10.0.0.1:443 localhost:1", ""),
        ("a.example, *", "b.example:80", ""),
        (
            "corp.example",
            "corp.example:443 index.corp.example:443 a.b.corp.example:80",
            "notcorp.example:443 corp.example.org:80",
        ),
        (".corp.example", "index.corp.example:443 corp.example:443", "notcorp.example:443"),
        ("*.corp.example", "index.corp.example:443 corp.example:443", "notcorp.example:443"),
        ("CORP.example.", "index.corp.example:80 corp.example.:80", "example:80"),
        ("localhost", "localhost:80 cache.localhost:80", "127.0.0.1:80"),
        ("localhost,127.0.0.1", "127.0.0.1:80 localhost:80", "127.0.0.2:80 ::1:80"),
        ("a.example  b.example,\tc.example,,", "a.example:1 b.example:1 c.example:1", "d.example:1"),
        ("10.0.0.0/8", "10.1.2.3:80", "11.1.2.3:80 ten.example:80"),
        ("10.1.2.3/8", "10.9.9.9:80", "11.1.2.3:80"),
        ("10.1.2.3", "10.1.2.3:80", "10.1.2.30:80 10.1.2.4:80"),
        ("::1", "::1:80", "::2:80"),
        ("[::1]", "::1:80", "::2:80"),
        ("fd00::/8", "fd12::1:443", "fe80::1:443 10.0.0.1:443"),
        ("a.example:8080", "a.example:8080 b.a.example:8080", "a.example:80 a.example:443"),
        ("10.0.0.1:8080", "10.0.0.1:8080", "10.0.0.1:80"),
        ("[::1]:8080", "::1:8080", "::1:80"),
        ("10.0.0.0/8:8080", "10.0.0.1:8080", "10.0.0.1:80"),
        ("*:8080", "a.example:8080", "a.example:80"),
        ("3.4", "", "1.2.3.4:80"),
        ("10.0.0.0/99 http://a.example a.example/x .", "", "10.0.0.1:80 a.example:80 example:80"),
    ],
)
def test_no_proxy(text: str, covered: str, others: str) -> None:
    """Each form covers what it says, and nothing else."""
    no_proxy = NoProxy.read(text)

    for place in covered.split():
        host, _, port = place.rpartition(":")
        assert no_proxy.covers(host, int(port)), place
    for place in others.split():
        host, _, port = place.rpartition(":")
        assert not no_proxy.covers(host, int(port)), place


@pytest.mark.parametrize(
    ("text", "expected"), [("*", True), ("a,*", True), ("*:80", False), ("*.a", False), ("", False)]
)
def test_no_proxy__covers_all(text: str, expected: bool) -> None:
    """A star alone says that there is no proxy."""
    assert expected == NoProxy.read(text).covers_all


@given(st.text(max_size=200), st.text(max_size=50), st.integers(1, 65535))
def test_no_proxy__anything(text: str, host: str, port: int) -> None:
    """The variable is other programs' too: nothing in it is an error here."""
    assert NoProxy.read(text).covers(host, port) in {True, False}
