"""What clients asked for is remembered by install, within bounds."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from proxy.foresight.environments import of_agent
from proxy.foresight.installs import Install, Installs
from proxy.foresight.requirements import Wanted
from proxy.model import Target
from tests.foresight.agents import agent

ENVIRONMENT = of_agent(agent())
assert ENVIRONMENT is not None
PAGE = Target("pypi", None, "simple/demo/")
ONE, TWO = (Target("pypi", "files.example", f"demo-{version}-py3-none-any.whl") for version in (1, 2))


@pytest.fixture
def install() -> Install:
    """One that has asked for nothing."""
    assert ENVIRONMENT is not None
    return Installs().of("somebody", 0.0, ENVIRONMENT)


def test_of__until_silent() -> None:
    """Questions of a client belong together until it is silent for two minutes."""
    assert ENVIRONMENT is not None
    installs = Installs()
    first = installs.of("a", 0.0, ENVIRONMENT)
    assert first is installs.of("a", 100.0, ENVIRONMENT)
    assert first is installs.of("a", 219.0, ENVIRONMENT)
    assert first is not installs.of("a", 340.0, ENVIRONMENT)
    assert first is not installs.of("b", 340.0, ENVIRONMENT)


def test_of__another_environment() -> None:
    """Of two clients that cannot be told apart but by what they install for, neither gets what the other needs."""
    other, same = of_agent(agent(python="3.12.1")), of_agent(agent("uv/0.9"))
    assert ENVIRONMENT is not None
    assert other is not None
    assert same is not None
    installs = Installs()
    first = installs.of("a", 0.0, ENVIRONMENT)
    assert first is installs.of("a", 1.0, same)
    second = installs.of("a", 2.0, other)
    assert (first is not second, other) == (True, second.environment)


def test_of__bounded() -> None:
    """Of many clients the last ones are remembered."""
    assert ENVIRONMENT is not None
    installs = Installs()
    first = installs.of("0", 0.0, ENVIRONMENT)
    others = [installs.of(str(number), 0.0, ENVIRONMENT) for number in range(1, 1000)]
    assert others[-1] is installs.of("999", 0.0, ENVIRONMENT)
    assert first is not installs.of("0", 0.0, ENVIRONMENT)


def test_of__silent_ones_are_forgotten() -> None:
    """What a farm installed does not stay in memory until as many others have come."""
    assert ENVIRONMENT is not None
    installs = Installs()
    for number in range(100):
        installs.of(str(number), float(number), ENVIRONMENT)
    installs.of("late", 150.0, ENVIRONMENT)
    assert [*map(str, range(30, 100)), "late"] == list(installs._installs)


def test_of__while_files_are_on_their_way() -> None:
    """A client that waits for a large file is not silent, and neither is it when the file has come."""
    assert ENVIRONMENT is not None
    installs = Installs()
    waiting = installs.of("waiting", 0.0, ENVIRONMENT)
    waiting.downloading = 1
    installs.of("silent", 1.0, ENVIRONMENT)
    installs.of("late", 200.0, ENVIRONMENT)
    assert ["waiting", "late"] == list(installs._installs)
    waiting.downloading = 0
    installs.ended("waiting", waiting, 300.0)
    assert ["late", "waiting"] == list(installs._installs)
    assert waiting is installs.of("waiting", 419.0, ENVIRONMENT)
    assert waiting is not installs.of("waiting", 540.0, ENVIRONMENT)


def test_ended__of_an_install_that_is_over() -> None:
    """It does not come back."""
    assert ENVIRONMENT is not None
    installs = Installs()
    first = installs.of("a", 0.0, ENVIRONMENT)
    second = installs.of("a", 200.0, ENVIRONMENT)
    installs.ended("a", first, 201.0)
    assert second is installs.of("a", 202.0, ENVIRONMENT)


def test_project__bounded(install: Install) -> None:
    """A distribution with ten thousand requirements does not fill the memory."""
    made = [install.project(f"p{number}") for number in range(10_000)]
    assert made[0] is install.project("p0") is not None
    assert made[-1] is None
    for number in range(100):
        install.asked_page("p0", Target("pypi", None, f"{number}/p0/"))
    assert made[0] is not None
    assert 4 == len(made[0].pages)


def test_narrowed(install: Install) -> None:
    """All who require a project count; what is known already is no news."""
    project = install.project("demo")
    assert project is not None
    wanted = Wanted("demo", SpecifierSet(">=1"), frozenset({"x"}))
    assert project.narrowed(wanted, [PAGE])
    assert not project.narrowed(wanted, [PAGE])
    assert project.narrowed(Wanted("demo", SpecifierSet("<3"), frozenset()), [])
    assert project.narrowed(Wanted("demo", SpecifierSet("<3"), frozenset({"y"})), [])
    assert SpecifierSet("<3,>=1") == project.specifier
    assert ({"x", "y"}, (PAGE,)) == (set(project.extras), project.pages)


def test_asked_file(install: Install) -> None:
    """A file belongs to the install if its metadata was taken; of two versions the last one counts."""
    assert not install.asked_file(ONE)
    install.took_metadata("demo", ONE)
    install.took_metadata("demo", TWO)
    assert [TWO] == list(install.taken)
    install.ahead[TWO] = 100
    assert 100 == install.bytes_ahead
    assert install.asked_file(TWO)
    assert (0, False) == (install.bytes_ahead, install.asked_file(TWO))


def test_took_metadata__of_another_wheel(install: Install) -> None:
    """What the wheel requires that was foreseen is forgotten when the client takes another."""
    project = install.project("demo")
    assert project is not None
    project.wheel, project.requirements = ONE, ()
    assert project is install.took_metadata("demo", ONE)
    assert () == project.requirements
    assert project is install.took_metadata("demo", TWO)
    assert project.requirements is None
