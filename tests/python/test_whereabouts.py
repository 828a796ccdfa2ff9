"""What is learnt of where an index has its files and pages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.model import Entry, Site, Target, Validator
from proxy.python.routes import page_key
from proxy.python.whereabouts import _FRONTS, _HOSTS, Whereabouts
from tests.memory_store import MemoryStore, stored

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
PLAIN = Site("plain", "http://index.local:8080/", "simple/", 600.0, frozenset({"forge.local:8081", "forge.local"}))
NAME = "demo-1.0.tar.gz"


def about(*sites: Site, store: MemoryStore | None = None) -> Whereabouts:
    """What is known of these sites at the start."""
    return Whereabouts({site.mount: site for site in sites}, store or MemoryStore())


def urls(known: Whereabouts, host: str | None, site: Site = PLAIN) -> list[str]:
    """Where a file on a host may be."""
    return [location.url for location in known.locations(Target(site.mount, host, f"a/{NAME}"), site)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (None, [f"http://index.local:8080/a/{NAME}"]),
        ("files.example", [f"https://files.example/a/{NAME}"]),
        ("files.example:80", [f"http://files.example/a/{NAME}"]),
        ("files.example:8443", [f"https://files.example:8443/a/{NAME}"]),
        ("forge.local", [f"https://forge.local/a/{NAME}"]),
        ("forge.local:8081", [f"https://forge.local:8081/a/{NAME}", f"http://forge.local:8081/a/{NAME}"]),
    ],
)
def test_places__of_what_was_never_linked(host: str | None, expected: list[str]) -> None:
    """By https, unless the port says otherwise; a host that a plain index's settings name with its port, by either."""
    assert expected == urls(about(PLAIN), host)


def test_places__of_an_index_that_is_read_by_https() -> None:
    """Whoever can break https gets no file by plain http."""
    site = replace(PLAIN, base="https://index.local/")
    assert [f"https://forge.local:8081/a/{NAME}"] == urls(about(site), "forge.local:8081", site)


def test_places__by_the_scheme_of_a_link() -> None:
    """What a page linked to is fetched as the page says."""
    known = about(SITE, PLAIN)
    known.linked(SITE, "files.example:8081", f"http://files.example:8081/b/{NAME}")
    assert [f"http://files.example:8081/a/{NAME}"] == urls(known, "files.example:8081", SITE)
    assert [f"https://files.example:8081/a/{NAME}"] == urls(known, "files.example:8081")  # another index's word


def test_places__by_the_scheme_of_another_mount() -> None:
    """The settings say how that host is spoken to."""
    assert [f"http://index.local:8080/a/{NAME}"] == urls(about(SITE, PLAIN), "index.local:8080", SITE)


def test_knows__own_linked_and_named_hosts() -> None:
    """And no other; what a page of one index links to says nothing of another's."""
    known = about(SITE, PLAIN)
    known.linked(SITE, "files.example", "https://files.example/x")
    hosts = (None, "files.example", "files.example:8443", "forge.local", "index.local:8080", "index.local")
    assert [True, True, False, False, True, False] == [known.knows(Target("pypi", at, NAME), SITE) for at in hosts]
    assert [True, False, False, True, True, False] == [known.knows(Target("plain", at, NAME), PLAIN) for at in hosts]


def test_knows__no_more_than_the_bases() -> None:
    """What lies beside a base is not open, which one may be told by credentials: an index is seldom all of its host."""
    known = about(SITE, replace(PLAIN, base="https://forge.example/api/packages/"))
    paths = ("api/packages/demo-1.0.tar.gz", "api/packages", "api/user/demo-1.0.tar.gz", "demo-1.0.tar.gz")
    assert [True, False, False, False] == [known.knows(Target("pypi", "forge.example", path), SITE) for path in paths]


def test_fronts__the_last_one_first() -> None:
    """Folders in which pages of projects were found; not those of flat pages."""
    known = about(SITE)
    for project, path in (("a", "x/a/"), ("b", "y/b/"), ("c", "x/c/"), ("", "z/"), ("d", "z/not-d/"), ("e", "e/")):
        known.found(SITE, project, path)
    assert ["", "x/", "y/"] == known.fronts(SITE)


async def test_fronts__of_an_earlier_run() -> None:
    """Kept pages tell where pages are."""
    store = MemoryStore()
    blob = await stored(store, b"page")
    for key in (page_key("pypi", "a", "x/a/"), page_key("other", "b", "y/b/"), page_key("pypi", "", "z/")):
        await store.save(Entry(key, "", blob.digest, blob.size, "", Validator(), 0.0, 0.0))
    assert ["x/"] == about(SITE, store=store).fronts(SITE)


def test_whereabouts__are_bounded() -> None:
    """Whatever pages say, little is remembered."""
    known = about(SITE)
    for number in range(2 * _HOSTS):
        known.linked(SITE, f"h{number}.example", "https://x/")
        known.found(SITE, "a", f"{number}/a/")
    assert (_HOSTS, _FRONTS) == (len(known._hosts["pypi"]), len(known.fronts(SITE)))
    assert known.knows(Target("pypi", f"h{2 * _HOSTS - 1}.example", NAME), SITE)
