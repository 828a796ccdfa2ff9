"""`proxy.python.discretion`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.python.discretion import Discretion, discreet

SHOWN = [
    (b'<a href="http://me:secret@index.example/simple/x/">', b'<a href="http://index.example/simple/x/">'),
    (b"<A HREF=HTTPS://token@index.example/>", b"<A HREF=HTTPS://index.example/>"),
    (b"<a href='//me:se@cret@index.example/'>", b"<a href='//index.example/'>"),
    (rb'{"url": "https:\/\/me:secret@index.example\/x"}', rb'{"url": "https:\/\/index.example\/x"}'),
    (b"git+https://me:secret@code.example/x", b"git+https://code.example/x"),
    (b"git+ssh://git@code.example/x", b"git+ssh://git@code.example/x"),
    (b"ftp://me:secret@files.example/x", b"ftp://me@files.example/x"),
    (b"text http://me:secret@index.example?a=//me:secret@b", b"text http://index.example?a=//b"),
    (b'<a href="packages//a@b/">', b'<a href="packages//a@b/">'),
    (b"<a href='mailto:me@index.example'>a@b</a>", b"<a href='mailto:me@index.example'>a@b</a>"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_discreet(text: bytes, shown: bytes) -> None:
    """No password is left, and a user name only where a repository needs it; all else stays."""
    assert shown == discreet(text)


@given(st.lists(st.sampled_from([text for text, _ in SHOWN]), max_size=5), st.lists(st.integers(1, 40), max_size=20))
def test_feed__wherever_it_is_cut(texts: list[bytes], cuts: list[int]) -> None:
    """A text that streams by loses what the whole would."""
    rest = whole = b"\n".join(texts)
    discretion, sent = Discretion(), b""
    for cut in cuts:
        sent += discretion.feed(rest[:cut])
        rest = rest[cut:]
    sent += discretion.feed(rest) + discretion.finish()
    assert discreet(whole) == sent


def test_feed__memory_bounded() -> None:
    """A word that never ends is not held back for ever."""
    discretion, sent = Discretion(), 0
    for number in range(1, 100):
        sent += len(discretion.feed(b"x" * 1000))
        assert number * 1000 - sent <= 2048
