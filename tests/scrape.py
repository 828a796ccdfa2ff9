"""Reads figures out of the text of `/metrics`, as Prometheus would. Used by tests of every kind."""

from __future__ import annotations

import re
from typing import Protocol

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class _Metrics(Protocol):
    def render(self) -> tuple[bytes, str]: ...


class _Running(Protocol):
    @property
    def metrics(self) -> _Metrics: ...


def value(text: str, name: str, **labels: str) -> float:
    """The sum of all samples of `name` with these labels. LookupError if there is none: a wrong name never reads 0."""
    found = [
        float(number)
        for sample, listed, number in _SAMPLE.findall(text)
        if sample == name and labels.items() <= dict(_LABEL.findall(listed)).items()
    ]
    if not found:
        raise LookupError(f"no sample of {name} with {labels}")
    return sum(found)


def metric(running: _Running, name: str, **labels: str) -> float:
    """The same, of a program that runs in this process."""
    return value(running.metrics.render()[0].decode(), name, **labels)
