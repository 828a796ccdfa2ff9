"""Anchors of a page in HTML; how a page as a whole is read is in test_parsing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy.python.page import File
from proxy.python.parsing import parse

URL = "https://index.example/simple/torch/"


def html(anchor: str) -> Sequence[File]:
    """The files of a page in HTML with this anchor."""
    return parse(f"<!DOCTYPE html><title>Links for torch</title>{anchor}".encode(), "text/html", URL).files


@pytest.mark.parametrize(
    ("href", "url", "name", "fragment"),
    [
        ("/a//b.whl", "https://index.example/a//b.whl", "b.whl", ""),
        ("a%2Fb.whl", "https://index.example/simple/torch/a%2Fb.whl", "b.whl", ""),
        ("50%.whl", "https://index.example/simple/torch/50%25.whl", "50%.whl", ""),
        ("/get?id=1", "https://index.example/get?id=1", "torch-1.0-py3-none-any.whl", ""),
        ("/get/?id=1", "https://index.example/get/?id=1", "torch-1.0-py3-none-any.whl", ""),
        ("/torch-2.0.zip?id=1", "https://index.example/torch-2.0.zip?id=1", "torch-2.0.zip", ""),
        ("/1.0.tar.gz#egg=torch-1.0", "https://index.example/1.0.tar.gz", "1.0.tar.gz", "egg=torch-1.0"),
        ("git+https://g.example/x@v1#egg=t-1", "git+https://g.example/x@v1", "torch-1.0-py3-none-any.whl", "egg=t-1"),
        ("ftp://files.example/x.whl", "ftp://files.example/x.whl", "torch-1.0-py3-none-any.whl", ""),
        ("http://f.example:443/x.whl", "http://f.example:443/x.whl", "x.whl", ""),
    ],
)
def test_links_of_any_kind(href: str, url: str, name: str, fragment: str) -> None:
    """What an installer could follow is there, under the name that it has, wherever the page says it."""
    (file,) = html(f'<a href="{href}">torch-1.0-py3-none-any.whl</a>')
    assert (url, name, fragment) == (file.url, file.filename, file.fragment)


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("/get?file=torch-1.0.tar.gz", "torch-1.0.tar.gz"),
        ("/get?file=dist%2Ftorch-1.0.tar.gz&x", "torch-1.0.tar.gz"),
        ("/get?id=1#egg=torch-1.0", "torch-1.0"),
        ("/get?id=1", "get"),
        ("git+https://g.example/a/torch.git@1.0#egg=torch-1.0", "torch-1.0"),
        ("git+https://g.example/a/torch.git@1.0", "torch.git@1.0"),
        ("git+https://g.example/a/torch.git@1.0#egg=..", "torch.git@1.0"),
    ],
)
def test_names_without_a_text(href: str, name: str) -> None:
    """The query may name the file, the fragment the project, else it is the end of the path."""
    (file,) = html(f'<a href="{href}">here</a>')
    assert name == file.filename
