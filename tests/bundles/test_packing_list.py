"""What is in a bundle that is about to be written."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from proxy.bundles.layout import README, SUMS
from proxy.bundles.manifest import BundleMember
from proxy.bundles.packing_list import PackingList
from tests.bundles.packed import PAGE, WHEEL, entry, sha256

_PATH = "files/pypi/files.example/a/demo-1-py3-none-any.whl"


@pytest.fixture
def packing() -> Iterator[PackingList]:
    """An empty one."""
    made = PackingList()
    yield made
    made.close()


def test_members__lines_are_those_of_the_manifest(packing: PackingList) -> None:
    """With all entries of a body at its path, and when the first of them was stored."""
    same = "file:pypi:other:files.example:a/demo-1-py3-none-any.whl"
    first, second = entry(WHEEL, b"wheel"), entry(same, b"wheel")
    name = entry(f"digest:sha512={'a' * 128}", b"wheel")

    assert packing.add(first) == packing.add(second)
    packing.add_name(name)
    packing.add_name(entry(f"digest:sha512={'b' * 128}", b"not here"))
    packing.settle()

    (member,) = packing.members()
    expected = BundleMember(_PATH, 5, sha256(b"wheel"), (first, second, name))
    assert expected == msgspec.json.decode(member.line, type=BundleMember)
    assert msgspec.json.encode(expected) == member.line
    assert [first, second, name] == member.decoded()
    assert first.stored == member.stored
    assert [sha256(b"wheel")] == list(packing.bodies())


def test_members__of_a_folder_in_order(packing: PackingList) -> None:
    """What is made for the bundle comes where it belongs; its body can be had."""
    packing.add(entry(WHEEL, b"wheel"))
    packing.add(entry(PAGE, b"page"))
    packing.make("simple/index.html", [b"a", b"b" * 1_000_000])
    packing.make(README, [b"read"])
    packing.make(SUMS, [])
    packing.settle()

    members = list(packing.members())

    assert [SUMS, README, "simple/index.html", "pages/pypi/simple/demo/+page", _PATH] == [one.path for one in members]
    assert [[], [b"read"]] == [list(packing.made(one)) for one in members[:2]]
    assert b"a" + b"b" * 1_000_000 == b"".join(packing.made(members[2]))
    assert (1_000_001, sha256(b"a" + b"b" * 1_000_000)) == (members[2].size, members[2].sha256)
    assert [members[3]] == list(packing.members("pages"))
    assert 2 == len(list(packing.bodies()))


def test_add_aside(packing: PackingList) -> None:
    """Its path is for another entry, whichever came first."""
    first, second = "apt:file:http://h/a", "apt:file:https://h/a"
    packing.add_aside(entry(first, b"1"))
    packing.add(entry(second, b"2"))
    packing.settle()

    assert {"apt/h/a": sha256(b"2"), f"other/{sha256(b'1')}": sha256(b"1")} == {
        one.path: one.sha256 for one in packing.members()
    }


def test_settle__what_is_in_a_file(packing: PackingList) -> None:
    """Is named by its digest; its parts are told."""
    file, inside, also = "file:pypi:demo:h:a", "file:pypi:demo:h:a/b", "file:pypi:demo:h:a/c"
    numbers = [packing.add(entry(key, body)) for key, body in ((file, b"1"), (inside, b"2"), (also, b"2"))]

    moved = packing.settle()

    assert set(numbers[1:]) == set(moved)
    assert 1 == len(set(moved.values()))
    assert ["files/pypi/h/a", f"other/{sha256(b'2')}"] == [one.path for one in packing.members()]


def test_leave_out__same_path_and_body(packing: PackingList) -> None:
    """Only that is elsewhere, and needs no body."""
    packing.add(entry(WHEEL, b"wheel"))
    packing.settle()

    packing.leave_out([(_PATH, sha256(b"other")), ("other", sha256(b"wheel"))])
    assert [False] == [one.elsewhere for one in packing.members()]
    packing.leave_out([(_PATH, sha256(b"wheel"))])
    (member,) = packing.members()
    assert member.elsewhere
    assert msgspec.json.decode(member.line, type=BundleMember).elsewhere
    assert [] == list(packing.bodies())
