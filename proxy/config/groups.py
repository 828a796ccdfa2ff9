"""The groups of the settings: several indexes at one address, and the check that their upstreams exist."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from proxy.config.addresses import check_folder, folder_path
from proxy.config.upstreams import MOUNT_PATTERN, MOUNT_TEXT, Mount, UpstreamSettings, repeated, twice
from proxy.model import Group, Member

_PATTERN = re.compile(r"[A-Za-z0-9.*_-]+")
_SEPARATORS = re.compile(r"[-_.]+")


class GroupSettings(BaseModel):
    """Indexes at one address, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mount: Mount = Field(description=f"{MOUNT_TEXT} The group's pages are at `/<mount>/simple/<project>/`.")
    members: tuple[str, ...] = Field(
        min_length=1,
        description="Mounts in order, or a mount and the path of an index below it (`pytorch/whl/cu126`). The first "
        "member that has a project answers for it; pages are never merged, and a member that fails is an error.",
    )
    pins: dict[str, str] = Field(
        default_factory=dict,
        description="Projects that only one member may answer for: a pattern such as `torch*`, and the member.",
        json_schema_extra={"shown_default": "(none)"},
    )

    @field_validator("members")
    @classmethod
    def _check_members(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for member in value:
            mount, _, path = member.partition("/")
            if not MOUNT_PATTERN.fullmatch(mount):
                raise ValueError("must be mounts, such as pypi or pytorch/whl/cu126")
            check_folder(path)
        return value

    @field_validator("pins")
    @classmethod
    def _check_pins(cls, value: dict[str, str]) -> dict[str, str]:
        if not all(map(_PATTERN.fullmatch, value)):
            raise ValueError("must have names of projects as keys, with a star for any letters: torch*")
        return value

    def group(self, indexes: dict[str, str]) -> Group:
        """The group as the services see it. `indexes`: by mount, the path of its index."""
        members = {text: _member(text, indexes) for text in self.members}
        return Group(
            self.mount,
            tuple(members.values()),
            # Normalised as the names in requests are (PEP 503).
            tuple((_SEPARATORS.sub("-", pattern).lower(), members[to]) for pattern, to in self.pins.items()),
        )


def _member(text: str, indexes: dict[str, str]) -> Member:
    mount, slash, path = text.partition("/")
    return Member(mount, folder_path(check_folder(path) if slash else indexes[mount]))


def shadowing(groups: tuple[GroupSettings, ...]) -> frozenset[str]:
    """The mounts whose projects a group takes from no other member: before another one, or with projects pinned."""
    members = {member for group in groups for member in (*group.members[:-1], *group.pins.values())}
    return frozenset(member.partition("/")[0] for member in members)


def problem(groups: tuple[GroupSettings, ...], upstreams: tuple[UpstreamSettings, ...]) -> str | None:
    """What is wrong with the groups, given all upstreams; None if nothing is."""
    mounts = {upstream.mount for upstream in upstreams}
    flat = {upstream.mount for upstream in upstreams if upstream.kind == "flat"}
    for mount in repeated([*sorted(mounts), *(group.mount for group in groups)]):
        return twice(mount)
    for group in groups:
        for member in group.members:
            if member.partition("/")[0] not in mounts:
                return f"{group.mount}: there is no upstream with the mount of {member}; add an [[upstream]] for it"
            if member.partition("/")[0] in flat:
                return f"{group.mount}: {member} is flat: only indexes with a page for each project can be members"
        for pattern, member in group.pins.items():
            if member not in group.members:
                return f"{group.mount}: {pattern} is pinned to {member}, which is not one of its members"
    return None
