"""Addresses as people write them in the settings; tables of single base addresses are in test_upstreams."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config.addresses import (
    UrlPrefix,
    check_base,
    check_cache,
    check_folder,
    folder_path,
    index_doubt,
    index_refusal,
    whole_address,
)
from proxy.config.upstreams import UpstreamSettings
from proxy.model import Site
from proxy.python import addresses, urls

letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\")
segment = st.text(letters, min_size=1, max_size=6).filter(lambda text: text not in {".", ".."})
below = segment.filter(lambda text: text not in {addresses.MARKER, addresses.EARLIER_MARKER})  # they lie beside it
written = st.one_of(
    segment.map(lambda text: quote(text, safe="")),
    segment.map(lambda text: quote(text, safe="!$&'()*+,;=:@~")),
    st.sampled_from(["group%2Fproject", "~me", "@scope", "a+b", "c:d", ""]),
)
hosts = st.sampled_from(
    ["index.example", "Index.Example:8443", "[::1]", "[2001:DB8::1]:81", "bücher.example", "10.0.0.7"]
)


@settings(deadline=None)
@given(st.sampled_from(["http", "https"]), hosts, st.lists(written, max_size=4), st.booleans(), below)
def test_check_base__any_legal_form(scheme: str, host: str, parts: list[str], slash: bool, name: str) -> None:
    """Every legal form is taken; what lies below is found to lie there, and is asked for there."""
    base = check_base(f"{scheme}://{host}/{'/'.join(parts)}{'/' if slash else ''}")
    assert base.isascii()
    assert base.endswith("/")
    assert base == check_base(base)
    site = Site("m", base, "", 1.0)
    target = urls.locate(base + quote(name), site)
    assert target.host is None
    assert f"{base}{quote(name)}" == urls.upstream_url(target, site)


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        ("", ""),
        ("http://Hub.example:3142", "http://hub.example:3142"),
        ("http://hub.example:80/", "http://hub.example"),
        ("https://[::1]:3142/", "https://[::1]:3142"),
    ],
)
def test_check_cache(text: str, parent: str) -> None:
    """Scheme, host and port; none is empty."""
    assert parent == check_cache(text)


@pytest.mark.parametrize("text", ["hub.example:3142", "http://hub.example/cache/", "http://me:pw@hub.example"])
def test_check_cache__malformed(text: str) -> None:
    """No path, no user, and the scheme is written out."""
    with pytest.raises(ValueError, match="must"):
        check_cache(text)


@given(st.lists(written.filter(bool), max_size=4))
def test_check_folder__any_legal_form(parts: list[str]) -> None:
    """A folder is taken as it is written, and is the beginning of the addresses below it."""
    folder = check_folder("/".join(parts))
    path = addresses.parse(f"/m/{folder}demo/", {"m"}).path
    assert path == f"{folder_path(folder)}demo/" or "+" in folder_path(folder)  # the sign of the cache's own marks


@pytest.mark.parametrize(
    ("text", "shown", "authorities"),
    [
        ("Deb.Example", "deb.example/", {"deb.example:80", "deb.example:443"}),
        ("deb.example/", "deb.example/", {"deb.example:80", "deb.example:443"}),
        ("deb.example.:443/a", "https://deb.example/a/", {"deb.example:443"}),
        ("deb.example:80", "http://deb.example/", {"deb.example:80"}),
        ("10.0.0.7:8080/a/b", "10.0.0.7:8080/a/b/", {"10.0.0.7:8080"}),
        ("https://deb.example:443/a%2Bb/", "https://deb.example/a%2Bb/", {"deb.example:443"}),
        ("http://[2001:DB8::1]:81", "http://[2001:db8::1]:81/", {"[2001:db8::1]:81"}),
        ("HTTPS://deb.example", "https://deb.example/", {"deb.example:443"}),
    ],
)
def test_url_prefix(text: str, shown: str, authorities: set[str]) -> None:
    """One spelling, that is read back to the same."""
    prefix = UrlPrefix.read(text)

    assert (shown, frozenset(authorities)) == (str(prefix), prefix.authorities)
    assert prefix == UrlPrefix.read(shown)


@pytest.mark.parametrize(
    "text",
    ["", "/a", "ftp://deb.example", "user:hunter2@deb.example", "https://user:hunter2@deb.example/a", "deb.example?a=b",
     "deb.example/../a", "a b", "deb.example:0", "deb.example:99999", "http://", "a..b"],
)  # fmt: skip
def test_url_prefix__malformed(text: str) -> None:
    """What is refused is not shown: a password may stand in it."""
    with pytest.raises(ValueError, match=r".") as refused:
        UrlPrefix.read(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("prefix", "url", "expected"),
    [
        ("deb.example", "http://deb.example/a", True),
        ("deb.example", "https://deb.example./a", True),
        ("deb.example", "https://deb.example:443/a", True),
        ("deb.example", "http://deb.example:8080/a", False),
        ("deb.example", "http://other.example/a", False),
        ("deb.example", "http://sub.deb.example/a", False),
        ("deb.example/a", "http://deb.example/a/b", True),
        ("deb.example/a", "http://deb.example/ab", False),
        ("deb.example/a", "http://deb.example/a", False),
        ("deb.example/a+b", "http://deb.example/a%2bb/c", True),
        ("deb.example:8080", "http://deb.example:8080/a", True),
        ("deb.example:8080", "https://deb.example:8080/a", True),
        ("https://deb.example", "http://deb.example/a", False),
        ("https://deb.example", "https://deb.example/a", True),
        ("http://deb.example", "https://deb.example/a", True),
        ("http://deb.example:8080", "https://deb.example:8080/a", False),
        ("http://deb.example:8080", "https://deb.example/a", False),
        ("[2001:db8::1]", "http://[2001:db8::1]/a", True),
    ],
)
def test_url_prefix__covers(prefix: str, url: str, expected: bool) -> None:
    """Below it is what begins with it, segment by segment, at the same host and port."""
    assert expected == UrlPrefix.read(prefix).covers_url(url)


_FOLDERS = st.lists(
    st.sampled_from(["simple", "+simple", "Simple", "whl", "root", "pypi", "cu126", "tokentoken"]), max_size=5
)


def _entry(**given: Any) -> UpstreamSettings:
    return UpstreamSettings(mount="house", **given)


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        ("https://index.example/simple/", ['index = ""', 'url = "https://index.example/"', 'index = "simple/"']),
        ("https://index.example/simple", ['index = ""', 'url = "https://index.example/"', 'index = "simple/"']),
        ("http://index.example:8080/simple/", ['index = ""', 'url = "http://index.example:8080/"']),
        ("https://index.example/repository/pypi-all/simple", ['index = ""', "take simple/ off its end"]),
        (
            "https://index.example/root/pypi/+simple/",
            ['index = ""', 'take +simple/ off its end and write index = "+si'],
        ),
        ("https://index.example/Simple/", ['index = ""', 'url = "https://index.example/" and write index = "Simple/"']),
    ],
)
def test_url__ends_in_the_index(url: str, lines: list[str]) -> None:
    """It is refused with the lines to write, whatever the folder's name and with or without a slash."""
    with pytest.raises(ValidationError) as caught:
        _entry(url=url)

    (detail,) = caught.value.errors()
    assert [] == [line for line in lines if line not in detail["msg"]]


@pytest.mark.parametrize(
    "given",
    [
        {"url": "https://index.example/"},
        {"url": "https://index.example/root/pypi/", "index": "+simple/"},
        {"url": "https://index.example/simple/", "index": ""},
        {"url": "https://index.example/whl/", "index": "cu126/"},
        {"url": "https://index.example/repository/pypi-all/"},
        {"url": "https://index.example/simplest/"},
        {"url": "https://index.example/simple/", "kind": "flat"},
        {"url": "https://index.example/whl/", "kind": "flat"},
    ],
    ids=str,
)
def test_entry__as_it_is_meant(given: dict[str, Any]) -> None:
    """Of a base and a path that fit each other nothing is said."""
    assert _entry(**given).doubt is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"url": "https://index.example/simple/", "index": "simple/"}, 'index = ""'),
        ({"url": "https://index.example/whl", "index": "whl"}, 'index = ""'),
        ({"url": "https://index.example/root/pypi/", "index": "root/pypi/+simple/"}, 'index = "+simple/"'),
        ({"url": "https://index.example/simple/requests/"}, "name of a project, end it before that"),
        ({"url": "https://index.example/simple/requests/", "index": "simple/"}, "name of a project"),
        ({"url": "https://index.example/whl/cu126/"}, 'index = ""'),
        ({"url": "https://index.example/whl/cu126/", "index": "simple/"}, 'index = ""'),
    ],
    ids=str,
)
def test_entry__that_is_odd(given: dict[str, Any], line: str) -> None:
    """What may be meant is accepted, with a line that says what to write."""
    said = _entry(**given).doubt

    assert said is not None
    assert line in said


@given(_FOLDERS, _FOLDERS, st.booleans())
def test_texts__show_no_path(folders: list[str], further: list[str], given: bool) -> None:
    """Nothing that is said shows more of a base's path than the folders in question: the rest may be a token."""
    url = "/".join(["https://index.example", *folders, ""])
    index = "".join(f"{folder}/" for folder in further if folder != "tokentoken")

    assert "tokentoken" not in (index_refusal(url) or "")
    assert "tokentoken" not in (index_doubt(url, index, given=given) or "")


@given(_FOLDERS, _FOLDERS)
def test_doubt__none_where_the_index_is_empty(folders: list[str], further: list[str]) -> None:
    """The line that is offered ends the matter: an empty index is never doubtful, nor is any below a bare host."""
    url = "/".join(["https://index.example", *folders, ""])

    assert index_doubt(url, "", given=True) is None
    assert index_doubt("https://index.example/", "".join(f"{folder}/" for folder in further), given=True) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("https://index.example/simple/", 'write index = "simple/"'),
        ("HTTPS://Index.Example/simple", 'write index = "simple/"'),
        ("https://index.example", 'write index = ""'),
        ("https://other.example/simple/", 'such as index = "simple/"'),
        ("https://user:hunter2@index.example/simple/", 'such as index = "simple/"'),
        ("https://[hunter2/simple/", 'such as index = "simple/"'),
        ("https://hunter2\u2100.example/", 'such as index = "simple/"'),
    ],
)
def test_index__a_whole_address(value: str, said: str) -> None:
    """It is refused by the name of its key; below the base, with the path to write. No host or password is shown."""
    with pytest.raises(ValidationError) as caught:
        _entry(url="https://index.example/", index=value)

    (detail,) = caught.value.errors()
    assert ("index",) == detail["loc"]
    assert said in detail["msg"]
    assert "hunter2" not in detail["msg"]


def test_whole_address__a_path() -> None:
    """A path is none."""
    assert whole_address("simple/", "https://index.example/") is None
