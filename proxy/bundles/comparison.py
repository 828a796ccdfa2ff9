"""What one bundle has that another has not, by their manifests. Pure.

Pages, sums and programs that were made for people do not count: they follow from the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.bundles.manifest import BundleMember, Manifest


@dataclass(frozen=True, slots=True)
class Difference:
    """Members by path. `only_first`, `only_second`: whose path the other does not have; `changed`: with other bytes."""

    only_first: tuple[BundleMember, ...]
    only_second: tuple[BundleMember, ...]
    changed: tuple[tuple[BundleMember, BundleMember], ...]
    same: int

    @property
    def none(self) -> bool:
        """Whether both have the same."""
        return not (self.only_first or self.only_second or self.changed)


def compare(first: Manifest, second: Manifest) -> Difference:
    """Hold two manifests against each other. What is elsewhere counts as there."""
    before, after = _by_path(first), _by_path(second)
    both = sorted(before.keys() & after.keys())
    changed = tuple((before[path], after[path]) for path in both if before[path].sha256 != after[path].sha256)
    return Difference(
        tuple(before[path] for path in sorted(before.keys() - after.keys())),
        tuple(after[path] for path in sorted(after.keys() - before.keys())),
        changed,
        len(both) - len(changed),
    )


def _by_path(manifest: Manifest) -> dict[str, BundleMember]:
    return {member.path: member for member in manifest.members if member.entries}
