"""Which pages may list a file, by where indexes put them, and which hosts have files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.model import Site, Target
from proxy.python.layouts import _HOSTS, MOST, FileHosts, likely_pages

SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
TORCH = Site("pytorch", "https://download.example/", "whl/", 600.0)
BARE = Site("bare", "https://index.example/", "", 600.0)
FLAT = Site("flat", "https://flat.example/", "", 600.0, flat=True)
SDIST = "demo-1.0.tar.gz"
CUDA = "demo-2.0+cu126-cp312-none-linux_x86_64.whl"


def paths(target: Target, site: Site, *folders: str) -> list[str]:
    """Where the pages are that may list a file of the project `demo`."""
    return [page.path for page in likely_pages(target, site, "demo", folders)]


@pytest.mark.parametrize(
    ("site", "path", "pages"),
    [
        # PyPI: files are elsewhere, pages below simple/
        (SITE, f"packages/{SDIST}", ["simple/demo/"]),
        (SITE, f"other/demo/{SDIST}", ["simple/demo/"]),
        # PyTorch: files lie beside the folders of the pages of their channel
        (TORCH, f"whl/cu126/{CUDA}", ["whl/cu126/demo/", "whl/demo/"]),
        (
            TORCH,
            f"whl/nightly/{CUDA}",
            ["whl/nightly/demo/", "whl/cu126/demo/", "whl/nightly/cu126/demo/", "whl/demo/"],
        ),
        (TORCH, "whl/demo-2.0-cp312-none-linux_x86_64.whl", ["whl/demo/"]),
        (TORCH, "whl/nightly/cpu/demo-2.0.dev1-cp312-none-any.whl", ["whl/nightly/cpu/demo/", "whl/demo/"]),
        # NVIDIA: files lie beside their page
        (BARE, f"demo/{SDIST}", ["demo/", "demo/simple/demo/", "simple/demo/"]),
        (BARE, SDIST, ["demo/", "simple/demo/"]),
        (BARE, f"not-demo/{SDIST}", ["not-demo/demo/", "demo/", "not-demo/simple/demo/", "simple/demo/"]),
        # AWS's and Anaconda's: a folder for each version below the page
        (SITE, f"simple/demo/1.0/{SDIST}", ["simple/demo/"]),
        # Flat: the folder that it lies in, or the page called as that, or the one at the base
        (FLAT, f"a/b/{SDIST}", ["a/b/", "a/b.html", "a/b/index.html", ""]),
        (FLAT, SDIST, [""]),
        (structs.replace(FLAT, index="simple/"), f"a/{SDIST}", ["a/", "a.html", "a/index.html", ""]),
    ],
)
def test_likely_pages__below_the_mount(site: Site, path: str, pages: list[str]) -> None:
    """The likeliest first."""
    assert pages == paths(Target(site.mount, None, path), site)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        (f"root/pypi/+f/ab/cdef/{SDIST}", "root/pypi/+simple/demo/"),
        (f"repository/internal/packages/demo/1.0/{SDIST}", "repository/internal/simple/demo/"),
        (f"api/v4/projects/1/packages/pypi/files/0123abcd/{SDIST}", "api/v4/projects/1/packages/pypi/simple/demo/"),
        (f"python/demo/{SDIST}", "python/simple/demo/"),
        (f"pypi/download/demo/1.0/{SDIST}", "pypi/simple/demo/"),
        (f"simple/demo/1.0/{SDIST}", "simple/demo/"),
    ],
    ids=["devpi", "Nexus", "GitLab", "Google", "Azure", "AWS"],
)
def test_likely_pages__of_registries(path: str, page: str) -> None:
    """Where the settings do not say below what the pages are, the forms of the registries are tried."""
    assert page in paths(Target("bare", None, path), BARE)


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        (CUDA, "cu126"),
        ("demo-2.0+cpu-cp312-none-any.whl", "cpu"),
        ("demo-2.0+rocm6.4-cp312-none-any.whl", "rocm6.4"),
        ("demo-2.0+rocm6_4-cp312-none-any.whl", "rocm6.4"),
        ("demo-2.0+cu129.tar.gz", "cu129"),
    ],
)
def test_likely_pages__of_a_channel(name: str, channel: str) -> None:
    """A file on another host tells its channel by its local version."""
    assert [f"whl/{channel}/demo/", "whl/demo/"] == paths(Target("pytorch", "forge.example", f"v1/{name}"), TORCH)


def test_likely_pages__beside_those_of_other_projects() -> None:
    """Where pages of others were found, this one's may be, too."""
    target = Target("pytorch", "forge.example", f"v1/{SDIST}")
    assert ["whl/demo/", "whl/cu129/demo/", "whl/cpu/demo/"] == paths(target, TORCH, "whl/cu129/", "whl/", "whl/cpu/")


def test_likely_pages__on_a_mirror_with_the_same_paths() -> None:
    """Another host's folders count where they are called as those of the index."""
    target = Target("pytorch", "r2.example", "whl/cu126/demo-2.0-cp312-none-any.whl")
    assert ["whl/cu126/demo/", "whl/demo/"] == paths(target, TORCH)
    assert ["demo/"] == paths(structs.replace(target, mount="bare"), BARE)
    sibling = structs.replace(BARE, base="https://download.example/whl/", siblings=("https://r2.example/whl/",))
    assert "cu126/demo/" == paths(structs.replace(target, mount="bare"), sibling)[0]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "demo", "+f", "simple", "1.0"]), max_size=12),
    st.sampled_from([SITE, TORCH, BARE, FLAT]),
    st.sampled_from([None, "files.example"]),
    st.sampled_from([SDIST, CUDA]),
)
def test_likely_pages__are_few_and_below_the_index(folders: list[str], site: Site, host: str | None, name: str) -> None:
    """Nobody can make the cache ask for many pages, or for one outside the index, or twice for one."""
    pages = likely_pages(Target(site.mount, host, "/".join((*folders, name))), site, "demo", ("whl/cu129/", "x/"))
    assert len(pages) <= MOST
    assert len(pages) == len({page.path for page in pages})
    assert all(site.flat or page.path.startswith(site.index) for page in pages)
    assert {"" if site.flat else "demo"} == {page.project for page in pages}


# On which hosts files are

PLAIN = Site("plain", "http://index.local:8080/", "simple/", 600.0, frozenset({"forge.local:8081", "forge.local"}))


def about(*sites: Site) -> FileHosts:
    """What is known of these sites at the start."""
    return FileHosts({site.mount: site for site in sites})


def urls(known: FileHosts, host: str | None, site: Site = PLAIN) -> list[str]:
    """Where a file on a host may be."""
    return [location.url for location in known.locations(Target(site.mount, host, f"a/{SDIST}"), site)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (None, [f"http://index.local:8080/a/{SDIST}"]),
        ("files.example", [f"https://files.example/a/{SDIST}"]),
        ("files.example:80", [f"http://files.example/a/{SDIST}"]),
        ("files.example:8443", [f"https://files.example:8443/a/{SDIST}"]),
        ("forge.local", [f"https://forge.local/a/{SDIST}"]),
        ("forge.local:8081", [f"https://forge.local:8081/a/{SDIST}", f"http://forge.local:8081/a/{SDIST}"]),
    ],
)
def test_places__of_what_was_never_linked(host: str | None, expected: list[str]) -> None:
    """By https, unless the port says otherwise; a host that a plain index's settings name with its port, by either."""
    assert expected == urls(about(PLAIN), host)


def test_places__of_an_index_that_is_read_by_https() -> None:
    """Whoever can break https gets no file by plain http."""
    site = structs.replace(PLAIN, base="https://index.local/")
    assert [f"https://forge.local:8081/a/{SDIST}"] == urls(about(site), "forge.local:8081", site)


def test_places__by_the_scheme_of_a_link() -> None:
    """What a page linked to is fetched as the page says."""
    known = about(SITE, PLAIN)
    known.linked(SITE, "files.example:8081", f"http://files.example:8081/b/{SDIST}")
    assert [f"http://files.example:8081/a/{SDIST}"] == urls(known, "files.example:8081", SITE)
    assert [f"https://files.example:8081/a/{SDIST}"] == urls(known, "files.example:8081")  # another index's word


def test_places__by_the_scheme_of_another_mount() -> None:
    """The settings say how that host is spoken to."""
    assert [f"http://index.local:8080/a/{SDIST}"] == urls(about(SITE, PLAIN), "index.local:8080", SITE)


def test_knows__own_linked_and_named_hosts() -> None:
    """And no other; what a page of one index links to says nothing of another's."""
    known = about(SITE, PLAIN)
    known.linked(SITE, "files.example", "https://files.example/x")
    hosts = (None, "files.example", "files.example:8443", "forge.local", "index.local:8080", "index.local")
    assert [True, True, False, False, True, False] == [known.knows(Target("pypi", at, SDIST), SITE) for at in hosts]
    assert [True, False, False, True, True, False] == [known.knows(Target("plain", at, SDIST), PLAIN) for at in hosts]


def test_knows__no_more_than_the_bases() -> None:
    """What lies beside a base is not open, which one may be told by credentials: an index is seldom all of its host."""
    known = about(SITE, structs.replace(PLAIN, base="https://forge.example/api/packages/"))
    paths = ("api/packages/demo-1.0.tar.gz", "api/packages", "api/user/demo-1.0.tar.gz", "demo-1.0.tar.gz")
    assert [True, False, False, False] == [known.knows(Target("pypi", "forge.example", path), SITE) for path in paths]


def test_hosts__are_bounded() -> None:
    """Whatever pages say, little is remembered."""
    known = about(SITE)
    for number in range(2 * _HOSTS):
        known.linked(SITE, f"h{number}.example", "https://x/")
    assert _HOSTS == len(known._hosts["pypi"])
    assert known.knows(Target("pypi", f"h{2 * _HOSTS - 1}.example", SDIST), SITE)
