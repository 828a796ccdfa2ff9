"""Which indexes of a group may answer for a project, in order. Pure.

Their pages are never merged: the service asks one member after the other, takes the first that has the project, and
goes on only where a member says for certain that it has not.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from proxy.model import Group, Member


def members_for(group: Group, project: str) -> tuple[Member, ...]:
    """The members to ask for a project with this normalised name: the one that a pattern pins it to, or all."""
    for pattern, member in group.pins:
        if fnmatchcase(project, pattern):
            return (member,)
    return group.members


def is_none_of(group: Group, member: Member, project: str) -> bool:
    """Whether the group pins projects to this member, which says what it has, and this project is none of them."""
    patterns = [pattern for pattern, to in group.pins if to == member]
    return bool(patterns) and not any(fnmatchcase(project, pattern) for pattern in patterns)
