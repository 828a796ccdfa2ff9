"""What a journal says of a download, however it was cut off."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cache.extents import Extents
from proxy.model import Validator
from proxy.ports import SpoolState
from proxy.storage.journal import Journal, begun_in, replay

SIZE = 1000
STATE = SpoolState(SIZE, Validator('"1"'), ((0, 5), (7, 9)))
_RANGES = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair)))


def _journal(path: Path, *written: SpoolState | tuple[int, int]) -> bytes:
    journal = Journal(path)
    journal.open()
    journal.begin("whl", "boot")
    for line in written:
        if isinstance(line, SpoolState):
            journal.state(line)
        else:
            journal.wrote(*line)
    text = journal.read()
    journal.close()
    return text


@settings(deadline=None)  # it writes files
@given(st.lists(st.one_of(_RANGES, st.just(STATE)), max_size=12), st.data())
def test_replay__cut_anywhere(
    tmp_path_factory: object, written: list[SpoolState | tuple[int, int]], data: st.DataObject
) -> None:
    """A journal cut at any byte says what its whole lines say: the last state, and what was written since."""
    path = _folder(tmp_path_factory) / "journal"
    path.unlink(missing_ok=True)
    text = _journal(path, *written)
    text = text[: data.draw(st.integers(0, len(text)))]
    lines = written[: max(text.count(b"\n") - 1, 0)]

    found = replay(text, "whl", "boot", SIZE)

    if STATE not in lines:
        assert found is None
    else:
        last = len(lines) - 1 - lines[::-1].index(STATE)
        extents = Extents(STATE.extents)
        for line in lines[last + 1 :]:
            assert not isinstance(line, SpoolState)
            extents = extents.add(*line)
        assert found == SpoolState(STATE.size, STATE.validator, extents.ranges)


def _folder(factory: object) -> Path:
    from pytest import TempPathFactory  # noqa: PLC0415, PT013

    assert isinstance(factory, TempPathFactory)
    return factory.getbasetemp()


def test_replay__another_run_of_the_machine(tmp_path: Path) -> None:
    """What was written before the machine stopped may not be on its disk: it is not believed."""
    text = _journal(tmp_path / "journal", STATE)

    assert replay(text, "whl", "another boot", SIZE) is None
    assert replay(text, "whl", "", SIZE) is None
    assert replay(text.replace(b'"boot"', b'""'), "whl", "", SIZE) is None


def test_replay__another_download(tmp_path: Path) -> None:
    """A journal of another name is not this download's."""
    text = _journal(tmp_path / "journal", STATE)

    assert replay(text, "another", "boot", SIZE) is None


def test_replay__file_is_shorter(tmp_path: Path) -> None:
    """Where the file has less than the journal says, nothing of it is believed."""
    text = _journal(tmp_path / "journal", STATE, (0, 900))

    assert replay(text, "whl", "boot", 899) is None
    assert replay(text, "whl", "boot", 900) is not None


@given(st.binary(max_size=200))
def test_replay__garbage(text: bytes) -> None:
    """A file that is no journal says nothing."""
    assert replay(text, "whl", "boot", SIZE) is None


@given(st.binary(max_size=60))
def test_replay__garbage_behind_a_state(line: bytes) -> None:
    """What follows a line that cannot be read is not believed either."""
    start = b'{"format":1,"name":"whl","boot":"boot"}\n'
    state = b'{"size":9,"validator":{},"extents":[]}\n'
    text = start + state + b"\x00" + line.replace(b"\n", b"") + b"\n[0,5]\n"

    assert replay(text, "whl", "boot", SIZE) == SpoolState(9, Validator(), ())


def test_replay__another_version() -> None:
    """A field that an older or newer program wrote is skipped: the download goes on."""
    text = b'{"format":1,"name":"whl","boot":"boot"}\n{"url":"u","size":9,"validator":{},"extents":[]}\n'

    assert replay(text, "whl", "boot", SIZE) == SpoolState(9, Validator(), ())


def test_begin__forgets(tmp_path: Path) -> None:
    """A journal that is begun again says nothing of what was there."""
    path = tmp_path / "journal"
    _journal(path, STATE)

    assert replay(_journal(path), "whl", "boot", SIZE) is None


def test_begun_in__run(tmp_path: Path) -> None:
    """The first line tells which run of the machine it is from."""
    path = tmp_path / "journal"
    _journal(path, STATE)

    assert begun_in(path, "boot")
    assert not begun_in(path, "another boot")
    assert not begun_in(path, "")
    assert not begun_in(tmp_path / "missing", "boot")
    path.write_bytes(b"\xff\xfe")
    assert not begun_in(path, "boot")
