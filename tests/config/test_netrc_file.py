"""The netrc file: what is read of it. Who is told what is held by `test_credentials`."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.netrc_file import Netrc, path


def test_path() -> None:
    """$NETRC outranks the file at home; an empty variable is none."""
    assert [Path("/x/y"), Path("/h/.netrc"), Path("/.netrc")] == [
        path(environ) for environ in ({"NETRC": "/x/y", "HOME": "/h"}, {"NETRC": "", "HOME": "/h"}, {})
    ]


def test_read(tmp_path: Path) -> None:
    """Hosts are compared in lower case; what has no password is no entry; none of it is shown."""
    file = tmp_path / "netrc"
    file.write_text(
        "machine A.example login me password hunter2\n"
        "machine b.example password hunter2\n"
        "machine c.example login me\n"
        "macdef init\n  cd /x\n\n"
        "default login any password hunter2\n",
        encoding="utf-8",
    )

    read = Netrc.read(file)

    assert ({"a.example": "me:hunter2", "b.example": ":hunter2"}, "any:hunter2") == (read.pairs, read.default)
    assert "hunter2" not in f"{read!r} {read}"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "cannot be read"),
        (b"machine x login y pasword hunter2\n", "no netrc file"),
        (b"\xff\xfe", "no netrc file"),
    ],
)
def test_read__not(tmp_path: Path, content: bytes | None, word: str) -> None:
    """The file is named, and nothing that stands in it."""
    file = tmp_path / "netrc"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(LookupError, match=word) as caught:
        Netrc.read(file)

    assert str(file) in str(caught.value)
    assert caught.value.__suppress_context__
    assert "hunter2" not in f"{caught.value!r}"
