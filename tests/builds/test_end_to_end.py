"""A page and a file fetched through the cache, and what is said when that fails."""

from __future__ import annotations

import asyncio

from proxy.app import Running
from proxy.builds.end_to_end import fetched
from proxy.builds.findings import Finding, Health
from proxy.builds.running_cache import RunningCache
from tests.origin import Origin
from tests.wheels import wheel


async def _fetched(running: Running, project: str = "six", path: str = "simple/") -> list[Finding]:
    cache = RunningCache("127.0.0.1", int(running.url.rpartition(":")[2]), "1", "0.1.0")
    return await asyncio.to_thread(fetched, cache, "pypi", path, project)


async def test_fetched__page_and_file(proxy: Running, origin: Origin) -> None:
    """The smallest file, with the digest that its page promises."""
    small, large = wheel("six", "1.0"), wheel("six", "2.0", padding=100_000)
    origin.publish(large, small, fmt="json")

    page, file = await _fetched(proxy)

    assert (Health.OK, "/pypi/simple/six/: 2 files") == (page.health, page.text)
    assert (Health.OK, True) == (file.health, file.text.startswith(f"{small.filename}: {small.body.size} bytes"))


async def test_fetched__project_that_is_not_there(proxy: Running) -> None:
    """Another one can be named."""
    (page,) = await _fetched(proxy)

    assert (Health.DOUBTFUL, "pullthrough doctor --project NAME") == (page.health, page.remedy)


async def test_fetched__upstream_fails(proxy: Running, origin: Origin) -> None:
    """What the cache says of it is shown: for the page, and for the file."""
    await origin.stop()
    (page,) = await _fetched(proxy)
    assert Health.WRONG is page.health
    assert page.text.startswith("/pypi/simple/six/: status 50")


async def test_fetched__file_fails(proxy: Running, origin: Origin) -> None:
    """The page is fine, and the file is not there."""
    package = wheel("six", "1.0")
    origin.publish(package, fmt="json")
    origin.remove(f"/packages/{package.filename}")

    page, file = await _fetched(proxy)

    assert (Health.OK, Health.WRONG) == (page.health, file.health)
    assert f"{package.filename}: status 404" in file.text


async def test_fetched__page_without_digests(proxy: Running, origin: Origin) -> None:
    """Nothing on it can be checked."""
    origin.page("/simple/six/", [], fmt="json")

    (page,) = await _fetched(proxy)

    assert (Health.DOUBTFUL, "/pypi/simple/six/: no file on it has a sha256") == (page.health, page.text)


async def test_fetched__another_server_in_between(origin: Origin) -> None:
    """Bytes that are not what the page promises: a proxy on the way that changes them."""
    package, other = wheel("six", "1.0"), wheel("six", "1.0", padding=5000)
    origin.page("/pypi/simple/six/", [package.link(f"/files/{package.filename}")], fmt="json")
    origin.file(f"/files/{package.filename}", other.body)
    cache = RunningCache("127.0.0.1", int(origin.url.rstrip("/").rpartition(":")[2]), "1", "0.1.0")

    _, file = await asyncio.to_thread(fetched, cache, "pypi", "simple/", "six")

    assert (Health.WRONG, "pullthrough verify") == (file.health, file.remedy)


async def test_fetched__nobody_answers(proxy: Running) -> None:
    """The cache ended meanwhile."""
    await proxy.close()

    (page,) = await _fetched(proxy)

    assert (Health.WRONG, "pullthrough setup") == (page.health, page.remedy)
