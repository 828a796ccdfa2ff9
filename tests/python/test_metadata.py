"""Where metadata comes from: the parts that a flow does not show."""

from __future__ import annotations

import pytest

from proxy.model import Digest, Entry, Validator
from proxy.python.metadata import beside, still_right
from proxy.python.page import File


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://files.example/a.whl", "https://files.example/a.whl.metadata"),
        ("https://files.example/a.whl?token=1", "https://files.example/a.whl.metadata?token=1"),
        ("https://files.example/a%2Bcpu.whl#sha256=00", "https://files.example/a%2Bcpu.whl.metadata"),
    ],
)
def test_beside(url: str, expected: str) -> None:
    """The ending goes to the path: a query stays behind it, a fragment goes."""
    assert expected == beside(url)


WHEEL, OTHER = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
BODY = Digest("sha256", "c" * 64)
MD5 = Digest("md5", "d" * 32)


def entry(etag: str | None) -> Entry:
    """Metadata as it is kept; `etag` is the digest of the wheel that it was read from, or upstream's tag."""
    return Entry("key", "https://files.example/a.whl.metadata", BODY, 9, "text/plain", Validator(etag), 0.0, 0.0)


def listed(*digests: Digest, metadata: bool | Digest | None = None) -> File:
    """What a page says of the wheel."""
    return File("a-1-py3-none-any.whl", "https://files.example/a.whl", digests, core_metadata=metadata)


@pytest.mark.parametrize(
    ("kept", "file", "expected"),
    [
        # No page says anything
        (entry(None), None, True),
        (entry(str(WHEEL)), None, True),
        (entry(None), listed(), True),
        (entry(str(WHEEL)), listed(), True),
        (entry(None), listed(metadata=True), True),
        # The page has the hash of the metadata: that alone counts
        (entry(None), listed(metadata=BODY), True),
        (entry(str(OTHER)), listed(WHEEL, metadata=BODY), True),
        (entry('"tag"'), listed(WHEEL, metadata=BODY), True),
        (entry(str(WHEEL)), listed(WHEEL, metadata=OTHER), False),
        (entry(str(WHEEL)), listed(WHEEL, metadata=MD5), True),  # was checked when it came
        # The page has the hash of the wheel
        (entry(str(WHEEL)), listed(WHEEL), True),
        (entry(str(WHEEL)), listed(OTHER), False),
        (entry(str(WHEEL)), listed(OTHER, metadata=True), False),
        (entry(str(MD5)), listed(MD5), True),
        (entry(str(MD5)), listed(WHEEL, MD5), False),  # of which wheel it is cannot be told any more
        (entry(None), listed(WHEEL), False),
        (entry('"tag"'), listed(WHEEL), False),
    ],
)
def test_still_right(kept: Entry, file: File | None, expected: bool) -> None:
    """Kept metadata is the wheel's that a page lists now, if the page's hashes say so, or no page has any."""
    assert expected is still_right(kept, file)
