"""What is said of a folder that cannot be the data folder."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import StoreBroken, StoreFull, StoreRefused
from proxy.storage.folder import prepare
from proxy.storage.refusals import refusal
from tests.storage.disk import keep, opened


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOSPC, StoreFull, "is full, or takes no more files. Free some space there"),
        (errno.EFBIG, StoreFull, "is full"),
        (errno.EDQUOT, StoreFull, "The quota of this user"),
        (errno.EROFS, StoreBroken, "cannot be written: Read-only file system;"),
        (errno.ENAMETOOLONG, StoreRefused, "too long"),
        (errno.EMFILE, StoreRefused, "ulimit -n"),
        (errno.ENFILE, StoreRefused, "ulimit -n"),
        (errno.ENOLCK, StoreRefused, "Use a local disk"),
        (errno.EOPNOTSUPP, StoreRefused, "Use a local disk"),
        (errno.EIO, StoreBroken, os.strerror(errno.EIO)),
        (errno.ESTALE, StoreBroken, os.strerror(errno.ESTALE)),
    ],
)
def test_refusal__reason(tmp_path: Path, number: int, kind: type[Exception], said: str) -> None:
    """Each reason has the advice that helps against it, and no other's."""
    error = refusal(tmp_path, OSError(number, os.strerror(number)))

    assert kind is type(error)
    assert said in str(error)
    assert ("--data" in str(error)) != (number in (errno.EMFILE, errno.ENFILE))
    assert ("Free" in str(error)) == (kind is StoreFull)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_refusal__no_rights(tmp_path: Path, number: int) -> None:
    """Of a folder that is there, the folder is to be opened to the user; else the one in which it is to be made."""
    there = str(refusal(tmp_path, OSError(number, "")))
    missing = str(refusal(tmp_path / "a" / "b", OSError(number, "")))

    assert f"The data folder {tmp_path} cannot be written by user {os.geteuid()}. Let that user write there" in there
    assert f"The data folder {tmp_path}/a/b cannot be made: user {os.geteuid()} may not write in {tmp_path}." in missing


def _file_above(path: Path) -> Path:
    path.parent.touch()
    return path.parent


def _file(path: Path) -> Path:
    path.parent.mkdir()
    path.touch()
    return path


def _link(path: Path) -> Path:
    path.parent.mkdir()
    path.symlink_to("missing")
    return path


def _circle(path: Path) -> Path:
    path.parent.symlink_to(path.parent)
    return path.parent


def _file_in_it(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "index").touch()
    return path / "index"


def _folder_in_it(path: Path) -> Path:
    (path / "lock").mkdir(parents=True)
    return path / "lock"


def _link_in_it(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "lock").symlink_to(path)
    return path / "lock"


@pytest.mark.parametrize("make", [_file_above, _file, _link, _circle, _file_in_it, _folder_in_it, _link_in_it])
def test_refusal__something_in_the_way(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """What stands in the way is named, wherever it is."""
    path = tmp_path / "above" / "data"
    blamed = make(path)

    with pytest.raises(StoreBroken) as caught:
        prepare(path)

    assert str(caught.value).startswith(f"The data folder {path} cannot be used: {blamed} is ")
    assert "--data" in str(caught.value)


async def test_open__bound_below_the_database(tmp_path: Path) -> None:
    """A bound that the database alone fills is refused with the least value, which is one that works."""
    path = tmp_path / "data"
    async with opened(path) as store:
        for number in range(200):
            await keep(store, f"{number}/{'long name' * 400}", b"%d" % number)
    database = (path / "index" / "cache.db").stat().st_size

    with pytest.raises(StoreBroken, match=f"cannot be held to {database} bytes: its database alone") as caught:
        async with opened(path, database):
            pass
    least = re.search(r"at least (\d+) MB", str(caught.value))
    assert least is not None

    async with opened(path, int(least[1]) * 10**6) as store:
        assert await keep(store, "one more", b"one more") == store.find("one more")
