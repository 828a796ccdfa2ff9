"""What is known beside a page, and the page with it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from proxy.model import Digest
from proxy.python.beside import EVERYTHING, NOTHING_BESIDE, REMOVED, Beside, Offered, as_removed
from proxy.python.page import File, Page

KNOWN, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
A = File("demo-1.0.tar.gz", "https://files.example/a/demo-1.0.tar.gz")
B = File("demo-2.0.tar.gz", "https://files.example/a/demo-2.0.tar.gz", (OTHER,))
PAGE = Page("demo", (A, B), html=True, api_version="1.0")


def test_complete__nothing() -> None:
    """A page beside which nothing is known is as it was."""
    assert PAGE == Beside().complete(PAGE) == NOTHING_BESIDE.complete(PAGE)


def test_complete__measured_digests() -> None:
    """A digest is put to the file that has none, by its address; where upstream gives one, that stands."""
    beside = Beside(digests={A.url: KNOWN, B.url: KNOWN})
    assert replace(PAGE, files=(replace(A, digests=(KNOWN,)), B)) == beside.complete(PAGE)


def test_complete__of_one_name_the_right_one() -> None:
    """Files of one name at two addresses are told apart."""
    twin = replace(A, url="https://files.example/b/demo-1.0.tar.gz")
    page = replace(PAGE, files=(A, twin))
    assert [(), (KNOWN,)] == [file.digests for file in Beside(digests={twin.url: KNOWN}).complete(page).files]


def test_complete__fragment_that_is_no_digest() -> None:
    """It makes room for the digest, unless installers read it; without a digest it stays."""
    for fragment, left in (("main", ""), ("egg=demo-1.0", "egg=demo-1.0"), ("x&subdirectory=y", "x&subdirectory=y")):
        file = replace(A, fragment=fragment)
        page = replace(PAGE, files=(file,))
        known = Beside(digests={A.url: KNOWN}).complete(page)
        assert (replace(file, digests=(KNOWN,), fragment=left),) == known.files
        assert (file,) == Beside(digests={B.url: KNOWN}).complete(page).files


WHEEL = File("demo-1.0-py3-none-any.whl", "https://files.example/a/demo-1.0-py3-none-any.whl", size=1 << 30)
HASH = Digest("sha256", "c" * 64)
OTHER_WHEEL = replace(WHEEL, url="https://files.example/b/demo-1.0-py3-none-any.whl")
REFUSING = Offered(frozenset({"https://files.example/"}))


@pytest.mark.parametrize(
    ("offered", "file", "expected"),
    [
        # What upstream says stands, and only wheels have metadata
        (EVERYTHING, replace(WHEEL, core_metadata=HASH), HASH),
        (REFUSING, replace(WHEEL, core_metadata=HASH), HASH),
        (REFUSING, replace(WHEEL, core_metadata=True), True),
        (EVERYTHING, A, None),
        (EVERYTHING, replace(WHEEL, filename="demo-1.0-py3-none-any.whl.asc"), None),
        # Else it is ours
        (EVERYTHING, WHEEL, True),
        (EVERYTHING, replace(WHEEL, core_metadata=False), True),
        # Where the host gives no parts: for what is small, or here
        (REFUSING, WHEEL, None),
        (REFUSING, replace(WHEEL, size=None), None),
        (REFUSING, replace(WHEEL, core_metadata=False), False),
        (REFUSING, replace(WHEEL, size=128 << 10), True),
        (REFUSING, replace(WHEEL, url="https://files.example:8443/a/demo-1.0-py3-none-any.whl"), True),
        (REFUSING, replace(WHEEL, url="http://files.example/a/demo-1.0-py3-none-any.whl"), True),
        (replace(REFUSING, urls=frozenset({WHEEL.url})), WHEEL, True),
        # And never for a wheel that has none
        (Offered(unreadable=frozenset({WHEEL.url})), WHEEL, None),
        (Offered(unreadable=frozenset({WHEEL.url})), replace(WHEEL, size=9), None),
    ],
)
def test_complete__metadata(offered: Offered, file: File, expected: bool | Digest | None) -> None:
    """A wheel is said to have metadata beside it where upstream says so, or where it can be had."""
    (shown,) = Beside(offered=offered).complete(replace(PAGE, files=(file,))).files
    assert expected == shown.core_metadata


def test_complete__metadata_of_what_was_removed() -> None:
    """A wheel that is kept has it, whatever its host does."""
    (shown,) = Beside(removed=(WHEEL,), withdrawn=True, offered=REFUSING).complete(PAGE).files
    assert shown.core_metadata is True


def test_complete__removed() -> None:
    """What was dropped comes behind what is listed, as yanked."""
    gone = replace(B, filename="demo-0.9.tar.gz", url="https://files.example/a/demo-0.9.tar.gz")
    files = Beside(removed=(gone,)).complete(PAGE).files
    assert (A, B, replace(gone, yanked=REMOVED)) == files


def test_complete__withdrawn() -> None:
    """Of a project that is gone only what is kept is shown."""
    files = Beside(digests={A.url: KNOWN}, removed=(B,), withdrawn=True).complete(PAGE).files
    assert (replace(B, yanked=REMOVED),) == files


@pytest.mark.parametrize(("yanked", "expected"), [(False, REMOVED), (True, REMOVED), ("broken", "broken")])
def test_as_removed(*, yanked: bool | str, expected: str) -> None:
    """A reason that upstream gave stays; else this one is said."""
    assert expected == as_removed(replace(A, yanked=yanked)).yanked


def test_key__differs_where_the_page_would() -> None:
    """Whatever is shown differently has another key."""
    gone = replace(A, digests=(KNOWN,))
    different = [
        NOTHING_BESIDE,
        Beside(digests={A.url: KNOWN}),
        Beside(digests={A.url: OTHER}),
        Beside(removed=(A,)),
        Beside(removed=(gone,)),
        Beside(removed=(replace(gone, yanked="broken"),)),
        Beside(removed=(replace(gone, requires_python=">=3.11"),)),
        Beside(removed=(replace(gone, core_metadata=KNOWN),)),
        Beside(removed=(replace(gone, size=5),)),
        Beside(removed=(gone, B)),
        Beside(removed=(B, gone)),
        Beside(digests={A.url: KNOWN}, removed=(B,)),
        Beside(removed=(gone,), withdrawn=True),
        Beside(withdrawn=True),
        Beside(offered=REFUSING),
        Beside(offered=replace(REFUSING, urls=frozenset({WHEEL.url}))),
        Beside(offered=Offered(unreadable=frozenset({WHEEL.url}))),
    ]
    page = replace(PAGE, files=(*PAGE.files, WHEEL, OTHER_WHEEL))
    for one, two in itertools.combinations(different, 2):
        assert one.complete(page) != two.complete(page)
        assert one.key != two.key, (one, two)


def test_key__same_for_the_same() -> None:
    """The order in which digests were found counts for nothing."""
    one = Beside(digests={A.url: KNOWN, B.url: OTHER})
    two = Beside(digests={B.url: OTHER, A.url: KNOWN})
    assert (one.key, "-") == (two.key, NOTHING_BESIDE.key)
