"""Which members of a group may answer."""

from __future__ import annotations

import pytest

from proxy.model import Group, Member
from proxy.python.groups import is_none_of, members_for

HOUSE, TORCH, PYPI = Member("house", ""), Member("pytorch", "whl/cu126/"), Member("pypi", "simple/")
GROUP = Group(
    "all", (HOUSE, TORCH, PYPI), (("torch", PYPI), ("torch*", TORCH), ("house-*", HOUSE), ("*-internal", HOUSE))
)


@pytest.mark.parametrize(
    ("project", "members"),
    [
        ("demo", (HOUSE, TORCH, PYPI)),
        ("torchvision", (TORCH,)),
        ("torch", (PYPI,)),
        ("house-tool", (HOUSE,)),
        ("house", (HOUSE, TORCH, PYPI)),
        ("my-internal", (HOUSE,)),
        ("my-internal-x", (HOUSE, TORCH, PYPI)),
        ("a-torch", (HOUSE, TORCH, PYPI)),
    ],
)
def test_members_for(project: str, members: tuple[Member, ...]) -> None:
    """The first pattern that fits the whole name decides; without one all are asked, in order."""
    assert members == members_for(GROUP, project)


def test_members_for__group_without_pins() -> None:
    """All members, in order."""
    assert GROUP.members == members_for(Group("all", GROUP.members), "torch")


def test_is_none_of() -> None:
    """Only where a group pins names to a member does it say which are not the member's."""
    one, two = Member("one", ""), Member("two", "")
    group = Group("all", (one, two), (("acme-*", one), ("corp", one)))
    assert is_none_of(group, one, "requests")
    assert not is_none_of(group, one, "acme-x")
    assert not is_none_of(group, one, "corp")
    assert not is_none_of(group, two, "requests")
