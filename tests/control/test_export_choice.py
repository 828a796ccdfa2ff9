"""Which entries an export takes."""

from __future__ import annotations

import pytest

from proxy.apt import release
from proxy.bundles.contents import Distribution
from proxy.control.export_choice import ExportChoice, PresentSuites, distribution
from proxy.control.export_wish import ExportWish, LockedFile
from proxy.model import Digest, Entry
from tests.bundles.packed import entry, sha256

NOW = 1_789_000_100.0

WHEEL = "file:pypi:demo:h:a/demo-1-py3-none-any.whl"
METADATA = f"{WHEEL}.metadata"
OLD = "file:pypi:demo:h:b/demo-0.tar.gz"
OTHER = "file:torch:demo::whl/demo-1-py3-none-any.whl"
SIX = "file:pypi:six:h:six-1.tar.gz"
PAGE, REMOVED = "page:pypi:demo:simple/demo/", "removed:pypi:demo:simple/demo/"
FLAT, SIX_PAGE = "page:torch::whl/torch_stable.html", "page:pypi:six:simple/six/"
NAME = f"digest:sha512={'ab' * 64}"
HELLO = "apt:file:http://deb.example/debian/pool/hello_2_amd64.deb"
KEY = "apt:document:http://deb.example/key.asc"
ALONE = "apt:document:http://deb.example/flat/Packages.gz"
RELEASE = "apt:release:http://deb.example:81/debian/dists/sid/:InRelease"
SUITE = "http://deb.example:81/debian/dists/sid/"
THERE = "apt:release:http://deb.example/debian/dists/sid/:InRelease"
ELSEWHERE = "apt:release:http://other.example/debian/dists/sid/:InRelease"
ALL = (
    WHEEL, METADATA, OLD, OTHER, SIX, PAGE, REMOVED, FLAT, SIX_PAGE, NAME, HELLO, KEY, ALONE, RELEASE, THERE, ELSEWHERE
)  # fmt: skip


def _entries() -> list[Entry]:
    return [entry(key, (WHEEL if key == NAME else key).encode()) for key in ALL]


def _chosen(wish: ExportWish) -> tuple[list[Entry], list[str]]:
    """What an export takes of all, and the names of what is absent."""
    choice = ExportChoice(wish, NOW)
    if choice.in_two_goes:
        for one in _entries():
            choice.note(one)
    meant = [(one, choice.means(one)) for one in _entries()]
    bodies = {one.digest.value for one, whether in meant if whether}
    return [
        one for one, whether in meant if whether or (whether is None and one.digest.value in bodies)
    ], choice.absent()


@pytest.mark.parametrize(
    ("wish", "keys"),
    [
        (ExportWish(), set(ALL)),
        (ExportWish(("pypi",)), {WHEEL, METADATA, OLD, SIX, PAGE, REMOVED, SIX_PAGE, NAME}),
        (ExportWish(("torch", "other.example")), {OTHER, FLAT, ELSEWHERE}),
        (ExportWish(("apt",)), {HELLO, KEY, ALONE, RELEASE, THERE, ELSEWHERE}),
        (ExportWish((), ("Demo",)), {WHEEL, METADATA, OLD, OTHER, PAGE, REMOVED, FLAT, NAME}),
        (ExportWish(("pypi",), ("demo", "six")), {WHEEL, METADATA, OLD, SIX, PAGE, REMOVED, SIX_PAGE, NAME}),
        (ExportWish((), ("hello",)), {HELLO, ALONE, THERE}),
        (ExportWish((), ("nothing",)), set()),
        (ExportWish(newer_than=50.0), set()),
        (ExportWish(newer_than=200.0), set(ALL) - {RELEASE, ELSEWHERE}),
        (
            ExportWish(files=(LockedFile("demo-1-py3-none-any.whl", {"sha256": sha256(WHEEL.encode())}),)),
            {WHEEL, METADATA, PAGE, REMOVED, NAME},
        ),
        (
            ExportWish(files=(LockedFile("demo-1-py3-none-any.whl", {"md5": "00" * 16}),)),
            {WHEEL, METADATA, OTHER, PAGE, REMOVED, FLAT, NAME},
        ),
        (ExportWish(("torch",), files=(LockedFile("demo-1-py3-none-any.whl"),)), {OTHER, FLAT}),
    ],
)
def test_choose__with_what_belongs_to_it(wish: ExportWish, keys: set[str]) -> None:
    """Metadata, pages, suites and lone indexes of the host, and names by digest come with the files that are meant."""
    assert keys == {one.key for one in _chosen(wish)[0]}


def test_choose__package_with_an_epoch() -> None:
    """Some archives have a colon in the name of a package; nothing of it is lost."""
    key = HELLO.replace("hello_2", "hello_1:2")
    choice = ExportChoice(ExportWish(files=(LockedFile("hello_1:2_amd64.deb"),)), NOW)
    one = entry(key, b"deb")
    choice.note(one)
    assert (True, []) == (choice.means(one), choice.absent())


def test_absent__files_of_a_lock() -> None:
    """Those that nothing stored is."""
    wish = ExportWish(files=(LockedFile("six-1.tar.gz"), LockedFile("b-1.zip"), LockedFile("a-1.zip", {"md5": "1"})))

    assert ["a-1.zip", "b-1.zip"] == _chosen(wish)[1]
    assert [] == _chosen(ExportWish())[1]


def test_present_suites__only_the_present_state() -> None:
    """What the present list does not have is left out, and a signature of another list; unread suites stay whole."""
    first, second = (Digest("sha256", sha256(body)).value for body in (b"first", b"second"))
    body = f"Suite: sid\nSHA256:\n {second} 6 main/Packages\n".encode()
    present = entry(RELEASE.replace("InRelease", "Release"), body)
    kept = [
        present,
        entry(f"apt:index:{SUITE}:{second}:main/Packages", b"second"),
        entry(f"apt:signature:{SUITE}:{sha256(body)}", b"signed"),
        entry(f"apt:index:http://other.example/:{first}:Packages", b"first"),
        entry(f"apt:signature:http://other.example/:{first}", b"signed"),
        entry(HELLO, b"deb"),
    ]
    former = [
        entry(f"apt:index:{SUITE}:{first}:main/Packages", b"first"),
        entry(f"apt:index:{SUITE}:{second}:main/Other", b"second"),
        entry(f"apt:signature:{SUITE}:{first}", b"signed"),
    ]

    suites = PresentSuites({present.key: release.parse(body, clearsigned=False)}, {present.key: present.digest.value})
    assert kept == [one for one in [*kept, *former] if suites.has(one.key)]


def _list(date: str, listed: str) -> tuple[release.Release, str]:
    body = f"Suite: sid\nDate: {date}\nSHA256:\n {listed} 6 main/Packages\n".encode()
    return release.parse(body, clearsigned=False), sha256(body)


def test_present_suites__several_at_one_path() -> None:
    """apt finds one state: that of `InRelease`, and of http and https the newer one. What is alone keeps its path."""
    first, second, third = (sha256(body) for body in (b"first", b"second", b"third"))
    secure = SUITE.replace("http:", "https:")
    lists = {
        f"apt:release:{SUITE}:InRelease": _list("Sat, 01 Aug 2026 10:00:00 UTC", first),
        f"apt:release:{secure}:InRelease": _list("Sat, 01 Aug 2026 12:00:00 UTC", second),
        f"apt:release:{secure}:Release": _list("Sat, 01 Aug 2026 14:00:00 UTC", third),
        "apt:release:http://other.example/:Release": _list("Sat, 01 Aug 2026 14:00:00 UTC", third),
    }
    suites = PresentSuites({key: one[0] for key, one in lists.items()}, {key: one[1] for key, one in lists.items()})
    signed = lists[f"apt:release:{secure}:Release"][1]

    aside = [
        f"apt:release:{SUITE}:InRelease",
        f"apt:index:{SUITE}:{first}:main/Packages",
        f"apt:index:{secure}:{third}:main/Packages",
        f"apt:signature:{SUITE}:{first}",
    ]
    kept = [
        *(key for key in lists if key not in aside),
        f"apt:index:{secure}:{second}:main/Packages",
        f"apt:index:{SUITE}:{second}:main/Packages",
        f"apt:index:{SUITE}:{first}:main/Other",
        f"apt:signature:{secure}:{signed}",
        f"apt:index:http://other.example/:{third}:main/Packages",
        f"apt:index:http://unread.example/:{third}:main/Packages",
        HELLO,
        KEY,
    ]
    assert kept == [key for key in [*kept, *aside] if suites.comes_first(key)]


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (WHEEL, Distribution("demo", "demo-1-py3-none-any.whl")),
        ("file:torch::h:six-1.tar.gz", Distribution("six", "six-1.tar.gz")),
        (METADATA, None),
        (f"{WHEEL}.asc", None),
        ("file:pypi:demo:h:readme.html", None),
        (PAGE, None),
        (HELLO, None),
    ],
)
def test_distribution__what_pages_list(key: str, shown: Distribution | None) -> None:
    """Not what lies beside one."""
    assert shown == distribution(key)
