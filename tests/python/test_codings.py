"""The coding of a page is one that the client takes, and unpacks to the page."""

from __future__ import annotations

import gzip

import pytest
from backports import zstd

from proxy.python import codings
from proxy.python.codings import Coding, accepted, coded

PAGE = b"page" * 99


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", Coding.GZIP),
        ("gzip, deflate", Coding.GZIP),
        ("GZIP;q=0.5", Coding.GZIP),
        ("x-gzip", Coding.GZIP),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("*", Coding.GZIP),
        ("*;q=0", None),
        ("br, zstd", Coding.ZSTD),
        ("gzip, deflate, zstd", Coding.ZSTD),
        ("gzip;q=0.9, zstd;q=0.8", Coding.GZIP),
        ("gzip, zstd;q=0", Coding.GZIP),
        ("zstd, gzip;q=0", Coding.ZSTD),
    ],
)
def test_accepted__header(header: str | None, expected: Coding | None) -> None:
    """What is liked best, and of several the one that is unpacked fastest; a star is not taken for zstd."""
    assert expected is accepted(header)


def test_accepted__without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """gzip, where this Python cannot make the other one."""
    monkeypatch.setattr(codings, "zstd", None)
    accepted.cache_clear()
    try:
        assert (Coding.GZIP, None) == (accepted("gzip, zstd"), accepted("zstd"))
    finally:
        accepted.cache_clear()


def test_coded() -> None:
    """It unpacks to the same, and a zstd frame says how long it is (RFC 8878 §3.1.1.1)."""
    assert (PAGE, PAGE) == (gzip.decompress(coded(PAGE, Coding.GZIP)), zstd.decompress(coded(PAGE, Coding.ZSTD)))
    assert len(PAGE) == zstd.get_frame_info(coded(PAGE, Coding.ZSTD)).decompressed_size
