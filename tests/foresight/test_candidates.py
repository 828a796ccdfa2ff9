"""The wheel that a resolver tries first."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from proxy.foresight import candidates
from proxy.foresight.environments import Environment, of_agent
from proxy.python.page import File
from tests.foresight.agents import agent


@pytest.fixture(scope="module")
def environment() -> Environment:
    """CPython 3.11 on Linux with glibc 2.36."""
    found = of_agent(agent())
    assert found is not None
    return found


def file(name: str, **fields: object) -> File:
    """A file of a page."""
    return File(name, f"https://files.example/{name}", **fields)  # type: ignore[arg-type]


def first(environment: Environment, *files: File | str, specifier: str = "") -> str | None:
    """The name of the wheel that is tried first."""
    listed = [file(one) if isinstance(one, str) else one for one in files]
    chosen = candidates.first(listed, SpecifierSet(specifier), environment)
    return chosen.filename if chosen is not None else None


ANY = "demo-{}-py3-none-any.whl".format
OWN = "demo-1.0-cp311-cp311-manylinux2014_x86_64.whl"
STABLE = "demo-1.0-cp38-abi3-manylinux_2_36_x86_64.whl"


@pytest.mark.parametrize(
    ("files", "specifier", "chosen"),
    [
        ([ANY("1.9"), ANY("1.10"), ANY("1.2")], "", ANY("1.10")),
        ([ANY("1.9"), ANY("1.10"), ANY("1.2")], "<1.10", ANY("1.9")),
        ([ANY("1.9"), ANY("1.10"), ANY("1.2")], ">2", None),
        ([ANY("1.0"), ANY("2.0rc1")], "", ANY("1.0")),
        ([ANY("1.0"), ANY("2.0rc1")], ">=2.0rc1", ANY("2.0rc1")),
        ([ANY("2.0rc1"), ANY("2.0b1")], "", ANY("2.0rc1")),
        ([ANY("1.0"), "demo-1.1.tar.gz"], "", None),
        ([ANY("1.0"), "demo-1.0.tar.gz"], "", ANY("1.0")),
        (["demo-2.0-cp312-cp312-manylinux2014_x86_64.whl", ANY("1.0")], "", ANY("1.0")),
        ([OWN, ANY("1.0")], "", OWN),
        ([STABLE, ANY("1.0")], "", STABLE),
        (["demo-1.0-cp311-cp311-manylinux_2_39_x86_64.whl"], "", None),
        (["demo-1.0-1-py2.py3-none-any.whl"], "", "demo-1.0-1-py2.py3-none-any.whl"),
        (["demo-one-py3-none-any.whl", "demo.whl", "x-1-y.whl", "demo-1.0.exe", "-.tar.gz"], "", None),
        ([], "", None),
    ],
)  # fmt: skip
def test_first(environment: Environment, files: list[str], specifier: str, chosen: str | None) -> None:
    """The newest that fits; where that is a source distribution, none."""
    assert chosen == first(environment, *files, specifier=specifier)


def test_first__what_the_page_says(environment: Environment) -> None:
    """Withdrawn files, and those for another Python, are not tried; a specifier that is none excludes nothing."""
    assert ANY("1.0") == first(
        environment,
        file(ANY("1.0"), requires_python="nonsense"),
        file(ANY("1.1"), requires_python=">=3.12"),
        file(ANY("1.2"), yanked="broken"),
        File(ANY("1.3"), "ftp://files.example/x"),
    )


def test_first__numbers_without_end(environment: Environment) -> None:
    """A version with thousands of digits is none; a Python of thousands of digits excludes none."""
    digits = "9" * 5000
    wanted = file(ANY("1.0"), requires_python=f"<{digits}")
    assert ANY("1.0") == first(environment, file(ANY(digits)), file(f"demo-{digits}.tar.gz"), wanted)


def test_first__name_of_many_tags(environment: Environment) -> None:
    """A name that stands for a million tags is no wheel's; those of real ones are read."""
    many = ".".join(f"x{number}" for number in range(100))
    real = "demo-1.0-py2.py3-none-macosx_10_6_intel.macosx_10_9_intel.manylinux1_x86_64.manylinux2014_x86_64.any.whl"
    assert real == first(environment, f"demo-1.1-{many}.py3-{many}.none-{many}.any.whl", real)


def test_first__what_stays_in_memory(environment: Environment) -> None:
    """Names as real ones are stay read; what takes tens of kilobytes each does not."""
    few, many = "py2.py3-none-any", ".".join(f"p{number}" for number in range(40)) + ".py3-none-any"
    for tags, kept in ((few, True), (many, False)):
        name = f"demo-1.0-{tags}.whl"
        assert name == first(environment, name)
        assert kept == (candidates.tags(name) is candidates.tags(name))
    for version, kept in (("1.0", True), ("1" + ".1" * 100, False)):
        assert kept == (candidates._version(version) is candidates._version(version))


def test_first_listed(environment: Environment) -> None:
    """Of several pages: the newest of all, with its page, and the first page of those that have the same."""
    old, new, twin = (file(ANY(version)) for version in ("1.0", "2.0", "2.0"))
    pages = [("a", [old]), ("b", [new]), ("c", [twin])]
    assert (new, "b") == candidates.first_listed(pages, SpecifierSet(), environment)
    assert (old, "a") == candidates.first_listed(pages, SpecifierSet("<2"), environment)
    assert candidates.first_listed([("a", [])], SpecifierSet(), environment) is None
