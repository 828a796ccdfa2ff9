"""What a person is told of an engine that cannot be used."""

from __future__ import annotations

import errno
import os

import pytest

from proxy.builds.engine_trouble import no_context, trouble, version_trouble

_ADDRESS = "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("number", "address", "said"),
    [
        (errno.EACCES, _ADDRESS, r"this user may not use .*unix:///var/run/docker\.sock\. .*usermod -aG docker"),
        (errno.ENOENT, _ADDRESS, r"no Docker engine answers at unix:///var/run/docker\.sock\. Start .*context use"),
        (
            errno.ECONNREFUSED,
            "tcp://10.0.0.7:2375",
            r"no Docker engine answers at tcp://10\.0\.0\.7:2375\. See on that machine",
        ),
        (errno.EHOSTUNREACH, "tcp://10.0.0.7:2375", r"the Docker engine at tcp://10\.0\.0\.7:2375 cannot be reached"),
    ],
)
def test_trouble__error_of_the_system(number: int, address: str, said: str) -> None:
    """It is found among the causes, where the libraries hide it: in an argument, and in the cause of the cause."""
    hidden = RuntimeError("Connection aborted.", OSError(number, os.strerror(number)))
    try:
        try:
            raise hidden
        except RuntimeError as inner:
            raise ValueError("Error while fetching server API version") from inner
    except ValueError as error:
        found = trouble(error, address)

    text = str(found)
    assert text.startswith(said[:4])
    assert "\n" not in text
    with pytest.raises(type(found), match=said):
        raise found


def test_trouble__words_of_the_engine() -> None:
    """Anything else is passed on, in one line."""
    text = str(trouble(ValueError("it is\n  tired"), _ADDRESS))

    assert f"the Docker engine at {_ADDRESS} says: it is tired." == text


def test_trouble__causes_in_a_circle() -> None:
    """An error that is its own context ends the search."""
    error = ValueError("again")
    error.args = (error, "again")

    assert "again" in str(trouble(error, _ADDRESS))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44.",
            r"docker is too old.*API 1\.41.*1\.44 or later\. Install a newer docker",
        ),
        (
            "Error response from daemon: client version 1.51 is too new. Maximum supported API version is 1.41",
            r"engine is too old.*API 1\.41 at most.*DOCKER_API_VERSION=1\.41",
        ),
    ],
)
def test_version_trouble__no_common_api(text: str, said: str) -> None:
    """Which side is to be renewed is said: engine 29 speaks no API before 1.44."""
    with pytest.raises(type(trouble(ValueError(text), _ADDRESS)), match=said):
        raise trouble(ValueError(text), _ADDRESS)


def test_version_trouble__something_else() -> None:
    """Other texts are not its matter."""
    assert version_trouble("no space left on device") is None


def test_no_context__names_it() -> None:
    """And where the others are listed."""
    assert "the Docker context mine is not there." in str(no_context("mine"))
