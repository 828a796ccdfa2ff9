"""Requirements are read from core metadata, and held against an environment."""

from __future__ import annotations

import pytest

from proxy.foresight import requirements
from proxy.foresight.environments import Environment, of_agent
from tests.foresight.agents import agent
from tests.wheels import wheel


@pytest.fixture(scope="module")
def environment() -> Environment:
    """CPython 3.11 on Linux."""
    found = of_agent(agent())
    assert found is not None
    return found


def read(*lines: str) -> tuple[str, ...]:
    """The requirements in metadata that has these."""
    metadata = wheel("demo", requires=lines).metadata
    assert metadata is not None
    return requirements.read(metadata)


def test_read__headers_only() -> None:
    """The description may say anything; a long field goes on in the next line; the case does not matter."""
    body = b"Metadata-Version: 2.1\r\nName: a\r\nrequires-dist: b\r\n (>=1)\r\n\r\nRequires-Dist: c\r\n"
    assert ("b  (>=1)",) == requirements.read(body)


def test_read__bounded() -> None:
    """Of ten thousand a thousand are read, and none that is longer than any real one."""
    assert 1000 == len(read(*(f"p{number}" for number in range(10_000))))
    assert () == read("a[" + ",".join(f"x{number}" for number in range(1000)) + "]")


@pytest.mark.parametrize("metadata", [b"", b"\xff\xfe", b"Requires-Dist", b"\n\n"])
def test_read__no_metadata(metadata: bytes) -> None:
    """Nothing is required."""
    assert () == requirements.read(metadata)


def wanted(environment: Environment, *lines: str, extras: tuple[str, ...] = ()) -> list[str]:
    """What is required in an environment."""
    return [one.project for one in requirements.wanted(read(*lines), environment, extras)]


def test_wanted__what_can_be_read(environment: Environment) -> None:
    """A requirement that is none is left out, as is one with an address of its own."""
    lines = ("b>=1", "c @ https://example.org/c.whl", "!!!", "", "\ufffd", "d >", "e[x]; python_version<'4'", "f (>=1)")
    assert ["b", "e", "f"] == wanted(environment, *lines)


def test_wanted__markers(environment: Environment) -> None:
    """Those whose marker holds."""
    lines = ("A_b; sys_platform=='linux'", "c; sys_platform=='win32'", "d; python_version<'3.11'", "e")
    assert ["a-b", "e"] == wanted(environment, *lines)


def test_wanted__extras(environment: Environment) -> None:
    """An extra counts if it was asked for, however it is spelt."""
    lines = ("a; extra=='Some_Thing'", "b; extra=='other'", "c")
    assert ["c"] == wanted(environment, *lines)
    assert ["a", "c"] == wanted(environment, *lines, extras=("some-thing",))


def test_wanted__strange_markers(environment: Environment) -> None:
    """A comparison that makes no sense holds for nobody, or for somebody; it never fails."""
    wanted(environment, "a; sys_platform ~= '1'", "b; python_version in 'x'", "c; platform_release >= '1.x'")
