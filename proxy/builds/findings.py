"""What `doctor` found: one line for each thing that was looked at. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Health(enum.Enum):
    """How a thing is. WRONG alone makes the diagnosis fail."""

    OK = "ok"
    DOUBTFUL = "look"  # it works, and may not do what is meant
    WRONG = "wrong"
    SKIPPED = "skip"  # it could not be looked at, because of something that another line tells


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy`: the command that mends it, or what to do; empty of what is fine."""

    subject: str
    health: Health
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Health.OK, text)


def doubtful(subject: str, text: str, remedy: str) -> Finding:
    """It works, and may not do what is meant."""
    return Finding(subject, Health.DOUBTFUL, text, remedy)


def wrong(subject: str, text: str, remedy: str = "") -> Finding:
    """It does not work. A text that says by itself what to do needs no remedy."""
    return Finding(subject, Health.WRONG, text, remedy)


def skipped(subject: str, text: str) -> Finding:
    """It could not be looked at."""
    return Finding(subject, Health.SKIPPED, text)
