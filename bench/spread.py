"""Case (j): hits that are spread over many projects, pages or clients, beside as many hits of one."""

from __future__ import annotations

import itertools
import re
import time
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urljoin, urlsplit

from bench import content
from bench.client import ClientError
from bench.load import Asked, in_turn
from bench.origin import UNLIMITED, Origin
from bench.results import OURS, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.bed import Bed
    from bench.servers import Server

_LINKS = 500  # of each project
_CONNECTIONS = 16
_JSON = "application/vnd.pypi.simple.v1+json"
_HREF = re.compile(r'href="([^"]+)"')
_MICROSECONDS = 1e6
_ONE = "1 "
_QUIET = 4.0  # seconds without a new page, after which the server has begun to write what it made of them
_REST_LIMIT = 60.0


def many_of_a_kind(bed: Bed) -> None:
    """(j) wrk in turn over many requests: requests a second, and microseconds of the server's CPU for each."""
    projects = bed.scale.projects
    folder = bed.number("projects")
    made = content.make_many(folder, projects=projects, links=_LINKS, few=-(-_LINKS // projects))
    with Origin(folder, UNLIMITED, bed.number("log")) as origin, bed.start(OURS, origin) as server:
        requests = _requests(bed, server, made)
        for asked in requests.values():
            _warm(server, asked)
        time.sleep(_QUIET)
        server.process.rest(_REST_LIMIT)
        for _ in range(bed.scale.brief):
            for name, asked in requests.items():
                with bed.failing(Row("j", name, OURS)):
                    _measure(bed, server, name, asked)


def pairs(variants: Sequence[str]) -> list[tuple[str, str]]:
    """Of each kind of hit, the variant with one and that with many."""
    return [(one, many) for one, many in itertools.pairwise(variants) if one.startswith(_ONE)]


def _requests(bed: Bed, server: Server, made: list[list[content.Ware]]) -> Mapping[str, list[Asked]]:
    """What is asked for, by variant: one before many of each kind."""
    projects, heads = bed.scale.projects, bed.scale.heads
    files = [_paths(server, wares) for wares in made]
    # As many files in all as the first project has: one of each, then a second of each, and so on.
    spread = [paths[turn] for turn in range(len(files[-1])) for paths in files][:_LINKS]
    pages = [urlsplit(server.page(f"p{number}")).path for number in range(projects)]
    agents = [f"pip/26.3 (client {number})" for number in range(heads)]
    return {
        "1 project, files": [Asked(path) for path in files[0]],
        f"{projects} projects, files": [Asked(path) for path in spread],
        "1 project, pages": [Asked(pages[0], _JSON)],
        f"{projects} projects, pages": [Asked(path, _JSON) for path in pages],
        "1 User-Agent": [Asked(files[0][0], agent=agents[0])],
        f"{heads:,} User-Agents": [Asked(files[0][0], agent=agent) for agent in agents],
    }


def _paths(server: Server, wares: list[content.Ware]) -> list[str]:
    """The paths that the server's own page gives for these files of one project."""
    page = server.page(wares[0].project)
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": "text/html"})) as answer:
        links = [urlsplit(urldefrag(urljoin(page, link)).url).path for link in _HREF.findall(answer.read().decode())]
    by_name = {link.rpartition("/")[2]: link for link in links}
    return [by_name[ware.name] for ware in wares]


def _warm(server: Server, asked: Sequence[Asked]) -> None:
    """Ask once for all of them."""
    base = server.page("")
    for one in asked:
        headers = {"Accept": one.accept, "Accept-Encoding": "gzip", "User-Agent": one.agent}
        with urllib.request.urlopen(urllib.request.Request(urljoin(base, one.path), headers=headers)) as answer:
            answer.read()


def _measure(bed: Bed, server: Server, name: str, asked: Sequence[Asked]) -> None:
    before = server.process.cpu()
    seen = in_turn(server.page(""), asked, connections=_CONNECTIONS, seconds=bed.scale.wrk)
    server.process.rest(_REST_LIMIT)
    if seen.errors or not seen.done:
        raise ClientError(f"{seen.errors} answers failed" if seen.errors else "no answer in time")
    cpu = (server.process.cpu() - before) / seen.done * _MICROSECONDS
    bed.results.add(Row("j", name, OURS), rate=seen.rate, cpu=cpu)
