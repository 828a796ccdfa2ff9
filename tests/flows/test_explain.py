"""What is said of an address before it is asked for is what happens then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from proxy.cache.forecast import Verdict
from proxy.control.explanation import ExplainWish, Explanation
from tests import faults
from tests.archive import Archive, deb
from tests.control.stores import aside, asked
from tests.flows.asking import SteppedClock, get, until_idle
from tests.flows.conftest import MakeClocked
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

_OUTCOMES = {Verdict.HIT: "hit", Verdict.FETCH: "miss", Verdict.REVALIDATE: "revalidated", Verdict.PASS: "miss"}


async def _said(folder: Path, url: str) -> Explanation:
    return await aside(lambda: asked(folder).explain(ExplainWish(url)))


async def _held(http: aiohttp.ClientSession, running: Running, folder: Path, *paths: str) -> list[Verdict]:
    """Each verdict, held against what a client gets right after."""
    verdicts = []
    for path in paths:
        said = await _said(folder, path)
        got = await get(http, running.url + path)
        await until_idle(running)
        if said.forecast.verdict is Verdict.REFUSE:
            assert got.status in {403, 404, 502, 503, 504}, path
        elif said.forecast.verdict is Verdict.REDIRECT:
            assert 302 == got.status, path
        else:
            assert (200, _OUTCOMES[said.forecast.verdict]) == (got.status, got.source), path
        if said.forecast.promised is not None:
            assert f"sha256={got.sha256}" == said.forecast.promised
        verdicts.append(said.forecast.verdict)
    return verdicts


async def test_explain__index(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    http: aiohttp.ClientSession,
    data_folder: Path,
) -> None:
    """Pages, files, metadata, lists, and what is refused: cold, warm, and when the page is old."""
    package = wheel()
    origin.publish(package)
    origin.resource("/simple/", '<a href="demo/">demo</a>', content_type="text/html")
    running = await make_clocked(origin.url)
    project = package.filename.split("-")[0]
    page, file = f"/pypi/simple/{project}/", f"/pypi/packages/{package.filename}"
    paths = (page, file, "/pypi/simple/", f"/pypi/simple/{project}", "/pypi/other/thing/", "/none/simple/x/")
    others = [Verdict.PASS, Verdict.REDIRECT, Verdict.REFUSE, Verdict.REFUSE]

    assert [Verdict.FETCH, Verdict.FETCH, *others] == await _held(http, running, data_folder, *paths)
    assert [Verdict.HIT, Verdict.HIT, *others] == await _held(http, running, data_folder, *paths)
    clock.advance(600)
    assert [Verdict.REVALIDATE, Verdict.HIT, *others] == await _held(http, running, data_folder, *paths)
    await running.close()
    clock.advance(600)
    running = await make_clocked(origin.url, offline=True)
    said = [(await _said(data_folder, path)).forecast.verdict for path in paths]
    got = [(await get(http, running.url + path)).status for path in paths]
    assert [Verdict.HIT, Verdict.HIT, Verdict.REFUSE, *others[1:]] == said
    assert [200, 200] == got[:2]
    assert 302 == got[3]


async def test_explain__archive(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    http: aiohttp.ClientSession,
    data_folder: Path,
) -> None:
    """The state of a suite, an index, a package, and a path that archives do not have."""
    archive = Archive(origin)
    package = deb("demo")
    archive.publish(package)
    host = f"{origin.host}:{origin.port}"
    running = await make_clocked("https://index.example/", apt={"hosts": [host], "window": 20})
    release = archive.url(f"{archive.folder}InRelease")
    paths = (
        release,
        archive.url(f"{archive.folder}{archive.binary}Packages.gz"),
        archive.url(archive.root + package.path),
        archive.url("/index.html"),
        "/other.example/debian/dists/stable/InRelease",
    )
    refused = [Verdict.REFUSE, Verdict.REFUSE]

    assert [*[Verdict.FETCH] * 3, *refused] == await _held(http, running, data_folder, *paths)
    assert [*[Verdict.HIT] * 3, *refused] == await _held(http, running, data_folder, *paths)
    clock.advance(20)
    assert [Verdict.REVALIDATE] == await _held(http, running, data_folder, release)
    clock.advance(10)
    assert [Verdict.HIT] == await _held(http, running, data_folder, release)


async def test_explain__upstream_that_fails(
    make_clocked: MakeClocked,
    clock: SteppedClock,
    origin: Origin,
    http: aiohttp.ClientSession,
    data_folder: Path,
) -> None:
    """The last failure is told, and that the host is not asked for a moment; the API says the same as the socket."""
    package = wheel()
    origin.publish(package)
    running = await make_clocked(origin.url)
    page = f"/pypi/simple/{package.filename.split('-')[0]}/"
    await get(http, running.url + page)
    clock.advance(600)
    origin.misbehave(page.removeprefix("/pypi"), faults.status(500))
    assert "stale" == (await get(http, running.url + page)).source

    said = await _said(data_folder, page)

    assert (Verdict.REVALIDATE, True, {"broken"}) == (
        said.forecast.verdict,
        said.down,
        {failure.reason for failure in said.failures},
    )
    assert said == msgspec.json.decode(
        (await get(http, f"{running.url}/api/v1/explain?url={page}")).body, type=Explanation
    )
