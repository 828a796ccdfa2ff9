"""What verbs and a cache say to each other."""

from __future__ import annotations

import msgspec
import pytest

from proxy.control.protocol import CleanEnd, DamagedFile, Message, NamedFile, Progress, Refusal, VerifyEnd, Wish


@pytest.mark.parametrize(
    ("wish", "part"),
    [
        (Wish(), "say what to remove"),
        (Wish(version="1"), "a version is one of a project"),
        (Wish(version="1", index="pypi"), "a version is one of a project"),
        (Wish(everything=True, index="pypi"), "everything is everything"),
    ],
)
def test_wrong__says_why(wish: Wish, part: str) -> None:
    """A wish that means nothing, or two things, is refused."""
    assert part in (wish.wrong() or "")


@pytest.mark.parametrize(
    "wish",
    [Wish(everything=True), Wish(project="a", version="1"), Wish(older_than=0.0), Wish(larger_than=0), Wish(down_to=0)],
)
def test_wrong__nothing(wish: Wish) -> None:
    """A condition that is zero is a condition."""
    assert wish.wrong() is None


@pytest.mark.parametrize(
    "message",
    [
        Progress(1, 2),
        DamagedFile(NamedFile("a.whl", "pypi", "file", 1)),
        CleanEnd(1, 2, 3),
        VerifyEnd(1, 2, 3, 4, 5, 6),
        Refusal("no"),
    ],
)
def test_message__is_told_by_its_tag(message: Message) -> None:
    """Each kind of line is read as what it was written."""
    assert message == msgspec.json.decode(msgspec.json.encode(message), type=Message)
