"""The commands of a RUN: which program gets which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.warming.shell_commands import Command, commands, filled, unknown

KNOWN = {"NAME": "demo", "EMPTY": ""}


def words(text: str) -> list[str]:
    """Each command in one line."""
    return [" ".join(one.words) for one in commands(text, KNOWN)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "apt-get update && apt-get install -y curl; rm -rf x",
            ["apt-get update", "apt-get install -y curl", "rm -rf x"],
        ),
        ("a | b || c &", ["a", "b", "c"]),
        ("a > out 2>&1 < in b", ["a b"]),
        ("a 2>/dev/null", ["a"]),
        (
            "if [ -n x ]; then pip install a; else pip install b; fi",
            ["[ -n x ]", "pip install a", "pip install b", "fi"],
        ),
        ("(a; b)", ["a", "b"]),
        ("pip install 'flask>=3' \"x[y]\"", ["pip install flask>=3 x[y]"]),
        ("pip install $NAME ${EMPTY} $OTHER", ["pip install demo $OTHER"]),
        ("A=1 B='x y' sudo pip install a", ["pip install a"]),
        ("pip install $(cat list.txt | sort) b", ["cat list.txt", "sort", "pip install $… b"]),
        ('x="$(sed -n \'s|(\\(a\\))|"|p\' "f)")"; b', ['sed -n s|(\\(a\\))|"|p f)', "b"]),
        ("pip install `cat list.txt`", ["cat list.txt", "pip install $…"]),
        ("# nothing\na \\\n  b", ["a b"]),
        ("a b # why && no\nc#d 'e # f' \"g\n# h\" \\# i", ["a b", "c#d e # f g\n# h # i"]),
        ("sh -c 'pip install a && b'", ["pip install a", "b"]),
        ('/bin/bash -euxo pipefail -c "pip install $NAME" x', ["pip install demo"]),
        ("sudo bash -lc 'sh -c \"pip install a\"'", ["pip install a"]),
        ('eval "pip install a; b"', ["pip install a", "b"]),
        ("sh -c", ["sh -c"]),
        ("bash more.sh", ["bash more.sh"]),
        ("cat <<<a\nb", ["cat", "b"]),
        ("<<end\napt-get update\npip install a\nend", ["apt-get update", "pip install a", "end"]),
        ("bash -e <<'end'\npip install a", ["pip install a"]),
        ("cat <<end > list\npip install a", ["cat"]),
        ("wget -q https://keys.example/a.gpg#x", ["wget -q https://keys.example/a.gpg#x"]),
        ("a '' b", ["a  b"]),
        ("", []),
    ],
)
def test_commands(text: str, expected: list[str]) -> None:
    """Each with its words, without what is redirected."""
    assert expected == words(text)


def test_commands__variables() -> None:
    """Those that are set for one command alone, and the program without its folder."""
    (found,) = commands("PIP_INDEX_URL=https://index.example/ /opt/bin/pip install a", {})
    assert Command(("/opt/bin/pip", "install", "a"), {"PIP_INDEX_URL": "https://index.example/"}) == found
    assert "pip" == found.program


@pytest.mark.parametrize("text", ["echo 'a", "a $(b", "a `b"])
def test_commands__no_shell(text: str) -> None:
    """A text without its end."""
    with pytest.raises(ValueError, match=r"[Nn]o "):
        words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NAME}", "demo"),
        ("$NAME-x", "demo-x"),
        ("${OTHER}", "${OTHER}"),
        ("${OTHER:-y}", "y"),
        ("${EMPTY:-y}", "y"),
        ("${EMPTY-y}", ""),
        ("${NAME:-y}", "demo"),
        ("${NAME:+y}", "y"),
        ("${EMPTY:+y}", ""),
        ("${OTHER:+y}", "${OTHER:+y}"),
    ],
)
def test_filled(text: str, expected: str) -> None:
    """What is known is filled in; what is not stays, and is seen."""
    assert expected == filled(text, KNOWN)
    assert ("OTHER" in expected) is unknown(expected)


@given(st.text(alphabet="ab $(){}`'\"\\;|&<>\n#=-:+", max_size=60))
def test_commands__any_text(text: str) -> None:
    """Whatever stands there is commands, or is refused as no shell's."""
    try:
        found = list(commands(text, KNOWN))
    except ValueError:
        return
    assert all(one.words for one in found)
