"""What is wrong with an engine, in one line that says what to do. Made of the errors of its library, and of `docker`'s.

Called by `engine` and `docker_command`.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from proxy.errors import PullthroughError

_TOO_OLD = re.compile(r"client version (\S+) is too old\. Minimum supported API version is (\d+\.\d+)")
_TOO_NEW = re.compile(r"client version (\S+) is too new\. Maximum supported API version is (\d+\.\d+)")


class EngineTrouble(PullthroughError):
    """The engine cannot be used, or refused. The text is one line for a person."""


def no_context(name: str) -> EngineTrouble:
    """A context is chosen that is not there."""
    return EngineTrouble(
        f"the Docker context {name} is not there. Choose one of `docker context ls` with `docker context use`."
    )


def beyond_ssh(address: str) -> EngineTrouble:
    """The engine is on another machine, and only `docker` knows the way."""
    return EngineTrouble(
        f"the Docker engine is on another machine ({address}): run pullthrough there, or choose an engine of this one: "
        "docker context use NAME."
    )


def trouble(error: BaseException, address: str) -> EngineTrouble:
    """What to tell a person of an error of the engine's library. `address`: the engine's."""
    text = _explanation(error)
    for cause in _causes(error):
        if isinstance(cause, OSError) and (said := _of_system(cause, address)):
            return EngineTrouble(said)
    return EngineTrouble(version_trouble(text) or f"the Docker engine at {address} says: {text}")


def version_trouble(text: str) -> str | None:
    """What helps where the two sides speak no common version of the API; None if `text` says no such thing."""
    if found := _TOO_OLD.search(text):
        return (
            f"the command docker is too old for this engine: it speaks API {found[1]}, and the engine {found[2]} or "
            "later. Install a newer docker, of version 25 or later."
        )
    if found := _TOO_NEW.search(text):
        return (
            f"the Docker engine is too old for the command docker: it speaks API {found[2]} at most. Get a newer "
            f"engine, or set DOCKER_API_VERSION={found[2]}."
        )
    return None


def _of_system(error: OSError, address: str) -> str | None:
    """What to do about an error of the system on the way to the engine."""
    elsewhere = urlsplit(address).scheme not in ("unix", "npipe", "")
    start = "Start Docker Desktop" if sys.platform == "darwin" else "Start it, as with: sudo systemctl start docker"
    start = "See on that machine whether it runs" if elsewhere else start
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"this user may not use the Docker engine at {address}. Let it: sudo usermod -aG docker $USER, and log in "
            "again."
        )
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK):
        return f"no Docker engine answers at {address}. {start}; or choose another one: docker context use NAME."
    if elsewhere and error.errno is not None:
        return f"the Docker engine at {address} cannot be reached: {error.strerror or error}. {start}."
    return None


def _explanation(error: BaseException) -> str:
    """What the engine itself said, in one line."""
    said = getattr(error, "explanation", None) or str(error)
    return " ".join(str(said).split()).rstrip(".") + "."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it. HTTP libraries put causes into arguments as well."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        links = (one.__cause__, one.__context__, *one.args)
        waiting += [link for link in links if isinstance(link, BaseException)]
