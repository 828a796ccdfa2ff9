"""What is known beside a page, and the page with it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from proxy.model import Digest
from proxy.python.beside import NOTHING_BESIDE, REMOVED, Beside, as_removed
from proxy.python.page import File, Page

KNOWN, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
A = File("demo-1.0.tar.gz", "https://files.example/a/demo-1.0.tar.gz")
B = File("demo-2.0.tar.gz", "https://files.example/a/demo-2.0.tar.gz", (OTHER,))
PAGE = Page("demo", (A, B), html=True, api_version="1.0")


def test_complete__nothing() -> None:
    """A page beside which nothing is known is the same object."""
    assert Beside().complete(PAGE) is PAGE
    assert NOTHING_BESIDE.complete(PAGE) is PAGE


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
    """It makes room for the digest, which would not be seen otherwise; without one it stays."""
    egg = replace(A, fragment="egg=demo")
    page = replace(PAGE, files=(egg,))
    assert (replace(egg, digests=(KNOWN,), fragment=""),) == Beside(digests={A.url: KNOWN}).complete(page).files
    assert (egg,) == Beside(digests={B.url: KNOWN}).complete(page).files


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
    ]
    for one, two in itertools.combinations(different, 2):
        assert one.complete(PAGE) != two.complete(PAGE)
        assert one.key != two.key, (one, two)


def test_key__same_for_the_same() -> None:
    """The order in which digests were found counts for nothing."""
    one = Beside(digests={A.url: KNOWN, B.url: OTHER})
    two = Beside(digests={B.url: OTHER, A.url: KNOWN})
    assert (one.key, "-") == (two.key, NOTHING_BESIDE.key)
