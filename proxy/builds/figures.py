"""The figures of a cache at one moment, and what it gave to a build between two of them. Pure.

Other clients of the same cache at the same time count too: the metrics do not tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_STARTED = "pullthrough_start_time_seconds"
_SENT = "pullthrough_sent_bytes_total"
_FETCHED = "pullthrough_fetched_bytes_total"


@dataclass(frozen=True, slots=True)
class Figures:
    """The metrics of a cache at one moment. `started` tells two caches, or two runs of one, apart."""

    started: str
    version: str
    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    def sums(self, name: str, label: str, **fixed: str) -> dict[str, float]:
        """The values of a metric by one label, summed over the others; `fixed` labels have these values."""
        sums: dict[str, float] = {}
        for sample, labels, value in self.samples:
            if sample == name and fixed.items() <= labels.items():
                key = labels.get(label, "")
                sums[key] = sums.get(key, 0.0) + value
        return sums


def read_figures(text: str) -> Figures | None:
    """The text of /metrics; None if it is not this program's."""
    samples, started, version = [], "", ""
    for name, listed, number in _SAMPLE.findall(text):
        if not name.startswith("pullthrough_"):
            continue
        labels = dict(_LABEL.findall(listed))
        if name == _STARTED:
            started = number
        elif name == "pullthrough_build_info":
            version = labels.get("version", "")
        with suppress(ValueError):
            samples.append((name, labels, float(number)))
    return Figures(started, version, tuple(samples)) if started and version else None


@dataclass(frozen=True, slots=True)
class Saving:
    """Bytes of bodies of one upstream, or of all. `from_cache`: from the disk, or from a download under way."""

    from_cache: int
    from_upstream: int  # what upstream sent
    sent: int  # what the build got

    @property
    def saved(self) -> int:
        """Bytes that upstream did not have to send."""
        return self.sent - self.from_upstream


@dataclass(frozen=True, slots=True)
class Savings:
    """By upstream, those without any bytes left out, and their sum."""

    upstreams: dict[str, Saving]

    @property
    def total(self) -> Saving:
        """The sum."""
        rows = self.upstreams.values()
        return Saving(
            sum(one.from_cache for one in rows), sum(one.from_upstream for one in rows), sum(one.sent for one in rows)
        )


def between(before: Figures, after: Figures) -> Savings | None:
    """What came between two looks; None if the cache was started anew, since its figures began again."""
    if before.started != after.started:
        return None
    sent, fetched = _grown(before, after, _SENT), _grown(before, after, _FETCHED)
    cached = {
        name: size + _grown(before, after, _SENT, source="shared").get(name, 0)
        for name, size in _grown(before, after, _SENT, source="cache").items()
    }
    rows = {
        name: Saving(cached.get(name, 0), fetched.get(name, 0), sent.get(name, 0))
        for name in sorted({*sent, *fetched})
        if name != "-"  # the program's own pages, such as the metrics
    }
    return Savings({name: one for name, one in rows.items() if one.sent or one.from_upstream})


def _grown(before: Figures, after: Figures, name: str, **fixed: str) -> dict[str, int]:
    earlier = before.sums(name, "upstream", **fixed)
    return {key: round(value - earlier.get(key, 0.0)) for key, value in after.sums(name, "upstream", **fixed).items()}
