"""`make live`: the real indexes, through the cache, one small page and one range of a wheel each.

Prints what answered and ends with 1 if anything did not. Needs a network, changes nothing, and takes a few megabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from proxy import app
from proxy.config.settings import Settings
from tests.live.known import PAGES, documented
from tests.live.probing import Finding, Verdict, probe

_STYLES = {Verdict.ANSWERED: "green", Verdict.UNREACHED: "yellow", Verdict.WRONG: "red"}
_FETCH = {"retries": 0, "connect_timeout": 10.0, "read_timeout": 20.0}


async def findings() -> list[Finding]:
    """Ask all of them at once, in front of an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {"port": 0, "data": Path(folder), "upstreams": _upstreams(), "fetch": _FETCH}
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its access log
            running = await app.start(settings)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
                return await asyncio.gather(*(probe(http, running.url, name, path) for name, path in PAGES.items()))
        finally:
            await running.close()


def _upstreams() -> list[dict[str, object]]:
    """What is asked for and not built in, as the documentation writes it."""
    wanted = {path.partition("/")[0] for path in PAGES.values()}
    return [table for table in documented("upstream") if table["mount"] in wanted]


def main() -> int:
    """Print the table; 0 if everything answered."""
    found = asyncio.run(findings())
    table = Table("index", "wheels listed", "", "what came")
    for finding in found:
        style = _STYLES[finding.verdict]
        table.add_row(finding.name, str(finding.wheels or "-"), f"[{style}]{finding.verdict.value}[/]", finding.detail)
    console = Console()
    console.print(table)
    for verdict in (Verdict.UNREACHED, Verdict.WRONG):
        if names := [finding.name for finding in found if finding.verdict is verdict]:
            console.print(f"{verdict.value}: {'; '.join(names)}", style=_STYLES[verdict])
    return int(any(finding.verdict is not Verdict.ANSWERED for finding in found))


if __name__ == "__main__":
    sys.exit(main())
