"""Figures are read out of the text of `/metrics`."""

from __future__ import annotations

import pytest

from tests import scrape

_TEXT = """\
# HELP sent_bytes_total Bytes.
# TYPE sent_bytes_total counter
sent_bytes_total{upstream="pypi",kind="page"} 3.0
sent_bytes_total{upstream="pypi",kind="file"} 1.5e+06
sent_bytes_total_more{upstream="pypi"} 7.0
cache_bytes 12.0
"""


def test_value__labels() -> None:
    """Labels that are named choose, the others are summed over."""
    assert 3.0 == scrape.value(_TEXT, "sent_bytes_total", kind="page")
    assert 1_500_003.0 == scrape.value(_TEXT, "sent_bytes_total", upstream="pypi")
    assert 12.0 == scrape.value(_TEXT, "cache_bytes")


def test_value__unknown() -> None:
    """A figure that is not there is an error, not a zero."""
    with pytest.raises(LookupError):
        scrape.value(_TEXT, "sent_bytes_total", kind="other")
