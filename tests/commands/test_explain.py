"""`pullthrough explain`, as a process: over the socket of a running cache, and where none runs."""

from __future__ import annotations

import json

import aiohttp
import pytest
from msgspec.structs import replace

from proxy.cache.forecast import DecidingSetting, Forecast, ListingPage, StoredCopy, Verdict
from proxy.commands.explain import shown
from proxy.control.explanation import Explanation, RecentFailure
from tests.commands.stored import GOLDEN, Machine, filled
from tests.conftest import MakeProxy
from tests.flows.asking import get
from tests.origin import Origin
from tests.wheels import wheel

_NOW = 1_790_000_000.0
_FILE = Forecast(
    kind="file",
    verdict=Verdict.HIT,
    why=("It is stored, and is what a page promises.",),
    address="/pypi/~files/files.example/litellm-1.82.8-py3-none-any.whl",
    mount="pypi",
    upstream="https://files.example/litellm-1.82.8-py3-none-any.whl",
    pages=(
        ListingPage("/pypi/simple/litellm/", 7200.0, fresh=False, lists=True),
        ListingPage("/pypi/links.html", 5.0, fresh=True, lists=False),
    ),
    promised=f"sha256={'ab' * 32}",
    stored=StoredCopy("ab" * 32, 8_200_000, _NOW - 90_000, _NOW - 86_400),
)
_PAGE = Forecast(
    kind="page",
    verdict=Verdict.REVALIDATE,
    why=("The stored page is older than its life time. If upstream fails or is slow, it is sent as stale.",),
    address="/pypi/simple/litellm/",
    mount="pypi",
    settings=(DecidingSetting("[[upstream]] pypi, ttl", "10m"),),
)


def test_shown__golden_text() -> None:
    """A hit; what is known of upstream; what is down; and a cache that does not run."""
    failures = (RecentFailure(_NOW - 60, "timeout"), RecentFailure(_NOW - 3600, "unreachable"))
    said = (
        Explanation(_FILE, running=True),
        Explanation(_PAGE, running=True, down=True, failures=failures),
        Explanation(replace(_PAGE, verdict=Verdict.FETCH), running=True, down=True),
        Explanation(Forecast(kind="nothing", verdict=Verdict.REFUSE, why=("There is no index at this address.",))),
    )
    lines = [line for one in said for line in (*shown(one, _NOW), "")]
    assert (GOLDEN / "explain.txt").read_text(encoding="utf-8").splitlines() == [line.rstrip() for line in lines]


@pytest.mark.parametrize("verdict", Verdict)
def test_shown__each_verdict(verdict: Verdict) -> None:
    """Each has words of its own."""
    (first, *_) = shown(Explanation(replace(_PAGE, verdict=verdict)), _NOW)
    assert len(first) > len("page: ")


async def test_explain__running_cache(
    machine: Machine, make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """What was fetched a moment ago is a hit, by its path and by its whole address."""
    package = wheel()
    origin.publish(package)
    running = await make_proxy(origin.url)
    path = f"/pypi/simple/{package.filename.split('-')[0]}/"
    before = json.loads((await machine.run("explain", path, "--json")).out)
    await get(http, f"{running.url}{path}")

    for url in (path, f"{running.url}{path}"):
        result = await machine.run("explain", url, "--json")
        assert (0, "") == (result.status, result.err)
        found = json.loads(result.out)
        assert ("fetch", "hit") == (before["forecast"]["verdict"], found["forecast"]["verdict"])
        assert (True, []) == (found["running"], found["failures"])
    assert "page: a hit" in (await machine.run("explain", path)).out


async def test_explain__no_cache_runs(machine: Machine) -> None:
    """The folder is opened, and read with the settings of a cache."""
    await filled(machine.data)

    result = await machine.run("explain", "/pypi/simple/six/", "--json", PULLTHROUGH_APT_WINDOW="7s")

    found = json.loads(result.out)
    assert ("hit", False) == (found["forecast"]["verdict"], found["running"])
    at = "http://deb.example/debian/dists/stable/InRelease"
    found = json.loads((await machine.run("explain", at, "--json", PULLTHROUGH_APT_WINDOW="7s")).out)
    assert [{"name": "apt.window", "value": "7s"}] == found["forecast"]["settings"]
    assert "revalidate" == found["forecast"]["verdict"]


async def test_explain__wrong_usage(machine: Machine) -> None:
    """One line, and status 2."""
    result = await machine.run("explain", " ")

    assert (2, 1) == (result.status, len(result.err.splitlines()))
