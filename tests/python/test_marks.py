"""Marks in addresses on the cache."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.python.marks import Unmarked, marked, plain, unmarked, without_empties

segments = st.sampled_from(
    ["", "a", "+", "+empty", "++empty", "+of", "+file", "+name", "++name", "a+name", "acme", "1.0"]
)
paths = st.lists(segments, max_size=6).map("/".join)
names = st.sampled_from(["x.whl", "+name", "+empty", "a"])
projects = st.none() | st.sampled_from(["acme", "a-b"])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a/b.whl", Unmarked("a/b.whl")),
        ("a+b/c+d.whl", Unmarked("a+b/c+d.whl")),
        ("a/+empty/b", Unmarked("a//b")),
        ("a/++empty/b", Unmarked("a/+empty/b")),
        ("a/+file/b", Unmarked("a/b", file=True)),
        ("a/+name/b", Unmarked("a", "b", file=True)),
        ("+name/b", Unmarked("", "b", file=True)),
        ("a/+empty/+name/b", Unmarked("a/", "b", file=True)),
        ("a/+of/acme/1.0.zip", Unmarked("a/1.0.zip", None, "acme", file=True)),
        ("a/+of/acme/+name/1.0.zip", Unmarked("a", "1.0.zip", "acme", file=True)),
        ("a/+name/", Unmarked("a/name/")),
        ("a/+name/b/c", Unmarked("a/name/b/c")),
        ("a/+of/Acme/1.0.zip", Unmarked("a/of/Acme/1.0.zip")),
    ],
)
def test_unmarked(path: str, said: Unmarked) -> None:
    """What a path on the cache says."""
    assert said == unmarked(path)


@given(paths, st.none() | names, projects, st.booleans())
def test_marked__inverse(path: str, name: str | None, project: str | None, file: bool) -> None:
    """Whatever is said is read back as it was, and no segment but the last is empty."""
    if name is None and not path.rpartition("/")[2]:
        project, file = None, False  # folders have no marks
    shown = marked(path, name=name, project=project, file=file)
    assert unmarked(shown) == Unmarked(path, name, project, file or bool(project) or name is not None)
    assert "" not in shown.split("/")[:-1]


@given(paths)
def test_plain__is_as_it_is(path: str) -> None:
    """What is called plain needs no mark, and all others but few do."""
    if plain(path):
        assert path == marked(path)
    if path == marked(path) and "+" not in path:
        assert plain(path) or not path


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/+empty/b", "a/b"), ("+empty/", ""), ("a/++empty/b", "a/++empty/b"), ("a/+empty/+empty/", "a/"), ("a", "a")],
)
def test_without_empties(path: str, expected: str) -> None:
    """Only the marks of empty segments go."""
    assert expected == without_empties(path)
