"""Files of a page, which are made when somebody asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec import structs

from proxy.python.file_list import FileList, FilesByName, file_of, links_of
from proxy.python.page import File, Page
from proxy.python.plain_links import Link, PlainHashes, PlainLink

HEX = "0123456789abcdef" * 4


def plain(name: str, folder: str = "a") -> PlainLink:
    """A plain link to a file."""
    return PlainLink(name, f"https://files.example/{folder}/{name}", PlainHashes(HEX), yanked=False)


def links(page: Page) -> Sequence[Link]:
    """What the files of a page are made of."""
    assert isinstance(page.files, FileList)
    return page.files.links


ONE, TWO = plain("demo-1.0.tar.gz"), plain("demo-2.0.tar.gz")
FILE = File("demo-3.0.tar.gz", "https://files.example/demo-3.0.tar.gz")


def test_file_list__is_a_sequence_of_files() -> None:
    """It compares and reads as the tuple of its files."""
    files = FileList([ONE, FILE, TWO])
    expected = (ONE.file(), FILE, TWO.file())

    assert expected == files
    assert files == FileList(files)
    assert (3, expected[0], expected[2]) == (len(files), files[0], files[-1])
    assert expected[1:] == tuple(files[1:])
    assert files != expected[1:]
    assert files != list(expected)
    assert repr(files) == f"FileList({list(expected)!r})"
    with pytest.raises(TypeError):
        hash(files)


@pytest.mark.parametrize("name", ["demo", "demo_x", "Demo.X-", "demo-x"])
def test_of__a_project(name: str) -> None:
    """The names of most files tell their project, however it is spelt; the others know it."""
    told = [plain(f"{name}-1.{number}.tar.gz") for number in range(700)]
    other = plain("other-1.0.tar.gz")
    project = "demo" if name == "demo" else "demo-x"

    made = FileList([*told, other, FILE]).of(project)

    assert told == list(made.links[:700])
    assert structs.replace(other.file(), project=project) == made[700]
    assert (project if project != "demo" else "") == made[701].project


def test_files_by_name__of_several() -> None:
    """A name may be that of several files."""
    twin = plain(ONE.filename, "b")
    named = FilesByName(FileList([ONE, TWO, twin, FILE]))

    assert [ONE.file(), twin.file()] == named[ONE.filename]
    assert ([ONE, twin], [TWO], []) == tuple(list(named.links(name)) for name in (ONE.filename, TWO.filename, "x"))
    assert ([ONE.filename, TWO.filename, FILE.filename], 3) == (list(named), len(named))
    assert (True, False, None) == (FILE.filename in named, "x" in named, named.get("x"))
    with pytest.raises(KeyError):
        named["x"]


def test_files_by_name__of_files() -> None:
    """Each file under its name, whatever they come as."""
    assert {FILE.filename: [FILE]} == dict(FilesByName((FILE,)))
    assert {} == dict(FilesByName(()))


def test_links_of__what_files_are_made_of() -> None:
    """Plain links stay what they are, and so do files."""
    assert [ONE, FILE] == list(links_of(FileList([ONE, FILE])))
    assert (FILE,) == links_of((FILE,))
    assert (FILE, ONE.file()) == (file_of(FILE), file_of(ONE))
