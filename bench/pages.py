"""`python -m bench.pages`: what a page costs that comes for the first time, in microseconds of CPU for each link.

The page is like one of PyPI, or one that was saved: read, completed, rendered and compressed, step by step, as a cache
does it for the first client. Each step is done several times; the quickest counts. Beside it, how long an event loop
waited at most while a thread did all of it: other clients' answers come from that loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from proxy.cache.workers import Workers
from proxy.model import Site, Target
from proxy.python.codings import Coding, coded
from proxy.python.negotiation import Format
from proxy.python.parsed_page import ParsedPage
from proxy.python.parsing import parse
from proxy.python.rendering import render
from proxy.python.supplements import NOTHING_KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.python.page import Page

T = TypeVar("T")

_SITE = Site("pypi", "https://index.example/", "simple/", 600.0)
_HERE = Target("pypi", None, "simple/demo/")
_URL = "https://index.example/simple/demo/"
_TIMES = 5
FIRST_ANSWER = ("read", "complete", "JSON", "gzip")  # the steps of a first answer, as pip and uv get it
_WHEELS = ("cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_x86_64", "py3-none-any")


def page(links: int) -> bytes:
    """A page in JSON with so many links, which differ from each other as those of PyPI do."""
    chance = random.Random(7)
    return json.dumps(
        {
            "meta": {"api-version": "1.4", "_last-serial": 7},
            "name": "demo",
            "versions": [f"1.{number}.0" for number in range(links // (len(_WHEELS) + 1) + 1)],
            "files": [_file(number, chance) for number in range(links)],
        }
    ).encode()


def _file(number: int, chance: random.Random) -> dict[str, Any]:
    version, kind = divmod(number, len(_WHEELS) + 1)
    wheel = kind < len(_WHEELS)
    name = f"demo-1.{version}.0-{_WHEELS[kind]}.whl" if wheel else f"demo-1.{version}.0.tar.gz"
    folder = f"{chance.getrandbits(256):064x}"
    metadata = {"sha256": f"{chance.getrandbits(256):064x}"} if wheel else False
    return {
        "core-metadata": metadata,
        "data-dist-info-metadata": metadata,
        "filename": name,
        "hashes": {"sha256": f"{chance.getrandbits(256):064x}"},
        "provenance": None,
        "requires-python": ">=3.9",
        "size": chance.randrange(10_000, 10_000_000),
        "upload-time": "2024-05-06T07:08:09.123456Z",
        "url": f"https://files.example/packages/{folder[:2]}/{folder[2:4]}/{folder[4:]}/{name}",
        "yanked": False,
    }


def steps(body: bytes, media_type: str) -> Iterator[tuple[str, float]]:
    """The steps of a first answer in JSON, and the seconds of CPU that each takes. The last is HTML in its place."""
    parsed, took = _quickest(partial(_parsed, body, media_type))
    yield "read", took
    complete, took = _quickest(partial(NOTHING_KNOWN.complete, parsed))
    yield "complete", took
    rendered, took = _quickest(partial(render, complete, _HERE, _SITE, Format.JSON))
    yield "JSON", took
    yield "gzip", _quickest(partial(coded, rendered, Coding.GZIP))[1]
    yield "HTML in place of JSON", _quickest(partial(render, complete, _HERE, _SITE, Format.HTML))[1]


def _parsed(body: bytes, media_type: str) -> Page:
    return ParsedPage.of(parse(body, media_type, _URL)).page


def _quickest(work: Callable[[], T]) -> tuple[T, float]:
    made, least = work(), float("inf")
    for _ in range(_TIMES):
        began = time.process_time()
        made = work()
        least = min(least, time.process_time() - began)
    return made, least


def whole(body: bytes, media_type: str) -> bytes:
    """All steps of a first answer."""
    return coded(render(NOTHING_KNOWN.complete(_parsed(body, media_type)), _HERE, _SITE, Format.JSON), Coding.GZIP)


async def longest_wait(work: Callable[[], object]) -> float:
    """How many seconds an event loop waited at most while a thread did the work."""
    threads, longest = Workers("pages"), 0.0
    task = asyncio.create_task(threads.run(work))
    try:
        while not task.done():
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)
        await task
    finally:
        await threads.close()
    return longest


def main(arguments: list[str]) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--links", type=int, default=50_000)
    parser.add_argument("--page", type=Path, help="a page that was saved, in JSON (.json) or HTML")
    asked = parser.parse_args(arguments)
    body = asked.page.read_bytes() if asked.page else page(asked.links)
    media_type = "text/html" if asked.page and asked.page.suffix != ".json" else Format.JSON.content_type
    links = len(_parsed(body, media_type).files)
    print(f"{links:,} links, {len(body) / 1e6:.1f} MB\n\n| step | µs of CPU for each link |\n|---|---|")
    for name, took in steps(body, media_type):
        print(f"| {name} | {took / max(links, 1) * 1e6:.2f} |")
    wait = min(asyncio.run(longest_wait(partial(whole, body, media_type))) for _ in range(_TIMES))
    print(f"| the event loop waited, at most | {wait * 1000:.1f} ms |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
