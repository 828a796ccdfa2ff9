"""Addresses of proxies: what is read, what is refused, and that neither shows a secret."""

from __future__ import annotations

import base64
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config.proxies import Proxy, ProxyForAll, ProxyForOne, read_proxy

_FOR_ALL: TypeAdapter[Any] = TypeAdapter(ProxyForAll)
_FOR_ONE: TypeAdapter[Any] = TypeAdapter(ProxyForOne)


def basic(pair: str) -> str:
    """The header's value (RFC 7617)."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        (Proxy("http://proxy.example:3128"), "http://proxy.example:3128"),
        (Proxy("https://[::1]:3128", "somewhere", "Basic c2VjcmV0"), "https://***@[::1]:3128"),
    ],
)
def test_proxy__for_people(proxy: Proxy, shown: str) -> None:
    """It is shown without what it is sent, but so that one sees that it is sent something."""
    assert shown == str(proxy)
    assert "c2VjcmV0" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    ("text", "url", "pair"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("  http://proxy.example:3128/ ", "http://proxy.example:3128", None),
        ("HTTP://Proxy.Example:3128", "http://proxy.example:3128", None),
        ("proxy.example:3128", "http://proxy.example:3128", None),
        ("user:password@proxy.example:3128", "http://proxy.example:3128", "user:password"),
        ("http://proxy.example", "http://proxy.example:80", None),
        ("https://proxy.example", "https://proxy.example:443", None),
        ("http://127.0.0.1:3128", "http://127.0.0.1:3128", None),
        ("http://[::1]:3128", "http://[::1]:3128", None),
        ("http://user:password@[FD00::1]:3128", "http://[fd00::1]:3128", "user:password"),
        ("http://user@proxy.example:1", "http://proxy.example:1", "user:"),
        ("http://:token@proxy.example:1", "http://proxy.example:1", ":token"),
        ("http://user:@proxy.example:1", "http://proxy.example:1", "user:"),
        ("http://us%40er:p%3a%2F%25%20w@proxy.example:1", "http://proxy.example:1", "us@er:p:/% w"),
        ("http://us@er:p@ss@proxy.example:1", "http://proxy.example:1", "us@er:p@ss"),
        ("http://user:a:b@proxy.example:1", "http://proxy.example:1", "user:a:b"),
        ("http://%C3%BCser:p%C3%A4ss@proxy.example:1", "http://proxy.example:1", "üser:päss"),
        ("http://üser:päss@proxy.example:1", "http://proxy.example:1", "üser:päss"),
        (r"http://corp\user:password@proxy.example:1", "http://proxy.example:1", r"corp\user:password"),
    ],
)
def test_read__address(text: str, url: str, pair: str | None) -> None:
    """Scheme, host and port in one spelling; user and password decoded."""
    proxy = read_proxy(text)

    assert (url, basic(pair) if pair is not None else None) == (proxy.url, proxy.authorization)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("http://", "must be an address"),
        ("http://user:hunter2@", "must be an address"),
        ("http://user:hunter2@proxy.example:0", "must be an address"),
        ("http://user:hunter2@proxy.example:99999", "must be an address"),
        ("http://user:hunter2@proxy.example:port", "must be an address"),
        ("http://user:hunter2@proxy example:1", "without spaces"),
        ("http://user:hunter2@proxy.example:1\r\nX: y", "without spaces"),
        ("http://user:hun/ter2@proxy.example:1", "%2F"),
        ("http://user:12/hunter2@proxy.example:1", "%2F"),
        ("http://user:hunter2#@proxy.example:1", "%23"),
        ("http://user:12?hunter2@proxy.example:1", "%3F"),
        ("http://user:hunter2@proxy.example:1/path", "nothing after the port"),
        ("ftp://user:hunter2@proxy.example:1", "must be an address"),
        ("socks5://user:hunter2@proxy.example:1080", "SOCKS"),
        ("socks5h://proxy.example:1080", "SOCKS"),
        ("SOCKS4://proxy.example", "SOCKS"),
        ("http://***@proxy.example:1", "write them again"),
        ("http://***:***@proxy.example:1", "write them again"),
        ("hunter2", ""),
    ],
)
def test_read__refused(text: str, word: str) -> None:
    """What is no address of a proxy is refused with what to do, and not shown."""
    if not word:
        assert "http://hunter2:80" == read_proxy(text).url  # a name alone is a host
        return
    with pytest.raises(ValueError, match=word) as caught:
        read_proxy(text)
    shown = "".join(traceback.format_exception(caught.value)[-1:])
    assert not [secret for secret in ("hunter2", "ter2", "user:12") if secret in shown]


@pytest.mark.parametrize(
    ("adapter", "value", "expected"),
    [
        (_FOR_ALL, "direct", "direct"),
        (_FOR_ALL, " Direct ", "direct"),
        (_FOR_ALL, "", "direct"),
        (_FOR_ALL, "environment", "environment"),
        (_FOR_ALL, None, "environment"),
        (_FOR_ALL, "http://a.example:1", Proxy("http://a.example:1")),
        (_FOR_ONE, "direct", "direct"),
        (_FOR_ONE, "", "direct"),
        (_FOR_ONE, None, None),
        (_FOR_ONE, "a.example:1", Proxy("http://a.example:1")),
        (_FOR_ONE, Proxy("http://a.example:1"), Proxy("http://a.example:1")),
    ],
)
def test_setting__words(adapter: TypeAdapter[Any], value: Any, expected: object) -> None:
    """A proxy, or one of a few words; nothing means none."""
    assert expected == adapter.validate_python(value)


@pytest.mark.parametrize(
    ("adapter", "value", "said"),
    [
        (_FOR_ALL, "none", "direct or environment"),
        (_FOR_ALL, "Off", "direct or environment"),
        (_FOR_ONE, "false", "or direct"),
        (_FOR_ONE, "environment", "or direct"),
    ],
)
def test_setting__other_words(adapter: TypeAdapter[Any], value: str, said: str) -> None:
    """What is hardly the name of a host is not taken for one: the message names the words that there are."""
    with pytest.raises(ValidationError, match=said):
        adapter.validate_python(value)


@pytest.mark.parametrize("value", [7, True, ["http://a.example"], {"http": "a"}])
def test_setting__no_text(value: Any) -> None:
    """Anything but a text is refused."""
    with pytest.raises(ValidationError, match="text in quotes"):
        _FOR_ALL.validate_python(value)


_SECRET = st.text(min_size=8, max_size=40)


@given(user=_SECRET, password=_SECRET)
@example(user="user:name", password="p@ss/w?rd#%00")
def test_read__any_user_and_password(user: str, password: str) -> None:
    """Percent-encoded, any user and any password arrive as they are, and are shown nowhere."""
    proxy = read_proxy(f"http://{quote(user, safe='')}:{quote(password, safe='')}@proxy.example:3128")

    assert basic(f"{user}:{password}") == proxy.authorization
    shown = f"{proxy!r} {proxy}"
    assert not [secret for secret in (user, password, quote(password, safe=""), basic(user)[6:]) if secret in shown]
