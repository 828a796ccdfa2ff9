"""The memo of heads."""

from __future__ import annotations

from proxy.events import Served
from proxy.model import Kind, Outcome
from proxy.web.hot import Hot, HotAnswer


def answer(body: bytes = b"x", expires: float = 10.0) -> HotAnswer:
    """An answer ready to leave."""

    def event(client: str, seconds: float) -> Served:
        return Served("pypi", Kind.PAGE, Outcome.HIT, 200, {}, seconds, "GET", "/", client)

    return HotAnswer(b"HTTP/1.1 200 OK\r\n", body, None, expires, event)


def test_get__only_the_same_bytes() -> None:
    """The whole head is the key."""
    hot, kept = Hot(), answer()
    hot.remember(b"GET /a", kept)
    assert hot.get(b"GET /a", 0) is kept
    assert [hot.get(head, 0) for head in (b"GET /", b"GET /a ", b"get /a", b"")] == [None] * 4


def test_get__until_it_expires() -> None:
    """An answer is gone at the end of its life."""
    hot = Hot()
    hot.remember(b"GET /a", answer(expires=10.0))
    assert hot.get(b"GET /a", 9.9) is not None
    assert hot.get(b"GET /a", 10.0) is None
    assert hot.get(b"GET /a", 0) is None


def test_remember__in_the_place_of_another() -> None:
    """The newer answer counts, and the older one weighs nothing any more."""
    hot = Hot()
    for _ in range(1000):
        hot.remember(b"GET /a", answer(bytes(60_000)))
    newest = answer()
    hot.remember(b"GET /a", newest)
    assert hot.get(b"GET /a", 0) is newest
    hot.drop(b"GET /a")
    assert (hot._bytes, len(hot._answers)) == (0, 0)


def test_remember__is_bounded_by_bytes_and_number() -> None:
    """The longest unused go first."""
    hot = Hot()
    hot.remember(b"first", answer())
    for number in range(4095):
        hot.remember(b"%d" % number, answer())
    assert hot.get(b"first", 0) is not None
    hot.remember(b"one more", answer())
    assert (hot.get(b"first", 0) is None, hot.get(b"0", 0) is None) == (False, True)
    for number in range(2000):
        hot.remember(b"large %d" % number, answer(bytes(60_000)))
    assert hot._bytes <= 32 << 20


def test_remember__no_long_heads() -> None:
    """A head of more than 2 KiB is not worth it."""
    hot = Hot()
    hot.remember(b"x" * 3000, answer())
    assert hot.get(b"x" * 3000, 0) is None


def test_drop__what_is_not_there() -> None:
    """Nothing happens."""
    hot = Hot()
    hot.drop(b"x")
    assert hot._bytes == 0


def test_clear__nothing_is_left() -> None:
    """All are forgotten, and weigh nothing."""
    hot = Hot()
    hot.remember(b"GET /a", answer())
    hot.clear()
    assert hot.get(b"GET /a", 0) is None
    assert (hot._bytes, len(hot._answers)) == (0, 0)
