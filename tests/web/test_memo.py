"""What replay remembers: answers by request head, and bodies by their content, within bounds."""

from __future__ import annotations

from proxy.cache.representation import Representation
from proxy.events import Served
from proxy.model import Kind, Outcome, Source
from proxy.web.memo import Memo, Ready, Remembered, ShortBodies

_PAGE = Representation(b"", Kind.PAGE, "pypi", "text/html", "max-age=600", '"tag"', Outcome.HIT, Source.CACHE)


def answer(expires: float = 10.0, path: str = "/") -> Remembered:
    """An answer that may be given again."""
    return Remembered(_PAGE, path, "body", None, expires)


def test_head__each_second() -> None:
    """`Date` and `Age` are those of the second's first answer; also when the clock is set back."""
    ready = Ready(b"HTTP/1.1 200 OK\r\n", Served("pypi", Kind.PAGE, Outcome.HIT, 200, {}, 0.0, "GET", "/"), None)
    heads = [ready.head(now, age) for now, age in ((100.2, 7.9), (100.9, 8.6), (101.0, 8.7), (99.5, 9.0))]
    first = b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:01:40 GMT\r\nAge: 7\r\n\r\n"
    assert [first, first, first.replace(b":40", b":41").replace(b" 7", b" 8")] == heads[:3]
    assert first.replace(b":40", b":39").replace(b" 7", b" 9") == heads[3]
    assert heads[0] is heads[1]
    assert b"Age" not in ready.head(200.0, None)


def test_get__only_the_same_bytes() -> None:
    """The whole head is the key."""
    memo, kept = Memo(), answer()
    memo.remember(b"GET /a", kept)
    assert memo.get(b"GET /a", 0) is kept
    assert [memo.get(head, 0) for head in (b"GET /", b"GET /a ", b"get /a", b"")] == [None] * 4


def test_get__until_it_expires() -> None:
    """An answer is gone at the end of its life."""
    memo = Memo()
    memo.remember(b"GET /a", answer(expires=10.0))
    assert memo.get(b"GET /a", 9.9) is not None
    assert memo.get(b"GET /a", 10.0) is None
    assert memo.get(b"GET /a", 0) is None


def test_remember__in_the_place_of_another() -> None:
    """The newer answer counts, and the older one weighs nothing any more."""
    memo = Memo()
    for _ in range(1000):
        memo.remember(b"GET /a", answer(path="x" * 60_000))
    newest = answer()
    memo.remember(b"GET /a", newest)
    assert memo.get(b"GET /a", 0) is newest
    memo.drop(b"GET /a")
    assert (memo._bytes, len(memo._answers)) == (0, 0)


def test_remember__five_thousand_heads() -> None:
    """Asked for in turn, all are there each time: heads that differ in their User-Agent only are many."""
    memo = Memo()
    heads = [b"GET /a HTTP/1.1\r\nUser-Agent: pip/24.0 %d%s" % (number, bytes(500)) for number in range(5000)]
    for head in heads:
        memo.remember(head, answer())
    assert all(memo.get(head, 0) is not None for head in heads)


def test_remember__is_bounded_by_bytes() -> None:
    """The longest unused go first."""
    memo = Memo()
    memo.remember(b"first", answer())
    for number in range(20_000):
        memo.remember(b"%d" % number, answer())
        assert memo.get(b"first", 0) is not None
        memo.use(b"first")
    assert 5000 <= len(memo._answers) <= 16_384
    assert (memo.get(b"0", 0) is None, memo.get(b"19999", 0) is None) == (True, False)
    for number in range(2000):
        memo.remember(b"large %d" % number, answer(path="x" * 60_000))
    assert memo._bytes <= 24 << 20
    assert memo.get(b"first", 0) is None


def test_remember__no_long_heads() -> None:
    """A head of more than 2 KiB is not worth it."""
    memo = Memo()
    memo.remember(b"x" * 3000, answer())
    assert memo.get(b"x" * 3000, 0) is None


def test_drop__what_is_not_there() -> None:
    """Nothing happens."""
    memo = Memo()
    memo.drop(b"x")
    assert memo._bytes == 0


def test_use__of_what_is_not_there() -> None:
    """Nothing is kept of it."""
    memo, bodies = Memo(), ShortBodies()
    memo.use(b"x")
    bodies.use("x")
    assert (memo.get(b"x", 0), bodies.get("x")) == (None, None)


def test_clear__nothing_is_left() -> None:
    """All are forgotten, and weigh nothing."""
    memo, bodies = Memo(), ShortBodies()
    memo.remember(b"GET /a", answer())
    bodies.keep("a", b"body")
    memo.clear()
    bodies.clear()
    assert (memo.get(b"GET /a", 0), bodies.get("a")) == (None, None)
    assert (memo._bytes, len(memo._answers), bodies._bytes) == (0, 0, 0)


def test_bodies__bounded_by_bytes() -> None:
    """The longest unused make room; one that is kept anew weighs once."""
    bodies = ShortBodies()
    bodies.keep("first", bytes(1 << 20))
    for number in range(100):
        bodies.keep(f"{number % 50}", bytes(1 << 20))
        assert bodies.get("first") is not None
        bodies.use("first")
    assert bodies._bytes == sum(map(len, bodies._bodies.values())) == 32 << 20
    assert bodies.get("0") is None
    assert bodies.get("49") is not None
