"""The page at `/`. A browser reads it in the end-to-end tests."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from proxy.control.protocol import Action, ActionEnd
from proxy.status import AnswerStatus, DayStatus, DownloadStatus, FailureStatus, Now, ProjectStatus, UpstreamStatus
from proxy.web.status_page import AnswerFilter, Said, StatusPage, duration, moment, size

_NOW = Now(
    version="1.2",
    since=0.0,
    sent=4_000_000,
    fetched=1_000_000,
    saved=3_000_000,
    files=7,
    size=50_000_000,
    limit=100_000_000,
    free=2_000_000_000,
    upstreams=(
        UpstreamStatus("pypi", 12, 9, 3_100_000, 60.0),
        UpstreamStatus("nvidia", 1, 0, 0, None, "timeout"),
        UpstreamStatus("apt", 1, 1, 5),
    ),
    unused=3 * 86_400.0,
    downloads=(
        DownloadStatus("pypi", "torch-2.7.1.whl", 400_000_000, 821_200_000, 3),
        DownloadStatus("apt", "<new>.deb", 5, None, 0),
    ),
    failures=(FailureStatus(60.0, "nvidia", "timeout"),),
    answers=(
        AnswerStatus(61.0, "10.0.0.7", "pypi", "GET", "/pypi/simple/Six/", 200, "hit", 1234, 0.001, "six"),
        AnswerStatus(60.0, "10.0.0.8", "apt", "GET", "/debian.example/InRelease", 200, "miss", 55, 0.5),
    ),
)
_EMPTY = Now("1.2", 0.0, 0, 0, 0, 0, 0, 100_000_000, None)


def _page(now: Now = _NOW, trouble: str | None = None, client: str = "", path: str = "", project: str = "") -> str:
    return StatusPage({"pypi": "simple/"}).render(
        now, "http://localhost:3142", date(1970, 1, 8), trouble, AnswerFilter(client, path, project)
    )


def test_render__facts() -> None:
    """The large figures, each download with its progress, upstreams, failures, the lines for clients."""
    page = _page()

    for text in (
        "<dd>3.0 MB</dd>",
        "<dd>75 %</dd>",
        'max="821200000" value="400000000"',
        "400.0 MB of 821.2 MB",
        "&lt;new&gt;.deb",
        "7 files</a>; the file system has 2.0 GB free",
        "1970-01-01 00:01:00 UTC",
        "<td>timeout</td>",
        "<td>answers</td>",
        '<span class="trouble">fails: timeout</span>',
        "<td>not asked yet</td>",
        "The file that would be evicted first was used 3 days ago.",
        "PIP_INDEX_URL=http://localhost:3142/pypi/simple/",
        "Acquire::http::Proxy",
        "pullthrough build .",
    ):
        assert text in page, text
    assert '<p class="trouble" role="alert" id="trouble"></p>' in page


def test_render__by_day() -> None:
    """What was saved today, in seven days and in all comes first; the graph has a bar for each day."""
    days = (
        DayStatus("1969-10-01", 10_000_000, 0),
        DayStatus("1970-01-02", 4_000_000, 1_000_000),
        DayStatus("1970-01-08", 2_000_000, 1_500_000),
    )
    page = _page(msgspec.structs.replace(_NOW, days=days))

    for text in (
        "<dt>Saved today</dt><dd>500.0 kB <small>25 %</small></dd>",
        "<dt>Saved in 7 days</dt><dd>3.5 MB <small>58 %</small></dd>",
        "<dt>Saved in all</dt><dd>13.5 MB <small>84 %</small></dd>",
        "<title>1970-01-08</title>",
    ):
        assert text in page, text
    assert 2 == page.count('class="saved"')
    assert "figure" not in _page()


def test_render__nothing_yet() -> None:
    """A cache that nobody has asked says so, and divides by nothing."""
    page = _page(_EMPTY)

    for text in ("<dd>-</dd>", "Nothing is being downloaded.", "No client has asked for anything yet.", "None."):
        assert text in page, text
    assert "free" not in page.partition("</main>")[0].partition('id="disk"')[2].partition("</section>")[0]


def test_render__more_fetched_than_sent() -> None:
    """A saving can be below zero."""
    assert "<dd>-</dd>" in _page(msgspec.structs.replace(_EMPTY, sent=1000, fetched=3500, saved=-2500))
    assert "<dd>\N{MINUS SIGN}2.5 kB</dd>" in _page(msgspec.structs.replace(_EMPTY, sent=0, fetched=2500, saved=-2500))


def test_live__made_once_for_the_same_facts() -> None:
    """However many look, it is the same text; other facts, another day or another trouble make another."""
    page = StatusPage({"pypi": "simple/"})
    today = date(1970, 1, 8)

    first = page.live(_NOW, today)
    assert first is page.live(_NOW, today)
    assert "Degraded" in page.live(_NOW, today, "the disk fails").text
    assert "4.0 MB" not in page.live(_EMPTY, today).text
    assert first == page.live(_NOW, today)


def test_render__trouble() -> None:
    """What is wrong comes first, and a screen reader says it: once, outside of what is replaced while it lasts."""
    before, _, live = _page(trouble="the disk fails").partition('<div id="live">')

    assert '<p class="trouble" role="alert" id="trouble">Degraded: the disk fails.' in before
    assert 'role="alert"' not in live


def test_said__what_could_not_be_deleted() -> None:
    """It is told apart from what was deleted, with the reason."""
    end = ActionEnd(Action.DELETE, 1, 2000, 0, 2, "Read-only file system")

    said = "Deleted: 1 file, 2.0 kB. 2 files could not be deleted: Read-only file system."
    assert said == Said(done=end).text


@pytest.mark.parametrize(
    ("client", "path", "project", "paths"),
    [
        ("", "", "", ["Six", "InRelease"]),
        ("10.0.0.7", "", "", ["Six"]),
        ("", "six", "", ["Six"]),
        ("", "(a+)+$", "", []),
        ("10.0.0.8", "six", "", []),
        ("", "", " SIX ", ["Six"]),
        ("", "", "si", []),
    ],
)
def test_render__filters(client: str, path: str, project: str, paths: list[str]) -> None:
    """By parts of the client's address and of the path, by a project; a pattern is a text like any other."""
    rows = _page(client=client, path=path, project=project).partition('id="answers"')[2]

    assert paths == [path for path in ("Six", "InRelease") if path in rows.partition('id="clients"')[0]]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**15, "5,000.0 TB"),
        (-1500, "\N{MINUS SIGN}1.5 kB"),
    ],
)
def test_size__in_the_units_of_disks(number: int, text: str) -> None:
    """Thousands, as disks are sold and as networks are measured."""
    assert text == size(number)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 minutes"), (7199.0, "120 minutes"), (7200.0, "2 hours"), (9e5, "10 days")]
)
def test_duration__in_the_unit_that_says_something(seconds: float, text: str) -> None:
    """Days, hours or minutes."""
    assert text == duration(seconds)


def test_moment__in_utc() -> None:
    """Whoever looks, and wherever the cache is."""
    assert "2026-01-02 03:04:05 UTC" == moment(1767323045.9)


def test_render__projects() -> None:
    """What saved most, and no empty table."""
    page = _page(msgspec.structs.replace(_NOW, projects=(ProjectStatus("torch", 2_000_000),)))
    assert '<th scope="row" class="long">torch</th><td class="number">2.0 MB</td>' in page
    assert "What saved most" not in _page()
