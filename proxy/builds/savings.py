"""What the cache gave to one build: the difference of its metrics before and after. Pure.

Other clients of the same cache at the same time count too: the metrics do not tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.builds.running_cache import Figures

_SENT = "pullthrough_sent_bytes_total"
_FETCHED = "pullthrough_fetched_bytes_total"


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
