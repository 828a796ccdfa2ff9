"""The members that a manifest has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from proxy.bundles.layout import MANIFEST
from proxy.bundles.manifest import BadBundle
from proxy.bundles.member_table import MemberTable, temporary_database, usable
from proxy.errors import StoreBroken
from tests.bundles.tars import member

_MEMBERS = [
    member(f"files/{number}", b"%d" % number, f"file:a:b::{number}", elsewhere=number == 3) for number in range(1200)
]


@pytest.fixture
def table() -> Iterator[MemberTable]:
    """With members."""
    found = MemberTable()
    found.add(_MEMBERS)
    yield found
    found.close()


def test_table__in_order(table: MemberTable) -> None:
    """All of them, as they came."""
    assert _MEMBERS == list(table)
    assert len(_MEMBERS) == len(table)


def test_find__in_order_and_out_of_it(table: MemberTable) -> None:
    """By path; what is not there is told."""
    paths = [*range(700), 1199, 5, 6, 0]

    assert [(number, _MEMBERS[number]) for number in paths] == [table.find(f"files/{number}") for number in paths]
    assert table.find("files/other") is None
    assert (1, _MEMBERS[1]) == table.find("files/1")


def test_see__what_ought_to_be_there(table: MemberTable) -> None:
    """Each once; what is elsewhere is not waited for."""
    assert ("files/0", 1199) == table.unseen()
    assert all(table.see(number) for number in range(1200) if number not in {3, 700})
    assert ("files/700", 1) == table.unseen()
    assert table.see(700)
    assert not table.see(700)
    assert table.unseen() is None


@pytest.mark.parametrize(
    ("path", "key", "reason"),
    [
        ("files/7", "file:a:b::new", "has 'files/7' twice"),
        ("files/new", "file:a:b::7", "is wrong of 'files/new': another member has its address"),
        (MANIFEST, "file:a:b::new", f"has '{MANIFEST}' twice"),
    ],
)
def test_add__nothing_twice(table: MemberTable, path: str, key: str, reason: str) -> None:
    """Neither a path nor an address."""
    with pytest.raises(BadBundle, match=reason):
        table.add([member(path, b"new", key)])


def test_database__that_cannot_be_used() -> None:
    """A person is told what helps."""
    database = temporary_database(100)
    database.close()

    with pytest.raises(StoreBroken, match="TMPDIR"), usable():
        database.execute("SELECT 1")
    with pytest.raises(StoreBroken, match="cannot be written"), usable():
        raise sqlite3.OperationalError("database or disk is full")
