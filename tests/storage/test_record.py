"""The objects of blobs: which are held, and that there is one of each."""

from __future__ import annotations

from proxy.storage.record import INLINE, Record, Records, hidden

NAMES = [character * 64 for character in "abcdef"]


def _record(name: str) -> Record:
    return Record(name, 1, "stamp", 1.0)


def test_record__hidden() -> None:
    """A large file of which nothing is known may not be served; a small one is proved when it is opened."""
    assert Record(NAMES[0], INLINE + 1, None, 0.0).hidden
    assert not Record(NAMES[0], INLINE, None, 0.0).hidden
    assert not Record(NAMES[0], INLINE + 1, "stamp", 0.0).hidden
    assert [True, False, False] == [hidden(INLINE + 1, None), hidden(INLINE, None), hidden(INLINE + 1, "stamp")]


def test_hold__lets_go_of_the_longest_untouched() -> None:
    """No more are held than were asked for; what is let go is told."""
    let_go: list[str] = []
    records = Records(2, lambda record: let_go.append(record.sha256))
    first, second, third = map(_record, NAMES[:3])
    records.hold(first)
    records.hold(second)
    assert records.touch(first)
    records.hold(third)

    assert [NAMES[1]] == let_go
    assert [first, None, third] == [records.get(name) for name in NAMES[:3]]
    assert not records.touch(second)


def test_hold__what_is_read_stays() -> None:
    """One that somebody reads is not let go, and does not keep others from it."""
    let_go: list[str] = []
    records = Records(1, lambda record: let_go.append(record.sha256))
    read = _record(NAMES[0])
    read.leases = 1
    records.hold(read)
    for name in NAMES[1:4]:
        records.hold(_record(name))

    assert read is records.get(NAMES[0])
    assert [NAMES[1], NAMES[2]] == let_go
    assert 2 == len(records)


def test_released__no_more_are_held() -> None:
    """What many read at once is let go as they end; what fits stays."""
    records = Records(2, lambda _: None)
    read = [_record(name) for name in NAMES]
    for record in read:
        record.leases = 1
        records.hold(record)
    held = [len(records)]
    for record in read:
        record.leases = 0
        records.released(record)
        held.append(len(records))

    assert [6, 5, 4, 3, 2, 2, 2] == held
    assert [None] * 4 == [records.get(name) for name in NAMES[:4]]
    assert read == [records.take_again(name) or records.get(name) for name in NAMES]


def test_take_again__as_long_as_somebody_has_it() -> None:
    """The same object is given again while anybody has it, and none when nobody does."""
    records = Records(1, lambda _: None)
    mine = _record(NAMES[0])
    records.hold(mine)
    records.hold(_record(NAMES[1]))
    records.hold(_record(NAMES[2]))

    assert mine is records.take_again(NAMES[0])
    assert mine is records.get(NAMES[0])
    assert records.take_again(NAMES[1]) is None


def test_forget__held_or_not() -> None:
    """What is gone is not given again."""
    records = Records(1, lambda _: None)
    first, second = map(_record, NAMES[:2])
    records.hold(first)
    records.hold(second)
    for name in NAMES[:3]:
        records.forget(name)

    assert [None] * 4 == [look(name) for name in NAMES[:2] for look in (records.get, records.take_again)]
