"""Absolute addresses upstream."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BadTarget
from proxy.python import urls


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://files.example/a/b.whl", ("https", "files.example", "a/b.whl")),
        ("https://files.example:443/a", ("https", "files.example", "a")),
        ("https://files.example:80/a", ("https", "files.example:80", "a")),
        ("http://files.example/a", ("http", "files.example:80", "a")),
        ("http://files.example:80/a", ("http", "files.example:80", "a")),
        ("http://files.example:443/a", ("http", "files.example:443", "a")),
        ("http://files.example:443/%C3%A9", ("http", "files.example:443", "\u00e9")),
        ("https://FILES.example.:443/%C3%A9", ("https", "files.example", "\u00e9")),
        ("https://files.example/a+b%2Bc?d#e", ("https", "files.example", "a+b+c")),
        ("https://files.example/a//b%2Fc", ("https", "files.example", "a//b\\c")),
        ("https://files.example", ("https", "files.example", "")),
    ],
)
def test_dissect__parts(url: str, parts: tuple[str, str, str]) -> None:
    """Scheme, host with any unusual port, path decoded once."""
    assert parts == urls.dissect(url)


@pytest.mark.parametrize(
    "url", ["https://files.example:0/a", "https://files.example:65536/a", "https:///a", "https://a/../b"]
)
def test_dissect__refused(url: str) -> None:
    """What nobody could ask for."""
    with pytest.raises(BadTarget):
        urls.dissect(url)


hosts = st.sampled_from(["files.example", "files.example:8443", "files.example:80", "[::1]:81", "files.example:443"])
characters = st.characters(exclude_categories=["Cc", "Cs"])
paths = st.lists(st.text(characters, max_size=5).filter(lambda part: part not in (".", "..")), max_size=5).map("/".join)


@settings(deadline=None)
@given(st.sampled_from(["http", "https"]), hosts, paths, st.sampled_from(["", "a=1", "a=%2F+b&c"]))
def test_absolute__inverse_of_dissect(scheme: str, host: str, path: str, query: str) -> None:
    """What is put together comes apart as it was, whatever is in the path."""
    if {".", ".."} & set(path.replace("\\", "/").split("/")):
        return
    url = urls.absolute(scheme, host, path, query)
    assert url.isascii()
    found = host if (scheme, host) != ("https", "files.example:443") else "files.example"
    if scheme == "http" and ":" not in host.rpartition("]")[2]:
        found = f"{host}:80"
    assert (scheme, found, path) == urls.dissect(url)


@given(st.text(st.sampled_from("htps:/.%+2F@[]\\?#\u00e9 a0148"), max_size=40))
def test_plainly__as_the_long_way(text: str) -> None:
    """The quick way gives what the long way gives, for what it takes at all."""
    for url in (f"https://{text}", f"http://files.example{text}"):
        quick = urls.plainly(url)
        if quick is not None:
            assert quick == urls.dissect(url.replace("http", "HTTP", 1))
