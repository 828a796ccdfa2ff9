"""What of a request head decides its answer: all of it, but what a program says of itself.

Build farms send the same few heads with thousands of User-Agents: versions of kernels, numbers of jobs. An answer does
not depend on these; the log and the history have them. What does count of a User-Agent stays in the key: whether it is
a browser's (`admission`), and the environment that it describes (`foresight`). Called by `replay`.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from proxy import user_agent
from proxy.bounded import Bounded
from proxy.foresight import environments
from proxy.user_agent import UserAgent
from proxy.web import admission

LONGEST = 2048  # bytes of a head that is worth remembering
_HEADS = 6144  # heads whose key is at hand,
_SHORT = 1024  # and bytes of one, at most
_KNOWN = 6144  # User-Agents
_LONGEST_AGENT = 1024  # bytes of one that is remembered
_FIELD = len(b"\r\nUser-Agent: ")
# What the parser takes for a value, and leaves as it is (RFC 9110 §5.5).
_VALUE = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

# A program: what stands for it in a key, its name, and all that it says of itself.
Program: TypeAlias = tuple[bytes, UserAgent, str]


class HeadKeys:
    """Mutable state: the heads and the User-Agents that came last, within bounds."""

    def __init__(self) -> None:
        self._seen: Bounded[bytes, tuple[bytes, bytes, Program | None]] = Bounded(_HEADS)
        self._known: Bounded[bytes, Program] = Bounded(_KNOWN)  # by the value of the field

    def of(self, head: bytes, reached: bytes = b"") -> tuple[bytes, Program | None]:
        """The key of a head, and the program that it names. None: the key has the whole head, whatever that names.

        Two heads with the same key have the same answer, if the parser takes one of them for exactly one request.
        `reached` goes before it: what else decides of the connection that a head came by.
        """
        seen = self._seen.get(head)
        if seen is None or seen[0] != reached:
            seen = (reached, *self._make(head, reached))
            if len(head) <= _SHORT:
                self._seen[head] = seen
        return seen[1], seen[2]

    def _make(self, head: bytes, reached: bytes) -> tuple[bytes, Program | None]:
        start = head.find(b"\r\nUser-Agent: ") + _FIELD  # as pip and apt write it
        if start < _FIELD:
            start = head.find(b"\r\nuser-agent: ") + _FIELD  # as uv does
        end = head.find(b"\r\n", start)
        if start < _FIELD or end < 0 or len(head) > LONGEST:
            return reached + head, None
        text = head[start:end]
        program = self._known.get(text) or self._look_at(text)
        if program is None:
            return reached + head, None
        return b"".join((reached, head[:start], program[0], head[end:])), program

    def _look_at(self, text: bytes) -> Program | None:
        """A User-Agent that was not seen lately; None for one that stays in the key as it is."""
        if text and (len(text) > _LONGEST_AGENT or _VALUE.fullmatch(text) is None):
            return None
        said = text.decode("ascii")
        counts = text if admission.is_browser_name(said) else environments.described(said)
        program = self._known[text] = (counts, user_agent.read(said), said)
        return program


def names_program_once(key: bytes) -> bool:
    """Whether a head, by its key, has one User-Agent at most. Of two, nobody knows which one counts."""
    return key.lower().count(b"\r\nuser-agent:") <= 1
