"""Back-off of hosts that failed."""

from __future__ import annotations

import pytest

from proxy.model import Ask, Kind, Site
from proxy.upstream.health import Aspect, Back, Health, after_failure

PAGES, FILES, LINE = Aspect.DOCUMENTS, Aspect.FILES, Aspect.LINE


def test_after_failure__again_and_again() -> None:
    """The back-off doubles from one second to thirty."""
    now, back, waits = 100.0, None, []
    for _ in range(7):
        back = after_failure(back, now)
        waits.append(back.until - now)
        now = back.until
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_after_failure__requests_that_fail_together() -> None:
    """Fifty requests that fail at once are one failure of the host."""
    back = after_failure(None, 100.0)
    for _ in range(50):
        back = after_failure(back, 100.5)
    assert Back(1, 101.5) == back


@pytest.mark.parametrize(("wish", "wait"), [(0.0, 1.0), (7.0, 7.0), (3600.0, 30.0)])
def test_after_failure__upstream_says_for_how_long(wish: float, wait: float) -> None:
    """Upstream's own wish counts, up to the longest back-off."""
    assert wait == after_failure(None, 0.0, wish).until


def test_health__an_answer_clears() -> None:
    """A host is down until its back-off is over, or until it answers."""
    health = Health()
    health.failed("a:80", PAGES, 10.0)
    assert [True, False, False] == [
        health.down(*at) for at in (("a:80", PAGES, 10.9), ("a:80", PAGES, 11.0), ("a:81", PAGES, 10.0))
    ]
    health.answered("a:80", PAGES)
    assert not health.down("a:80", PAGES, 10.1)


@pytest.mark.parametrize(
    ("failing", "answering", "after_failing", "after_answering"),
    [
        (PAGES, FILES, {PAGES}, {PAGES}),
        (FILES, PAGES, {FILES}, {FILES}),
        (LINE, FILES, {PAGES, FILES, LINE}, set()),
        (LINE, LINE, {PAGES, FILES, LINE}, set()),
        (PAGES, LINE, {PAGES}, {PAGES}),
    ],
)
def test_health__parts(
    failing: Aspect, answering: Aspect, after_failing: set[Aspect], after_answering: set[Aspect]
) -> None:
    """A host that gives files may fail at pages, and the reverse; one that cannot be reached gives nothing."""
    health = Health()
    health.failed("a:80", failing, 10.0)
    assert after_failing == {part for part in Aspect if health.down("a:80", part, 10.5)}
    health.answered("a:80", answering)
    assert after_answering == {part for part in Aspect if health.down("a:80", part, 10.5)}


@pytest.mark.parametrize(
    ("kind", "part"), [(Kind.PAGE, PAGES), (Kind.RELEASE, PAGES), (Kind.FILE, FILES), (Kind.METADATA, FILES)]
)
def test_part__of_a_request(kind: Kind, part: Aspect) -> None:
    """Metadata comes from where files are."""
    assert part is Aspect.of(Ask("http://a/", Site("demo", "http://a/", "", 600.0), kind=kind))


def test_health__made_up_names() -> None:
    """However many hosts fail, few are remembered: the latest."""
    health = Health()
    for number in range(5000):
        health.failed(f"host{number}:80", PAGES, 0.0)
    assert len(health._backs) == 1024
    assert health.down("host4999:80", PAGES, 0.5)


def test_health__behind_a_proxy() -> None:
    """A host is down while the proxy is that it was asked through last; straight, it is judged by itself."""
    health = Health()
    health.asked("a:80", "proxy:3128")
    health.asked("b:80", None)
    health.failed("proxy:3128", LINE, 10.0)
    assert [True, False, False] == [health.down(host, FILES, 10.5) for host in ("a:80", "b:80", "c:80")]
    health.asked("a:80", None)
    assert not health.down("a:80", PAGES, 10.5)
    for number in range(5000):
        health.asked(f"host{number}:80", "proxy:3128")
    assert len(health._proxies) == 1024
