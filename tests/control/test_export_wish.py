"""What may be wished of an export."""

from __future__ import annotations

import msgspec
import pytest

from proxy.control.export_wish import ExportWish, LockedFile


def test_wish__survives_the_socket() -> None:
    """As JSON."""
    wish = ExportWish(("pypi",), (), None, (LockedFile("a.whl", {"sha256": "ab"}),), (("a", "cd"),))

    assert wish == msgspec.json.decode(msgspec.json.encode(wish), type=ExportWish)


@pytest.mark.parametrize(
    ("wish", "wrong"),
    [
        (ExportWish(), None),
        (ExportWish(("apt",), ("hello",), 5.0), None),
        (ExportWish(files=()), None),
        (ExportWish(("pypi",), files=(LockedFile("a"),)), None),
        (ExportWish(projects=("a",), files=()), "lock file"),
        (ExportWish(newer_than=1.0, files=()), "lock file"),
    ],
)
def test_wish__that_means_two_things(wish: ExportWish, wrong: str | None) -> None:
    """A lock file says itself which files."""
    said = wish.wrong()
    assert (wrong is None) == (said is None)
    assert wrong is None or wrong in (said or "")
