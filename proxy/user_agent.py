"""What a request says of the program that sent it (RFC 9110 §10.1.5): its name, its version, its build.

Read by `web` once for each text that clients send; `events` carries it to the log and to the history. Everybody may
send what they like, so nothing is decided by it. Pure, but for a table of the last texts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import msgspec

_PRODUCT = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64})(?:/([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}))?")
_APT = re.compile(r"Debian APT(?:-[A-Z]+)+/[0-9.]+ \(([A-Za-z0-9.+~:-]{1,64})\)")
_READ = 2048  # characters that are looked at
_KNOWN = 512  # texts that are remembered
_LONGEST_BUILD = 64  # characters


class UserAgent(NamedTuple):
    """A program that asks; an empty text is what it does not tell.

    `build`: what PIP_USER_AGENT_USER_DATA told pip, else DOCKER_BUILD for who asks by the name that builds have.
    """

    name: str = ""
    version: str = ""
    build: str = ""


DOCKER_BUILD = "docker build"
UNKNOWN = UserAgent()


class _Pip(msgspec.Struct):
    """The part of what pip tells of its machine that is read here."""

    user_data: str | None = None


@lru_cache(maxsize=_KNOWN)
def read(text: str | None, *, in_build: bool = False) -> UserAgent:
    """Read the header field. `in_build`: the request came by the name that builds reach the cache by.

    A name is the first product; apt calls itself `Debian APT-HTTP/1.3 (2.6.1)`, in which its version is the comment.
    """
    text = (text or "")[:_READ]
    apt = _APT.match(text)
    product = _PRODUCT.match(text)
    name, version = ("apt", apt[1]) if apt else (product[1], product[2] or "") if product else ("", "")
    return UserAgent(name, version, _build(text) or (DOCKER_BUILD if in_build else ""))


def _build(text: str) -> str:
    """What a person had pip say of itself, if it is something that can be shown."""
    if '"user_data":' not in text:
        return ""
    try:
        told = msgspec.json.decode(text[text.index("{") :], type=_Pip).user_data
    except (msgspec.DecodeError, ValueError, RecursionError):  # the last of deep nesting
        return ""
    return told if told and len(told) <= _LONGEST_BUILD and told.isprintable() else ""
