"""What pages say of a file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.model import ALGORITHMS, Digest
from proxy.python.page import File
from proxy.python.said import Said, trust

ONE, TWO = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)
FILE = File("demo-1.0.tar.gz", "https://files.example/demo-1.0.tar.gz?signature=1", (ONE,))


@pytest.mark.parametrize(
    ("before", "later", "expected"),
    [
        (FILE, FILE, False),
        (FILE, replace(FILE, yanked=True, size=5), False),
        (FILE, replace(FILE, url="https://files.example/demo-1.0.tar.gz?signature=2"), True),
        (FILE, replace(FILE, digests=(TWO,)), True),
        (FILE, replace(FILE, digests=()), True),
        (FILE, None, False),
        (None, FILE, True),
        (None, None, False),
    ],
)
def test_differs(before: File | None, later: File | None, expected: bool) -> None:
    """Another address or another digest is worth another try; that it is gone is not."""
    assert expected is Said(before).differs(Said(later))


def test_digest__of_what_is_not_listed() -> None:
    """There is none."""
    assert (None, None, ONE) == (Said().digest, Said(replace(FILE, digests=())).digest, Said(FILE).digest)


def test_trust__in_the_order_of_the_algorithms() -> None:
    """A file without a digest comes last."""
    files = [replace(FILE, digests=(Digest(algorithm, ""),)) for algorithm in ALGORITHMS]
    assert list(range(len(files))) == [trust(file) for file in files]
    assert trust(replace(FILE, digests=())) > max(map(trust, files))
