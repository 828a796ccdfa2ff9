"""`pullthrough explain`: what a request for an address would come to, and why.

Called by `cli`. Lines or JSON go to standard output. The exit status is 0 also where nobody would get anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from proxy.builds.store_access import DataPlace, reach
from proxy.cache.forecast import Forecast, Verdict
from proxy.commands import output
from proxy.commands.endings import DONE, ended
from proxy.control.explanation import ExplainWish, Explanation
from proxy.errors import WrongUsage

_WIDTH = 11  # characters
_VERDICTS = {
    Verdict.HIT: "a hit: the stored copy is sent",
    Verdict.REVALIDATE: "upstream is asked whether the stored copy is still right",
    Verdict.FETCH: "it is fetched from upstream",
    Verdict.SHARED: "the client follows a download that is under way",
    Verdict.PASS: "it comes from upstream each time, and is not stored",
    Verdict.REDIRECT: "the client is sent to another address",
    Verdict.OWN: "the program itself answers",
    Verdict.REFUSE: "it is refused",
}


@dataclass(frozen=True, slots=True)
class ExplainFlags:
    """The verb's own arguments."""

    place: DataPlace
    url: str
    json: bool = False


def explain(flags: ExplainFlags, environ: Mapping[str, str]) -> int:
    """Show what would happen. Gives the exit status."""

    def work() -> int:
        wish = ExplainWish(flags.url)
        if (wrong := wish.wrong()) is not None:
            raise WrongUsage(wrong)
        with closing(reach(flags.place, environ)) as store:
            found = store.explain(wish)
        if flags.json:
            sys.stdout.write(output.json_text(found))
            return DONE
        where = output.console()
        for line in shown(found, time.time()):
            where.print(output.plain(line))
        return DONE

    return ended(work)


def shown(found: Explanation, now: float) -> Iterator[str]:
    """The lines for a person. Times are UTC."""
    forecast = found.forecast
    yield f"{forecast.kind}: {_verdict(found)}"
    yield from (f"  {sentence}" for sentence in forecast.why)
    facts = {
        "address": forecast.address,
        "mount": forecast.mount,
        "upstream": forecast.upstream,
        "promised": forecast.promised,
        "stored": _stored(forecast, now),
    }
    yield from (f"{name + ':':<{_WIDTH}}{value}" for name, value in facts.items() if value is not None)
    for page in (one for one in forecast.pages if one.path != forecast.address):
        age = f"confirmed {output.period(page.age)} ago, {'fresh' if page.fresh else 'not fresh any more'}"
        yield f"{'listed by:' if page.lists else 'not on:':<{_WIDTH}}{page.path}, {age}"
    yield from (f"{'setting:':<{_WIDTH}}{setting.name} = {setting.value}" for setting in forecast.settings)
    if not found.running:
        yield "no cache runs: nothing is known of how upstream is"
    for failure in found.failures:
        when = datetime.fromtimestamp(failure.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
        yield f"{'failed:':<{_WIDTH}}{when} {failure.reason}"


def _verdict(found: Explanation) -> str:
    verdict = found.forecast.verdict
    if found.down and verdict is Verdict.REVALIDATE:
        return "the stored copy is sent as stale, since upstream failed a moment ago"
    if found.down and verdict is Verdict.FETCH:
        return "it is fetched from upstream, which failed a moment ago"
    return _VERDICTS[verdict]


def _stored(forecast: Forecast, now: float) -> str | None:
    copy = forecast.stored
    if copy is None:
        return None
    confirmed = f"confirmed {output.period(max(now - copy.confirmed, 0.0))} ago"
    return f"{output.size(copy.size)}, sha256={copy.sha256}, {confirmed}"
