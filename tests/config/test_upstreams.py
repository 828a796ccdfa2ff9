"""The upstreams of the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from proxy.config.builtin import builtin
from proxy.config.loading import ConfigError, resolve
from proxy.config.upstreams import UpstreamSettings, repeated
from proxy.model import Site

_DATA = Path("/data")
_URL = "https://index.example/"


def test_builtin__in_order() -> None:
    """PyPI, PyTorch's index with its channels and its second host, NVIDIA's with pages at its root, Astral's."""
    pypi, pytorch, nvidia, astral = (upstream.site() for upstream in builtin())

    assert ("pypi", PYPI_SIMPLE_ENDPOINT) == (pypi.mount, pypi.base + pypi.index)
    assert ("pytorch", "https://download.pytorch.org/", "whl/") == (pytorch.mount, pytorch.base, pytorch.index)
    assert (("https://download-r2.pytorch.org/",), ("whl/nightly/", "whl/test/")) == (
        pytorch.siblings,
        pytorch.volatile,
    )
    assert ("nvidia", "https://pypi.nvidia.com/", "") == (nvidia.mount, nvidia.base, nvidia.index)
    assert ("astral", "https://wheels.astral.sh/", "simple/") == (astral.mount, astral.base, astral.index)


def test_builtin__is_made_of_sound_settings() -> None:
    """No built-in entry has what a person could not write."""
    assert builtin() == tuple(UpstreamSettings(**upstream.model_dump()) for upstream in builtin())


def test_site__has_all_that_is_set() -> None:
    """What the services see is what is written."""
    upstream = UpstreamSettings(
        mount="house",
        url=_URL,
        index="root/",
        kind="flat",
        ttl="5m",
        hosts=["files.example"],
        siblings=["https://mirror.example/a"],
        credentials="env:HOUSE",
        volatile=["nightly", ""],
        keep_removed=False,
        honour_no_store=True,
        forbidden_is_missing=True,
        page_hosts=["pages.example"],
        redirected_is_missing=True,
    )

    assert (
        Site(
            "house",
            _URL,
            "root/",
            300.0,
            frozenset({"files.example"}),
            flat=True,
            siblings=("https://mirror.example/a/",),
            volatile=("nightly/", ""),
            keep_removed=False,
            honour_no_store=True,
            forbidden_is_missing=True,
            own=frozenset({"index.example:443", "mirror.example:443", "pages.example"}),
            redirected_is_missing=True,
            authenticated=True,
        )
        == upstream.site()
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://index.example", "https://index.example/"),
        ("HTTPS://Index.Example/Root", "https://index.example/Root/"),
        ("https://index.example:443/", "https://index.example/"),
        ("http://index.example:80", "http://index.example/"),
        ("http://index.example:443/", "http://index.example:443/"),
        ("http://[::1]:80/a/", "http://[::1]/a/"),
        ("https://[2001:DB8::0:1]:8443/a", "https://[2001:db8::1]:8443/a/"),
        ("https://Index.example./a", "https://index.example/a/"),
        ("https://Bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example:8080", "https://xn--bcher-kva.example:8080/"),
        (
            "https://gitlab.example/api/v4/projects/group%2fproject/packages/pypi",
            "https://gitlab.example/api/v4/projects/group%2Fproject/packages/pypi/",
        ),
        ("https://index.example/~me/@scope/a+b:c/", "https://index.example/~me/@scope/a+b:c/"),
        ("https://index.example//a//b/", "https://index.example//a//b/"),
        ("https://index.example/é/[x]", "https://index.example/%C3%A9/%5Bx%5D/"),
    ],
)
def test_base__in_one_spelling(url: str, expected: str) -> None:
    """A base is spelt as the links of pages are, so that one is known to be below it."""
    given = UpstreamSettings(mount="house", url=url, siblings=[url])

    assert (expected, (expected,)) == (given.url, given.siblings)


@pytest.mark.parametrize(
    "mount", ["", "a.b", "A", "1a", "-a", "a/b", "a_b", "a" * 64, "metrics", "healthz", "readyz", "api"]
)
def test_upstream__bad_mount(mount: str) -> None:
    """A mount is a plain word that is no page of the cache's own and can be no host name."""
    with pytest.raises(ValidationError, match="mount"):
        UpstreamSettings(mount=mount, url="http://index.example/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "index.example",
        "ftp://index.example/",
        "http://",
        "http://index.example:0/",
        "http://index.example:99999/",
        "http://index.example:port/",
        "http://in dex.example/",
        "http://index.example/\r\nX: y",
        "http://index.example\\@other.example/",
        "http://index.example/a/../b/",
        "http://index.example/?token=hunter2",
        "http://index.example/?",
        "http://index.example/#part",
        "http://user:hunter2@index.example/",
        "http://[::1/",
    ],
)
def test_upstream__bad_url(url: str) -> None:
    """Only a plain base address is taken, and what is said never shows a password."""
    with pytest.raises(ValidationError) as caught:
        UpstreamSettings(mount="index", url=url)

    (error,) = caught.value.errors()
    assert ("url",) == error["loc"]
    assert "hunter2" not in error["msg"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://[::1]:8080/a", "http://index.example/whl/cu126/"])
def test_upstream__good_url(url: str) -> None:
    """Addresses with a port, a path or an IPv6 host are taken, and end in a slash."""
    assert f"{url.rstrip('/')}/" == UpstreamSettings(mount="index", url=url).url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://index.example/a b/", "%20"),
        ("http://index.example/a\\b/", "backslashes"),
        ("http://index.example/50%/", "percent-encoding"),
        ("http://index.example/%FF/", "UTF-8"),
        ("http://index.example/%5C/", "backslash"),
        ("http://index.example/%2e%2e/", "dots"),
        ("http://index.example/a%2F../", "dots"),
        ("http://index.example:99999/", "port"),
        ("http://-index.example/", "name"),
        ("http://[fe80::1%25eth0]/", "name"),
        ("http://user@index.example/", "credentials"),
        ("http://index.example/?", "query"),
    ],
)
def test_upstream__bad_url_and_the_reason(url: str, said: str) -> None:
    """What is said tells what to change."""
    with pytest.raises(ValidationError, match=said):
        UpstreamSettings(mount="index", url=url)


@pytest.mark.parametrize(
    "index", ["/simple/", "../simple/", "a//b/", "simple/?x", "a b/", "./", "a%2F../", "%zz/", "a\\b/", "simple/#"]
)
def test_upstream__bad_index(index: str) -> None:
    """The index is a path below the base."""
    with pytest.raises(ValidationError, match="index"):
        UpstreamSettings(mount="index", url="http://index.example/", index=index)


@pytest.mark.parametrize(
    ("index", "path"),
    [
        ("", ""),
        ("simple", "simple/"),
        ("+simple/", "+simple/"),
        ("api/group%2Fproject/simple", "api/group\\project/simple/"),
        ("a%20b/é@x/", "a b/é@x/"),
    ],
)
def test_upstream__path_of_the_index(index: str, path: str) -> None:
    """The services see it decoded, as the addresses that clients ask for; it is shown as it was written."""
    upstream = UpstreamSettings(mount="index", url="http://index.example/", index=index, volatile=[index])
    assert (path, (path,)) == (upstream.site().index, upstream.site().volatile)
    assert index == upstream.index.removesuffix("/") or index == upstream.index


@pytest.mark.parametrize(
    "host", ["", "http://files.example", "files.example/", "a b", "*.example", "user@files.example"]
)
def test_upstream__bad_host(host: str) -> None:
    """Hosts are names, with a port at most."""
    with pytest.raises(ValidationError, match="hosts"):
        UpstreamSettings(mount="index", url="http://index.example/", hosts=frozenset({host}))


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "other"},
        {"siblings": ["mirror.example"]},
        {"siblings": "https://mirror.example/"},
        {"volatile": ["/nightly/"]},
        {"volatile": ["../"]},
        {"keep_removed": "perhaps"},
        {"ttl": -1},
        {"credentials": "env:"},
        {"credentials": "env:a-b"},
        {"credentials": "ENV:HOUSE"},
        {"credentials": "env:HOUSE\n"},
        {"credentials": "netrc "},
    ],
    ids=str,
)
def test_upstream__bad_value(given: dict[str, Any]) -> None:
    """What cannot be meant is refused, by the name of its key."""
    with pytest.raises(ValidationError, match=next(iter(given))):
        UpstreamSettings(mount="house", url=_URL, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "https://user:hunter2@index.example/"},
        {"siblings": ["https://user:hunter2@index.example/"]},
        {"credentials": "user:hunter2"},
        {"credentials": "hunter2"},
        {"hosts": ["user:hunter2@files.example"]},
        {"hosts": ["https://user:hunter2@files.example/"]},
    ],
    ids=str,
)
def test_upstream__password_in_the_wrong_place(tmp_path: Path, given: dict[str, Any]) -> None:
    """It is refused, and nothing that is said shows it."""
    entry = {"mount": "house", "url": _URL} | given

    with pytest.raises(ConfigError) as caught:
        resolve({}, {"HOME": "/h", "PULLTHROUGH_UPSTREAMS": json.dumps([entry])}, tmp_path)

    (line,) = caught.value.errors
    assert line.startswith(f"PULLTHROUGH_UPSTREAMS #1: {next(iter(given))}")
    assert "hunter2" not in line


@pytest.mark.parametrize("credentials", ["", "netrc", "env:HOUSE", "env:_house_2"])
def test_upstream__good_credentials(credentials: str) -> None:
    """None, a variable's name, or the file."""
    assert credentials == UpstreamSettings(mount="house", url=_URL, credentials=credentials).credentials


def test_repeated__names_each_once() -> None:
    """A name that is there three times is named once."""
    assert ["b", "a"] == repeated(["a", "b", "b", "a", "c", "a"])
