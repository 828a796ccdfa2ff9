"""Whether `url` and `index` of an upstream fit each other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.config import UpstreamSettings
from proxy.config.placement import doubt, refusal, whole_address

_FOLDERS = st.lists(
    st.sampled_from(["simple", "+simple", "Simple", "whl", "root", "pypi", "cu126", "tokentoken"]), max_size=5
)


def _entry(**given: Any) -> UpstreamSettings:
    return UpstreamSettings(mount="house", **given)


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        ("https://index.example/simple/", ['index = ""', 'url = "https://index.example/"', 'index = "simple/"']),
        ("https://index.example/simple", ['index = ""', 'url = "https://index.example/"', 'index = "simple/"']),
        ("http://index.example:8080/simple/", ['index = ""', 'url = "http://index.example:8080/"']),
        ("https://index.example/repository/pypi-all/simple", ['index = ""', "take simple/ off its end"]),
        (
            "https://index.example/root/pypi/+simple/",
            ['index = ""', 'take +simple/ off its end and write index = "+si'],
        ),
        ("https://index.example/Simple/", ['index = ""', 'url = "https://index.example/" and write index = "Simple/"']),
    ],
)
def test_url__ends_in_the_index(url: str, lines: list[str]) -> None:
    """It is refused with the lines to write, whatever the folder's name and with or without a slash."""
    with pytest.raises(ValidationError) as caught:
        _entry(url=url)

    (detail,) = caught.value.errors()
    assert [] == [line for line in lines if line not in detail["msg"]]


@pytest.mark.parametrize(
    "given",
    [
        {"url": "https://index.example/"},
        {"url": "https://index.example/root/pypi/", "index": "+simple/"},
        {"url": "https://index.example/simple/", "index": ""},
        {"url": "https://index.example/whl/", "index": "cu126/"},
        {"url": "https://index.example/repository/pypi-all/"},
        {"url": "https://index.example/simplest/"},
        {"url": "https://index.example/simple/", "kind": "flat"},
        {"url": "https://index.example/whl/", "kind": "flat"},
    ],
    ids=str,
)
def test_entry__as_it_is_meant(given: dict[str, Any]) -> None:
    """Of a base and a path that fit each other nothing is said."""
    assert _entry(**given).doubt is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"url": "https://index.example/simple/", "index": "simple/"}, 'index = ""'),
        ({"url": "https://index.example/whl", "index": "whl"}, 'index = ""'),
        ({"url": "https://index.example/root/pypi/", "index": "root/pypi/+simple/"}, 'index = "+simple/"'),
        ({"url": "https://index.example/simple/requests/"}, "name of a project, end it before that"),
        ({"url": "https://index.example/simple/requests/", "index": "simple/"}, "name of a project"),
        ({"url": "https://index.example/whl/cu126/"}, 'index = ""'),
        ({"url": "https://index.example/whl/cu126/", "index": "simple/"}, 'index = ""'),
    ],
    ids=str,
)
def test_entry__that_is_odd(given: dict[str, Any], line: str) -> None:
    """What may be meant is taken, and told with the line to write."""
    said = _entry(**given).doubt

    assert said is not None
    assert line in said


@given(_FOLDERS, _FOLDERS, st.booleans())
def test_texts__show_no_path(folders: list[str], further: list[str], given: bool) -> None:
    """Nothing that is said shows more of a base's path than the folders in question: the rest may be a token."""
    url = "/".join(["https://index.example", *folders, ""])
    index = "".join(f"{folder}/" for folder in further if folder != "tokentoken")

    assert "tokentoken" not in (refusal(url) or "")
    assert "tokentoken" not in (doubt(url, index, given=given) or "")


@given(_FOLDERS, _FOLDERS)
def test_doubt__none_where_the_index_is_empty(folders: list[str], further: list[str]) -> None:
    """The line that is offered ends the matter: an empty index is never doubtful, nor is any below a bare host."""
    url = "/".join(["https://index.example", *folders, ""])

    assert doubt(url, "", given=True) is None
    assert doubt("https://index.example/", "".join(f"{folder}/" for folder in further), given=True) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("https://index.example/simple/", 'write index = "simple/"'),
        ("HTTPS://Index.Example/simple", 'write index = "simple/"'),
        ("https://index.example", 'write index = ""'),
        ("https://other.example/simple/", 'such as index = "simple/"'),
        ("https://user:hunter2@index.example/simple/", 'such as index = "simple/"'),
        ("https://[hunter2/simple/", 'such as index = "simple/"'),
        ("https://hunter2\u2100.example/", 'such as index = "simple/"'),
    ],
)
def test_index__a_whole_address(value: str, said: str) -> None:
    """It is refused by the name of its key; below the base, with the path to write. No host or password is shown."""
    with pytest.raises(ValidationError) as caught:
        _entry(url="https://index.example/", index=value)

    (detail,) = caught.value.errors()
    assert ("index",) == detail["loc"]
    assert said in detail["msg"]
    assert "hunter2" not in detail["msg"]


def test_whole_address__a_path() -> None:
    """A path is none."""
    assert whole_address("simple/", "https://index.example/") is None
