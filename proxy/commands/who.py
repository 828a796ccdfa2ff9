"""`pullthrough who`: which clients got a project, a version or a file, and when, out of the history.

Called by `cli`. A table or JSON goes to standard output. The exit status is 0 also where nobody got it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType

from proxy.builds.store_access import DataPlace, reach
from proxy.commands import output
from proxy.commands.endings import DONE, ended
from proxy.config.field_types import Duration
from proxy.control.protocol import PulledFiles, PullWish
from proxy.errors import WrongUsage


@dataclass(frozen=True, slots=True)
class WhoFlags:
    """The verb's own arguments."""

    place: DataPlace
    wanted: str
    since: str | None = None
    client: str | None = None
    most: int = 1000
    json: bool = False


def who(flags: WhoFlags, environ: Mapping[str, str]) -> int:
    """Show who got what. Gives the exit status."""

    def work() -> int:
        wish = wish_of(flags, time.time())
        with closing(reach(flags.place, environ)) as store:
            found = store.who(wish)
        if flags.json:
            sys.stdout.write(output.json_text(found))
            return DONE
        where = output.console()
        for part in shown(found):
            where.print(part)
        return DONE

    return ended(work)


def wish_of(flags: WhoFlags, now: float) -> PullWish:
    """What the arguments mean at `now`, in seconds since the epoch. Raises WrongUsage."""
    wanted, _, version = flags.wanted.partition("==")
    since = 0.0
    if flags.since is not None:
        try:
            since = now - TypeAdapter[float](Duration).validate_python(flags.since)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise WrongUsage(f"--since {flags.since}: {reason}") from None
    wish = PullWish(wanted.strip(), version.strip() or None, since, flags.client, flags.most)
    if (wrong := wish.wrong()) is not None:
        raise WrongUsage(wrong)
    return wish


def shown(found: PulledFiles) -> list[RenderableType]:
    """What a person is shown. Times are UTC."""
    if not found.rows:
        return [output.plain("The history has nobody who got it.")]
    table = output.table(
        "", "client", "program", "build", "file", "index", ("requests", "right"), ("size", "right"), "first", "last",
        "stored",
    )  # fmt: skip
    for row in found.rows:
        output.add_row(
            table,
            row.client,
            " ".join(filter(None, (row.client_name, row.client_version))),
            row.build or "",
            row.name,
            row.index,
            f"{row.requests:,}",
            output.size(row.size),
            _time(row.first),
            _time(row.last),
            "yes" if row.kept else "no",
        )
    more = [output.plain("There are more: --most lists them.")] if found.more else []
    return [table, *more]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
