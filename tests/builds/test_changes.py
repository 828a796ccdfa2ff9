"""The record of what setup changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.builds.changes import Changes, RecordUnreadable

_ROOT = Path(__file__).parents[2]
# Ctrl-C before the first thing that is done to the disk, before the second one, and so on until there is none. Each
# time it is taken back by another process, which has only the record.
_INTERRUPT_EACH = """
import os, sys
from pathlib import Path
from proxy.builds.changes import Changes

def work(home):
    changes = Changes.of_user({"HOME": str(home)})
    changes.make_folder(home / "data")
    changes.note("compose", "/somewhere")
    for text in (b"first", b"second"):
        changes.write(home / "pip.conf", text, "pip")
        changes.write(home / "a/b/uv.toml", text, "uv")
    changes.write(home / "pip.conf", b"original", "pip")
    changes.write(home / "pip.conf", b"third", "pip")
    changes.note("compose", None)

def interrupting(count):
    left = [count]
    def hook(event, arguments):
        if event in ("os.mkdir", "os.rename", "os.remove", "os.chmod", "os.rmdir") or (
            event == "open" and arguments[2] & os.O_ACCMODE
        ):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
    sys.addaudithook(hook)

def run(function, *arguments):
    child = os.fork()
    if not child:
        status = 1
        try:
            function(*arguments)
            status = 0
        except KeyboardInterrupt:
            status = 3
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def cut_off(home, count):
    interrupting(count)
    work(home)

def take_back(home):
    changes = Changes.of_user({"HOME": str(home)})
    for one in changes.files:
        assert changes.take_back(one), one
    assert [] == changes.remove_folders()

count, status = 0, 3
while status == 3:
    count += 1
    home = Path(sys.argv[1], str(count))
    home.mkdir()
    (home / "pip.conf").write_bytes(b"original")
    status = run(cut_off, home, count)
    assert 0 == run(take_back, home), count
    left = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert {"pip.conf"} == left, (count, left)
    assert b"original" == (home / "pip.conf").read_bytes(), count
print(count, status)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def changes(home: Path) -> Changes:
    """The record of somebody who has an empty home."""
    return Changes.of_user({"HOME": str(home)})


def _all(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: mode, and the bytes of files."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def _take_back(changes: Changes) -> list[Path]:
    for one in changes.files:
        assert changes.take_back(one)
    return changes.remove_folders()


def test_changes__taken_back_byte_for_byte(home: Path, changes: Changes) -> None:
    """New files and folders are gone, old ones have their bytes and their mode, and no record is left."""
    old = home / "pip.conf"
    old.write_bytes(b"[list]\r\nformat = columns\xff")
    old.chmod(0o640)
    before = _all(home)

    assert changes.write(old, b"other", "pip")
    assert changes.write(home / "a/b/new", b"new", "uv", mode=0o600)
    changes.note("compose", "/somewhere")
    assert (0o640, 0o600) == (old.stat().st_mode & 0o777, (home / "a/b/new").stat().st_mode & 0o777)
    again = Changes.load(changes.path)

    assert "/somewhere" == again.notes["compose"]
    assert [] == _take_back(again)
    assert before == _all(home)


def test_write__twice_keeps_the_first_original(home: Path, changes: Changes) -> None:
    """What was there before setup is what comes back, however often setup has written."""
    path = home / "file"
    path.write_bytes(b"original")
    changes.write(path, b"first", "pip")

    assert b"original" == changes.original(path)
    assert changes.write(path, b"second", "pip")
    assert not changes.write(path, b"second", "pip")

    _take_back(changes)
    assert b"original" == path.read_bytes()


def test_write__after_somebody_else(home: Path, changes: Changes) -> None:
    """A file that somebody has changed since is a new original."""
    path = home / "file"
    changes.write(path, b"ours", "pip")
    path.write_bytes(b"ours and theirs")

    assert b"ours and theirs" == changes.original(path)
    (one,) = changes.files
    assert not changes.take_back(one)
    assert b"ours and theirs" == path.read_bytes()


def test_leave__what_is_theirs(home: Path, changes: Changes) -> None:
    """The file has it with its own mode, and what setup writes next has it as its original."""
    path = home / "file"
    changes.write(path, b"ours", "pip", "lines")
    path.write_bytes(b"ours and theirs")
    path.chmod(0o640)
    one = changes.recorded(path)
    assert one is not None
    assert ("lines", "") == (changes.lines("pip"), changes.lines("uv"))

    changes.leave(one, b"theirs")

    assert (b"theirs", 0o640) == (path.read_bytes(), path.stat().st_mode & 0o777)
    assert Changes.load(changes.path).recorded(path) is None
    changes.write(path, b"ours again", "pip")
    _take_back(changes)
    assert b"theirs" == path.read_bytes()


def test_write__the_original_again_is_no_change(home: Path, changes: Changes) -> None:
    """Nothing is recorded of a file that is as it was."""
    path = home / "file"
    path.write_bytes(b"original")
    changes.write(path, b"ours", "pip")

    changes.write(path, b"original", "pip")

    assert () == changes.files


def test_write__link_stays_a_link(home: Path, changes: Changes) -> None:
    """Those who keep their settings elsewhere have links to them."""
    (home / "real").write_bytes(b"original")
    (home / "link").symlink_to("real")

    changes.write(home / "link", b"ours", "pip")

    assert "real" == str((home / "link").readlink())
    assert b"ours" == (home / "real").read_bytes()
    _take_back(changes)
    assert b"original" == (home / "real").read_bytes()


def test_take_back__file_that_is_gone_or_was_never_written(home: Path, changes: Changes) -> None:
    """A kill between record and change, or a person, was faster."""
    changes.write(home / "gone", b"ours", "pip")
    (home / "gone").unlink()
    (home / "old").write_bytes(b"original")
    changes.write(home / "old", b"ours", "pip")
    (home / "old").write_bytes(b"original")

    assert [] == _take_back(changes)
    assert {"old"} == {path.name for path in home.iterdir()}


def test_changes__interrupted_anywhere(tmp_path: Path) -> None:
    """Wherever Ctrl-C comes in between, nothing is half-written, and all of it can be taken back."""
    result = subprocess.run(
        [sys.executable, "-c", _INTERRUPT_EACH, str(tmp_path)], cwd=_ROOT, capture_output=True, text=True, check=False
    )

    assert (0, "") == (result.returncode, result.stderr)
    count, status = map(int, result.stdout.split())
    assert 0 == status, "the last one was not interrupted"
    assert count > 40, "there is a lot to interrupt"


def test_folders__with_contents_stay(home: Path, changes: Changes) -> None:
    """A folder that others use now is told."""
    assert changes.make_folder(home / "data")
    assert not changes.make_folder(home / "data")
    (home / "data/theirs").touch()

    assert changes.made(home / "data")
    assert [home / "data"] == changes.remove_folders()


@pytest.mark.parametrize("text", ["", "{", '{"files": 1}', "[]"])
def test_load__unreadable(tmp_path: Path, text: str) -> None:
    """Nothing is done on top of a record that cannot be read: what was there before would be lost."""
    (tmp_path / "setup.json").write_text(text)

    with pytest.raises(RecordUnreadable, match="Mend it, or delete it"):
        Changes.load(tmp_path / "setup.json")
