"""Requirements are read from core metadata, and held against an environment."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from proxy.foresight import requirements
from proxy.foresight.environments import Environment, of_agent
from tests.deep import NESTED, deeply
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
    assert 200 > len(read(*(f"p{number}" + " " * 1900 for number in range(1000))))


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


def test_wanted__marker_that_is_too_deep(environment: Environment) -> None:
    """It is left out, and the others are not."""
    metadata = read("a", f"b; {NESTED}", "c")
    assert ["a", "c"] == [one.project for one in deeply(lambda: requirements.wanted(metadata, environment, ()))]


def test_wanted__markers(environment: Environment) -> None:
    """Those whose marker holds."""
    lines = ("A_b; sys_platform=='linux'", "c; sys_platform=='win32'", "d; python_version<'3.11'", "e")
    assert ["a-b", "e"] == wanted(environment, *lines)


def test_wanted__extras(environment: Environment) -> None:
    """An extra counts if it was asked for, however it is spelt."""
    lines = ("a; extra=='Some_Thing'", "b; extra=='other'", "c")
    assert ["c"] == wanted(environment, *lines)
    assert ["a", "c"] == wanted(environment, *lines, extras=("some-thing",))


@pytest.mark.parametrize("marker", ["'one' == extra", "extra=='one' or os_name=='nt'"])
def test_wanted__extras_in_other_words(environment: Environment, marker: str) -> None:
    """A marker may name the extra in any place."""
    assert [] == wanted(environment, f"a; {marker}")
    assert ["a"] == wanted(environment, f"a; {marker}", extras=("one",))


def test_wanted__own_extras(environment: Environment) -> None:
    """A distribution that requires itself with an extra gets what that requires, and so on; circles end."""
    lines = (
        "demo[some]; extra=='all'",
        "Demo[more]; extra=='some'",
        "demo[all]; extra=='more'",
        "a; extra=='more'",
        "b; extra=='other'",
    )
    found = requirements.wanted(read(*lines), environment, ("all",), "demo")
    assert [("demo", {"some", "more", "all"}), ("a", set())] == [(one.project, set(one.extras)) for one in found]
    assert [] == requirements.wanted(read(*lines), environment, (), "demo")


def test_wanted__one_project_in_many_ways(environment: Environment) -> None:
    """Requirements of one project are one; of thousands of versions and extras only so many count."""
    (few,) = requirements.wanted(read("a>=1", "A[x]<3", "a>=1"), environment, ())
    assert ("a", SpecifierSet(">=1,<3"), {"x"}) == (few.project, few.specifier, set(few.extras))
    (many,) = requirements.wanted(read(*(f"a[x{number}]!={number}" for number in range(1000))), environment, ())
    assert (128, 64) == (len(many.specifier), len(many.extras))


def test_wanted__what_stays_in_memory(environment: Environment) -> None:
    """Requirements as real ones are stay read; what takes tens of kilobytes each does not."""
    usual, long = "a[x]>=1,<3; python_version<'4'", "a" + ",".join(f"!={number}" for number in range(300))
    assert ["a", "a"] == [name for one in (usual, long) for name in wanted(environment, one)]
    assert requirements._parsed(usual) is requirements._parsed(usual)
    assert requirements._parsed(long) is not requirements._parsed(long)


def test_wanted__much_to_try(environment: Environment) -> None:
    """What is looked for in a requirement is found in one pass, whatever it is made of."""
    lines = [";" * 1900 + str(number) for number in range(1000)] + ["a" + ";extra " * 300 + "== 'x'"]
    assert [] == wanted(environment, *lines)


def test_wanted__strange_markers(environment: Environment) -> None:
    """A comparison that makes no sense holds for nobody, or for somebody; it never fails."""
    wanted(environment, "a; sys_platform ~= '1'", "b; python_version in 'x'", "c; platform_release >= '1.x'")
    wanted(environment, f"d; python_version > '{'9' * 5000}'")
