"""Later: metadata that takes longer than clients wait is answered by a redirect to itself (RFC 9110 §15.4.3).

pip ends its whole installation if a metadata file that was promised does not come in time, and its users may set that
time to a second or two. A redirect is an answer in time: the client asks again, and waits again. So an index whose
host turns out to give no parts of files, and is slow, costs the first client some patience and no failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from urllib.parse import quote

from proxy.cache.representation import Representation

# Seconds that each answer is waited for; behind the last of them as long as it takes. Most libraries follow ten
# redirects, that of pip and poetry thirty.
_STEPS = (1.0,) * 6 + (8.0,) * 2
_MANY_STEPS = (1.0,) * 14 + (10.0,) * 12
_FOLLOW_MANY = ("pip/", "poetry/", "python-requests/")
MOST = len(_MANY_STEPS)


@dataclass(frozen=True, slots=True)
class Later:
    """The answer is not there yet; `location`, relative to the address asked for, is where to wait for it."""

    location: str


def patience(waited: int, agent: str | None) -> float | None:
    """Seconds that a client may be kept waiting that was sent away `waited` times; None for as long as it takes."""
    steps = _MANY_STEPS if agent is not None and agent.startswith(_FOLLOW_MANY) else _STEPS
    return steps[waited] if waited < len(steps) else None


async def in_time(
    answer: Awaitable[Representation], name: str, waited: int, agent: str | None
) -> Representation | Later:
    """The answer, or where to wait for it. The work for it goes on by itself. Raises what it raises."""
    try:
        async with asyncio.timeout(patience(waited, agent)):
            return await answer
    except TimeoutError:
        return Later(f"{quote(name)}?waited={waited + 1}")
