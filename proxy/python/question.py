"""What a client asks of an index: a target, and what its headers say of the answer that it takes."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.model import Span, Target


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks at a target. `revalidate`: its Cache-Control says no-cache.

    `waited`: how often it was asked to come back for this answer.
    """

    target: Target
    accept: str | None = None
    accept_encoding: str | None = None
    format: str | None = None  # the value of ?format= (PEP 691)
    span: Span | None = None
    if_range: str | None = None
    revalidate: bool = False
    head: bool = False  # only the head of the answer is wanted
    waited: int = 0
    agent: str | None = None  # what it calls itself
