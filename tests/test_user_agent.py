"""What requests say of the programs that send them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import user_agent
from proxy.user_agent import DOCKER_BUILD, UNKNOWN, UserAgent


def _pip(user_data: object) -> str:
    told = {"ci": True, "installer": {"name": "pip", "version": "24.0"}, "user_data": user_data}
    return f"pip/24.0 {json.dumps(told, separators=(',', ':'))}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        ("pip/24.0", UserAgent("pip", "24.0")),
        (_pip("job 7"), UserAgent("pip", "24.0", "job 7")),
        (_pip(None), UserAgent("pip", "24.0")),
        (_pip("x" * 65), UserAgent("pip", "24.0")),
        (_pip("a\nb"), UserAgent("pip", "24.0")),
        (_pip(7), UserAgent("pip", "24.0")),
        ('pip/24.0 "user_data":', UserAgent("pip", "24.0")),
        ('x/1 {"a":' + "[" * 2000 + ' "user_data":', UserAgent("x", "1")),
        ('x/1 {"a":' + "[" * 1000 + ' "user_data":', UserAgent("x", "1")),
        ('uv/0.9.1 {"installer":{"name":"uv","version":"0.9.1"},"ci":null}', UserAgent("uv", "0.9.1")),
        ("Debian APT-HTTP/1.3 (2.6.1)", UserAgent("apt", "2.6.1")),
        ("Debian APT-HTTP/1.3 (2.9.8ubuntu1) non-interactive", UserAgent("apt", "2.9.8ubuntu1")),
        ("Debian APT-CURL/1.0 (1.0.9)", UserAgent("apt", "1.0.9")),
        ("poetry/1.8.3 CPython/3.11.2 Linux/6.1", UserAgent("poetry", "1.8.3")),
        ("Wget", UserAgent("Wget")),
        ("curl/", UserAgent("curl")),
        ("(nothing but a comment)", UNKNOWN),
        ("x" * 70, UserAgent("x" * 64)),
    ],
)
def test_read__programs(text: str | None, expected: UserAgent) -> None:
    """The first product; of apt the version that its comment has; of pip what its user had it say."""
    assert expected == user_agent.read(text)


def test_read__build() -> None:
    """The name that builds have tells a build, unless pip has more to say."""
    assert UserAgent("pip", "24.0", DOCKER_BUILD) == user_agent.read("pip/24.0", in_build=True)
    assert UserAgent("pip", "24.0", "job 7") == user_agent.read(_pip("job 7"), in_build=True)


@given(st.text(st.characters(codec=None)))
def test_read__any_text(text: str) -> None:
    """Whatever is sent is short, and can be shown, afterwards."""
    for one in (user_agent.read(text), user_agent.read(f'pip/1 {{"user_data":{json.dumps(text)}}}')):
        assert all(part.isprintable() and len(part) <= 64 for part in one)
