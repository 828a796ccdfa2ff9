"""Keys of request heads: what a program says of itself is left out, as far as no answer depends on it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.user_agent import UserAgent
from proxy.web.head_key import HeadKeys, names_program_once
from tests.foresight.agents import agent

_START, _REST = b"GET /a HTTP/1.1\r\nHost: a\r\n", b"\r\nAccept: */*\r\n\r\n"


def head(said: str, name: str = "User-Agent") -> bytes:
    """A request of a program that says this of itself."""
    return _START + f"{name}: {said}".encode("utf-8", "surrogateescape") + _REST


@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
def test_of__programs(name: str) -> None:
    """All have one key, and each its own name."""
    keys = HeadKeys()
    found = [keys.of(head(said, name)) for said in ("pip/26.3 (client 1)", "pip/26.3 (client 2)", "curl/8.5", "x")]
    assert 1 == len({key for key, _ in found})
    assert [UserAgent("pip", "26.3")] * 2 + [UserAgent("curl", "8.5"), UserAgent("x")] == [
        program[1] for _, program in found if program is not None
    ]


def test_of__nested_without_end() -> None:
    """Lists within lists are read no deeper than Python reads."""
    _, program = HeadKeys().of(head('x/1 {"a":' + "[" * 1000 + ' "user_data":'))
    assert program is not None
    assert UserAgent("x", "1") == program[1]


@pytest.mark.parametrize(
    "changed",
    [{"system": {"name": "Linux", "release": "6.18"}}, {"user_data": "job 7"}, {"openssl_version": "3"}],
)
def test_of__what_is_not_chosen_by(changed: dict[str, Any]) -> None:
    """The release of a kernel, or the number of a job, are no part of an environment."""
    keys = HeadKeys()
    assert keys.of(head(agent()))[0] == keys.of(head(agent(**changed)))[0]


@pytest.mark.parametrize(
    "changed",
    [{"python": "3.12.1"}, {"cpu": "aarch64"}, {"system": {"name": "Darwin"}}, {"distro": {"id": "alpine"}}],
)
def test_of__what_is_chosen_by(changed: dict[str, Any]) -> None:
    """Another environment is told to the look-ahead, so it has a key of its own."""
    keys = HeadKeys()
    assert keys.of(head(agent()))[0] != keys.of(head(agent(**changed)))[0]


@pytest.mark.parametrize(
    "said",
    ["Mozilla/5.0 (X11)", "", " pip", "pip ", "p\tip", "p\x7fip", "pip\n", "p\rip", "pi\u20ac", "p\x00", "x" * 1025],
)
def test_of__kept_as_it_is(said: str) -> None:
    """A browser's name, and what the parser may take for something else."""
    keys = HeadKeys()
    assert head(said) == keys.of(head(said))[0]


def test_of__no_name() -> None:
    """The key of a head without one is the head, and so is that of a long one."""
    keys = HeadKeys()
    for whole in (_START[:-2] + _REST, head("pip") + bytes(2048), head("pip", "USER-AGENT"), b"", b"\r\nUser-Agent: "):
        assert (whole, None) == keys.of(whole)


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\nUser-Agent: ", b"\r\n", b"pip", b"{", b"}"]), max_size=9)
)
def test_of__only_one_value_is_left_out(pieces: list[bytes]) -> None:
    """Of any bytes: what is before the value and behind its line is in the key as it came."""
    whole = b"".join(pieces)
    key, program = HeadKeys().of(whole)
    if program is None:
        assert key == whole
        return
    start, _, rest = whole.partition(b"\r\nUser-Agent: ")
    value, _, rest = rest.partition(b"\r\n")
    assert key.startswith(start + b"\r\nUser-Agent: ")
    assert key.endswith(b"\r\n" + rest)
    assert value.isascii()


def test_of__seen_before() -> None:
    """A head has the same key and the same program whenever it comes, however many came in between."""
    keys = HeadKeys()
    first = keys.of(head("pip/26.3"))
    assert first == keys.of(head("pip/26.3"))
    for number in range(7000):
        keys.of(head(f"pip/26.3 (client {number})"))
    assert first == keys.of(head("pip/26.3"))
    assert 6144 == len(keys._seen)


def test_of__long_heads_are_not_kept() -> None:
    """What anybody may send takes a bounded part of the memory."""
    keys = HeadKeys()
    long = head("pip/26.3").replace(b"GET /a", b"GET /" + b"a" * 1024)
    assert keys.of(long) == keys.of(long)
    assert not keys._seen


def test_of__reached() -> None:
    """The address that a client connected to is in the key of each head."""
    keys = HeadKeys()
    for whole in (head("pip"), head("pip \u20ac"), _START[:-2] + _REST):
        assert 3 == len({keys.of(whole, reached)[0] for reached in (b"", b"10.0.0.1:80 ", b"10.0.0.2:80 ")})
        assert keys.of(whole, b"10.0.0.1:80 ") == (b"10.0.0.1:80 " + keys.of(whole)[0], keys.of(whole)[1])


def test_of__is_bounded() -> None:
    """Of ten thousand programs the last ones are remembered."""
    keys = HeadKeys()
    for number in range(10_000):
        said = f"client/{number}"
        assert (b"", UserAgent("client", str(number)), said) == keys.of(head(said))[1]
    assert 6144 == len(keys._known)


def test_names_program_once() -> None:
    """However the name of the field is written."""
    assert names_program_once(HeadKeys().of(head("pip"))[0])
    assert names_program_once(_START + _REST)
    assert not names_program_once(HeadKeys().of(_START + b"user-agent: a\r\nUser-Agent: b" + _REST)[0])
    assert not names_program_once(_START + b"USER-AGENT: a\r\nUser-agent:b" + _REST)
