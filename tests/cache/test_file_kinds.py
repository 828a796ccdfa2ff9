"""What cannot be what its name says."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.cache.file_kinds import HEAD, begins, is_html, is_markup, is_page, shape


def _zip(members: int = 3, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"demo/{number}.py", f"number = {number}\n" * 50)
        archive.comment = comment
    return out.getvalue()


def _tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("demo-1.0/setup.py")
        info.size = 5000
        archive.addfile(info, io.BytesIO(b"# setup\n" * 625))
    return out.getvalue()


def _ar(*sizes: int) -> bytes:
    made = b"!<arch>\n"
    for number, size in enumerate(sizes):
        made += f"{f'member{number}/':16}{0:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode() + b"x" * size
        made += b"\n" * (size % 2)
    return made


FILES = {
    "demo-1.0-py3-none-any.whl": _zip(),
    "demo.zip": _zip(0),
    "commented.egg": _zip(2, b"of one file" * 20),
    "demo-1.0.tar.gz": gzip.compress(_tar()),
    "members.TGZ": gzip.compress(b"one" * 900) + gzip.compress(b"two" * 900),
    "demo_1.0_amd64.deb": _ar(4, 1201, 3000),
    "demo.tar.bz2": bz2.compress(_tar()),
    "demo.tar.xz": lzma.compress(_tar()),
}
_CHECKED_TO_THE_END = sorted(set(FILES) - {"demo.tar.bz2"})


def whole(name: str, body: bytes, step: int = 1 << 20) -> bool:
    """Whether a body is taken for a whole file of that name, fed in pieces."""
    found = shape(name)
    assert found is not None
    for at in range(0, len(body), step):
        found.feed(memoryview(body)[at : at + step])
    return found.whole()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_shape__right_file(name: str, step: int) -> None:
    """A whole file is one, however it is cut into pieces."""
    assert whole(name, FILES[name], step)


@given(st.sampled_from(_CHECKED_TO_THE_END), st.floats(0, 1, exclude_max=True), st.integers(1, 5000))
def test_shape__cut_short(name: str, where: float, step: int) -> None:
    """A file that ends anywhere before its end is none; but for a byte that fills it up."""
    body = FILES[name]
    end = int(len(body) * where)
    if name == "members.TGZ" and end == len(gzip.compress(b"one" * 900)):
        return  # that is a whole file, too
    if name == "demo_1.0_amd64.deb" and body[:end] in {_ar(4), _ar(4, 1201), _ar(4, 1201)[:-1]}:
        return
    assert not whole(name, body[:end], step)


@given(st.sampled_from(sorted(FILES)), st.binary(max_size=2000))
def test_shape__something_else(name: str, body: bytes) -> None:
    """Other bytes, and none at all, are no file of that name."""
    assume(name in _CHECKED_TO_THE_END or not body.startswith(FILES[name][:3]))
    for first in (b"", b"<!DOCTYPE html><html>"):
        assert not whole(name, first + body)


@pytest.mark.parametrize("name", ["demo.metadata", "demo-1.0.tar", "notes.txt", "demo", ""])
def test_shape__nothing_known(name: str) -> None:
    """Of other names nothing is demanded."""
    assert shape(name) is None
    assert not begins(name, b"anything")


@pytest.mark.parametrize("rest", [b"\0" * 3000, b"a signature"])
def test_shape__gzip_with_something_behind(rest: bytes) -> None:
    """What follows a gzip file is left alone."""
    for step in (1, 100, 1 << 20):
        assert whole("demo.tar.gz", FILES["demo-1.0.tar.gz"] + rest, step)


def test_shape__gzip_that_unpacks_to_much() -> None:
    """A long body of zeros is unpacked without holding it, to its very end."""
    body = gzip.compress(bytes(50 << 20), 9)
    assert whole("demo.gz", body)
    assert not whole("demo.gz", body[:-1])


def test_shape__zip_of_many_files() -> None:
    """A zip whose directory is longer than what is looked at, and one with the records of ZIP64."""
    many = _zip(2000)
    assert whole("demo.whl", many)
    assert not whole("demo.whl", many[:-5])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(70_000):
            archive.writestr(str(number), b"")
    assert whole("demo.whl", out.getvalue(), 1 << 20)


def test_begins__as_it_is_called() -> None:
    """The first bytes of a file show that it is not in a further coding."""
    for name, body in FILES.items():
        assert begins(name, body[:HEAD])
        assert not begins(name, gzip.compress(body)[:HEAD]), name
        assert not begins(name, b"")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [("text/html", True), ("Text/HTML; charset=utf-8", True), ("application/xhtml+xml", True), ("text/plain", False)],
)
def test_is_page(content_type: str, expected: bool) -> None:
    """Pages are known by their media type."""
    assert expected is is_page(content_type)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"<!DOCTYPE html>", True),
        (b"\xef\xbb\xbf\r\n <html>", True),
        (b"", True),
        (b"PK\x03\x04", False),
        (b"!<arch>\n", False),
        (b"\x1f\x8b\x08", False),
        (b"MZ\x90", False),
    ],
)
def test_is_markup(head: bytes, expected: bool) -> None:
    """What is called a page and begins as a binary file is that file."""
    assert expected is is_markup(head)


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.asc", b"<!DOCTYPE html><html>", True),
        ("a.asc", b"\xef\xbb\xbf\r\n <HTML lang=en>", True),
        ("a.asc", b"<!doctype  HTML PUBLIC>", True),
        ("a.asc", b'<?xml version="1.0"?>\n<!-- login -->\n<html xmlns="x">', True),
        ("linux.gz", b"<head><title>Please log in", True),
        ("changelog", b"<script>location = 1</script>", True),
        ("index.html", b"<!DOCTYPE html><html>", False),
        ("MANUAL.HTM", b"<!DOCTYPE html><html>", False),
        ("a.asc", b"-----BEGIN PGP", False),
        ("a.list", b"deb http://html <html>", False),
        ("a.xml", b'<?xml version="1.0"?><components>', False),
        ("a.xml", b"<header>", False),
        ("a", b"", False),
    ],
)
def test_is_html(name: str, head: bytes, expected: bool) -> None:
    """A page is known by its first bytes; where the file is a page, it is the file."""
    assert expected is is_html(name, head)
