"""Which bodies and addresses a wish means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from proxy.control import selection
from proxy.control.protocol import Amount, NamedFile, Order, Wish
from proxy.control.selection import StoredBody
from proxy.python.store_keys import form_key, outline_key
from proxy.storage.inventory import StoredBlob, StoredEntry

_NOW = 1_000.0
_TORCH = "file:pypi:torch:files.example:a/torch-2.7.1-cp312-cp312-linux_x86_64.whl"
_OLD_TORCH = "file:pypi:torch:files.example:b/torch-2.6.0-cp312-cp312-linux_x86_64.whl"
_SAME_TORCH = "file:pytorch:torch:files.example:c/torch-2.7.1-cp312-cp312-linux_x86_64.whl"
_PAGE = "page:pypi:torch:simple/torch/"
_CURL = "apt:file:http://archive.example/debian/pool/curl_7_amd64.deb"

_BLOBS = [  # the longest unused first
    StoredBlob("old", 700),
    StoredBlob("page", 10),
    StoredBlob("torch", 800),
    StoredBlob("curl", 50),
    StoredBlob("nobody's", 5),
]
_ENTRIES = [
    StoredEntry(_OLD_TORCH, "old", 100.0),
    StoredEntry("digest:sha512=00", "old", 990.0),
    StoredEntry(_PAGE, "page", 999.0),
    StoredEntry(_TORCH, "torch", 500.0),
    StoredEntry(_SAME_TORCH, "torch", 900.0),
    StoredEntry(_CURL, "curl", 200.0),
]
_STORED = selection.bodies(_BLOBS, _ENTRIES)


@pytest.mark.parametrize(
    ("wish", "bodies", "keys"),
    [
        (Wish(everything=True), ["old", "page", "torch", "curl", "nobody's"], []),
        (Wish(index="pypi"), ["old", "page"], [_TORCH]),
        (Wish(index="archive.example"), ["curl"], []),
        (Wish(project="torch"), ["old", "page", "torch"], []),
        (Wish(project="torch", version="2.7.1"), ["torch"], []),
        (Wish(project="torch", index="pytorch"), [], [_SAME_TORCH]),
        (Wish(older_than=400.0), ["old", "curl"], [_TORCH]),
        (Wish(older_than=100.0), ["old", "torch", "curl"], []),
        (Wish(larger_than=50), ["old", "torch"], []),
        (Wish(larger_than=4), ["old", "page", "torch", "curl", "nobody's"], []),
        (Wish(down_to=900), ["old"], []),
        (Wish(down_to=0), ["old", "page", "torch", "curl", "nobody's"], []),
        (Wish(down_to=10_000), [], []),
        (Wish(down_to=0, index="pypi"), ["old", "page"], []),
        (Wish(project="of nobody"), [], []),
    ],
)
def test_choose__conditions(wish: Wish, bodies: list[str], keys: list[str]) -> None:
    """All conditions hold for what goes. Of a body that has other addresses, the address alone goes."""
    choice = selection.choose(_STORED, wish, _NOW, broken_off=7)

    assert (bodies, keys) == ([body.sha256 for body in choice.bodies], list(choice.keys))
    assert 1565 - sum(body.size for body in choice.bodies) == choice.left
    assert (7 if wish.everything else 0) == choice.broken_off


def test_choose__what_was_made_of_a_page_goes_with_it() -> None:
    """Whatever chose the page, and however young that is; a body that something else names, too, stays."""
    blobs = [*_BLOBS, *(StoredBlob(name, 3) for name in ("outline", "form", "other", "both"))]
    made = [
        StoredEntry(outline_key(_PAGE), "outline", 999.0),
        StoredEntry(form_key(_PAGE, "json-0"), "form", 999.0),
        StoredEntry(outline_key("page:pypi:other:simple/other/"), "other", 999.0),
        StoredEntry(outline_key(_PAGE), "both", 999.0),
        StoredEntry("page:pypi:both:simple/both/", "both", 999.0),
    ]
    stored = selection.bodies(blobs, [*_ENTRIES, *made])
    choice = selection.choose(stored, Wish(larger_than=9), _NOW)

    assert ["old", "page", "torch", "curl", "outline", "form"] == [body.sha256 for body in choice.bodies]
    assert 11 == choice.left
    assert [] == selection.beside(stored, [body for body in stored if body.sha256 == "torch"])


@pytest.mark.parametrize(
    ("text", "order", "found"),
    [
        ("", Order.UNUSED, ["old", "page", "torch", "curl", "nobody's"]),
        ("", Order.SIZE, ["torch", "old", "curl", "page", "nobody's"]),
        ("", Order.AGE, ["nobody's", "curl", "torch", "old", "page"]),
        ("TORCH", Order.SIZE, ["torch", "old", "page"]),
        ("apt", Order.SIZE, ["curl"]),
        ("nobo", Order.SIZE, ["nobody's"]),
        ("(.*)", Order.SIZE, []),
    ],
)
def test_listing__search_and_order(text: str, order: Order, found: list[str]) -> None:
    """By a part of a name, by a project, an index, or the begin of a digest; a pattern is a text."""
    listing = selection.listing(_STORED, text, order, 0, 10)

    assert found == [one.sha256 for one in listing.shown]
    assert (len(found), sum(body.size for body in _STORED if body.sha256 in found)) == (listing.files, listing.size)


def test_listing__a_part() -> None:
    """The sums are of all, the rows those that are asked for; a file's place is the one in the order of use."""
    listing = selection.listing(_STORED, "", Order.SIZE, 1, 2)

    assert [("old", 0), ("curl", 3)] == [(one.sha256, one.place) for one in listing.shown]
    assert (5, 1565) == (listing.files, listing.size)
    assert () == selection.listing(_STORED, "", Order.SIZE, 9, 2).shown


def test_listing__most_requested() -> None:
    """By the requests of all names that a body has. Another order needs to know them of the shown files alone."""
    asked: list[object] = []
    counts = {
        ("pypi", "torch-2.7.1-cp312-cp312-linux_x86_64.whl"): 3,
        ("pytorch", "torch-2.7.1-cp312-cp312-linux_x86_64.whl"): 4,
        ("apt", "curl_7_amd64.deb"): 5,
    }

    def requests(names: object) -> dict[tuple[str, str], int]:
        asked.append(names)
        return counts

    listing = selection.listing(_STORED, "", Order.REQUESTS, 0, 3, requests)
    by_size = selection.listing(_STORED, "curl", Order.SIZE, 0, 3, requests)

    assert [("torch", 7), ("curl", 5)] == [(one.sha256, one.requests) for one in listing.shown[:2]]
    assert listing.shown[2].requests is None
    assert [5] == [one.requests for one in by_size.shown]
    assert asked[0] is None
    assert {("apt", "curl_7_amd64.deb")} == asked[-1]


def test_choose__pinned() -> None:
    """It stays, also its addresses, unless everything is to go."""
    stored = [replace(body, pinned=body.sha256 in ("old", "torch")) for body in _STORED]

    found = selection.choose(stored, Wish(index="pypi"), _NOW)
    assert (["page"], ()) == ([body.sha256 for body in found.bodies], found.keys)
    assert ["page", "curl", "nobody's"] == [
        one.sha256 for one in selection.choose(stored, Wish(down_to=0), _NOW).bodies
    ]
    assert 5 == len(selection.choose(stored, Wish(everything=True), _NOW).bodies)


def test_fleeting_and_lasting() -> None:
    """What may change under its address is refreshed; what stays what it is may be pinned."""
    by_name = {body.sha256: body for body in _STORED}

    assert [_PAGE] == selection.fleeting(by_name["page"])
    assert [_CURL] == selection.fleeting(by_name["curl"])
    assert [] == selection.fleeting(by_name["nobody's"])
    assert {"old", "torch", "curl"} == {name for name, body in by_name.items() if selection.lasting(body)}


def test_choose__second_names_alone() -> None:
    """A body of which only a digest is known has an age."""
    stored = selection.bodies([StoredBlob("a", 1)], [StoredEntry("digest:sha512=00", "a", 100.0)])

    assert 1 == len(selection.choose(stored, Wish(older_than=10.0), _NOW).bodies)
    assert 0 == len(selection.choose(stored, Wish(older_than=950.0), _NOW).bodies)
    assert 0 == len(selection.choose(stored, Wish(index="pypi"), _NOW).bodies)


@given(
    sizes=some.lists(some.integers(0, 100), max_size=12),
    down_to=some.integers(0, 600),
)
def test_choose__down_to_a_size(sizes: list[int], down_to: int) -> None:
    """What stays fits, and with the last of those that go it would not."""
    stored = [StoredBody(str(number), size, ()) for number, size in enumerate(sizes)]

    choice = selection.choose(stored, Wish(down_to=down_to), _NOW)

    assert choice.left <= down_to
    assert choice.bodies == tuple(stored[: len(choice.bodies)])
    assert not choice.bodies or choice.left + choice.bodies[-1].size > down_to


def test_plan__what_a_person_sees() -> None:
    """By index and kind, and the largest files."""
    plan = selection.choose(_STORED, Wish(project="torch"), _NOW).plan

    assert (3, 1510, 0, 55) == (plan.files, plan.size, plan.addresses, plan.left)
    assert (
        Amount("pypi", "file", 2, 1500),
        Amount("pytorch", "file", 1, 800),
        Amount("pypi", "page", 1, 10),
    ) == plan.amounts
    assert ("torch-2.7.1-cp312-cp312-linux_x86_64.whl", 800, 900.0) == (
        plan.largest[0].name,
        plan.largest[0].size,
        plan.largest[0].confirmed,
    )
    assert not plan.empty
    assert selection.choose(_STORED, Wish(project="of nobody"), _NOW).plan.empty


def test_largest__in_order() -> None:
    """The largest first, and not more than are asked for."""
    assert [800, 700] == [file.size for file in selection.largest(_STORED, 2)]
    assert NamedFile("(without an address)", "-", "other", 5) == selection.largest(_STORED, 9)[-1]


_KEYS = (
    "file:pypi:six:h:six-1.zip",
    "file:pypi:six:h:six-1.zip.metadata",
    "page:pypi:six:simple/six/",
    "digest:a",
    "x",
)


@given(some.lists(some.tuples(some.integers(0, 9), some.sets(some.sampled_from(_KEYS)))), some.integers(1, 5))
def test_sums__are_the_amounts(bodies: list[tuple[int, set[str]]], at_once: int) -> None:
    """Entry by entry, in any pieces, they come to what all bodies come to."""
    blobs = [StoredBlob(f"{number:04}", size) for number, (size, _) in enumerate(bodies)]
    named = [(f"{number:04}", key, size) for number, (size, keys) in enumerate(bodies) for key in sorted(keys)]
    sums = selection.Sums()
    for start in range(0, len(named), at_once):
        sums.add(named[start : start + at_once])

    stored = selection.bodies(blobs, [StoredEntry(key, sha256, 0.0) for sha256, key, _ in named])
    assert selection.amounts(stored) == sums.amounts(len(blobs), sum(blob.size for blob in blobs))
