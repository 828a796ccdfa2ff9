"""Addresses of upstreams as people write them; tables of single forms are in test_upstreams."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.addresses import check_base, check_folder, folder_path
from proxy.model import Site
from proxy.python import addresses

letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\")
segment = st.text(letters, min_size=1, max_size=6).filter(lambda text: text not in {".", ".."})
written = st.one_of(
    segment.map(lambda text: quote(text, safe="")),
    segment.map(lambda text: quote(text, safe="!$&'()*+,;=:@~")),
    st.sampled_from(["group%2Fproject", "~me", "@scope", "a+b", "c:d", ""]),
)
hosts = st.sampled_from(
    ["index.example", "Index.Example:8443", "[::1]", "[2001:DB8::1]:81", "bücher.example", "10.0.0.7"]
)


@settings(deadline=None)
@given(st.sampled_from(["http", "https"]), hosts, st.lists(written, max_size=4), st.booleans(), segment)
def test_check_base__any_legal_form(scheme: str, host: str, parts: list[str], slash: bool, name: str) -> None:
    """Every legal form is taken; what lies below is found to lie there, and is asked for there."""
    base = check_base(f"{scheme}://{host}/{'/'.join(parts)}{'/' if slash else ''}")
    assert base.isascii()
    assert base.endswith("/")
    assert base == check_base(base)
    site = Site("m", base, "", 1.0)
    target = addresses.locate(base + quote(name), site)
    assert target.host is None
    assert f"{base}{quote(name)}" == addresses.upstream_url(target, site)


@given(st.lists(written.filter(bool), max_size=4))
def test_check_folder__any_legal_form(parts: list[str]) -> None:
    """A folder is taken as it is written, and is the beginning of the addresses below it."""
    folder = check_folder("/".join(parts))
    path = addresses.parse(f"/m/{folder}demo/", {"m"}).path
    assert path == f"{folder_path(folder)}demo/" or "+" in folder_path(folder)  # the sign of the cache's own marks
