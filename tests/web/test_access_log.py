"""The log of requests."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.events import Fetched, Served
from proxy.model import Kind, Outcome, Source
from proxy.user_agent import UserAgent
from proxy.web.access_log import AccessLog, JsonLines
from proxy.web.log_writer import LogWriter
from tests.flows.asking import SteppedClock

EVENT = Served(
    "pypi", Kind.FILE, Outcome.SHARED, 206, {Source.CACHE: 3, Source.SHARED: 4, Source.UPSTREAM: 0}, 0.25, "GET",
    '/pypi/a"b\u20ac', "127.0.0.1",
)  # fmt: skip
CLOCK = SteppedClock()
CLOCK.wall += 0.25


def lines(event: Served, *, structured: bool) -> list[str]:
    """What is written of one event."""
    stream = io.StringIO()
    writer = LogWriter(stream, str)
    log = AccessLog(writer, CLOCK, structured=structured)
    log(event)
    log(Fetched("pypi", 7))
    writer.close()
    return stream.getvalue().splitlines()


def test_structured() -> None:
    """One JSON object; sources that sent nothing are left out."""
    (line,) = lines(EVENT, structured=True)
    shown = json.loads(line)
    assert shown == {
        "time": "2026-09-21T14:13:20.250+00:00",
        "client": "127.0.0.1",
        "method": "GET",
        "path": EVENT.path,
        "status": 206,
        "outcome": "shared",
        "upstream": "pypi",
        "file": 'a"b\u20ac',
        "sent": {"cache": 3, "shared": 4},
        "seconds": 0.25,
    }


_WHEEL = "litellm-1.82.8-py3-none-any.whl"
_DEB = "libstdc%2b%2b6_14.2.0-19_amd64.deb"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (structs.replace(EVENT, path=f"/pypi/~files/a/{_WHEEL}"), ("litellm", "1.82.8", _WHEEL)),
        (structs.replace(EVENT, path=f"/pypi/a/{_WHEEL}?x=1"), ("litellm", "1.82.8", _WHEEL)),
        (structs.replace(EVENT, path=f"/pypi/{'x' * 600}/{_WHEEL}"), ("litellm", "1.82.8", _WHEEL)),
        (
            structs.replace(EVENT, path=f"/pypi/a/{_WHEEL}.metadata", kind=Kind.METADATA),
            ("litellm", "1.82.8", f"{_WHEEL}.metadata"),
        ),
        (structs.replace(EVENT, path=f"/pypi/a/{_WHEEL}", kind=Kind.OTHER), ("litellm", "1.82.8", _WHEEL)),
        (
            structs.replace(EVENT, path=f"/deb.example/pool/{_DEB}", upstream="apt"),
            ("libstdc++6", "14.2.0-19", "libstdc++6_14.2.0-19_amd64.deb"),
        ),
        (
            structs.replace(EVENT, path="/pypi/simple/litellm/", kind=Kind.PAGE, project="litellm"),
            ("litellm", None, None),
        ),
        (structs.replace(EVENT, path="/pypi/simple/", kind=Kind.PAGE), (None, None, None)),
        (
            structs.replace(EVENT, path="/deb.example/dists/a/InRelease", kind=Kind.RELEASE, upstream="apt"),
            (None, None, None),
        ),
        (structs.replace(EVENT, path="/metrics-1.0.zip", kind=Kind.OTHER, upstream="-"), (None, None, None)),
    ],
)
def test_structured__what_was_asked_for(event: Served, expected: tuple[str | None, str | None, str | None]) -> None:
    """Project, version and file name have fields of their own, as far as they are known."""
    for _ in range(2):  # made, and remembered
        (line,) = lines(event, structured=True)
        shown = json.loads(line)
        assert expected == (shown.get("project"), shown.get("version"), shown.get("file"))
        assert event.path == shown["path"]


def test_structured__who_asks() -> None:
    """The program and its version have fields; the build has one, where it is known."""
    asked = [UserAgent("pip", "24.0"), UserAgent("pip", "24.0", "job 7"), UserAgent("Wget")]
    fields = ("client_name", "client_version", "build")
    for agent in asked:
        (line,) = lines(structs.replace(EVENT, agent=agent), structured=True)
        shown = json.loads(line)
        assert agent == tuple(shown.get(field, "") for field in fields)
        assert "" not in shown.values()


@settings(deadline=None)
@given(st.text(st.characters(codec=None)), st.floats(0, 1e6), st.dictionaries(st.sampled_from(Source), st.integers(0)))
def test_structured__of_any_request(text: str, seconds: float, sent: dict[Source, int]) -> None:
    """Any request has one line, which is JSON in ASCII and holds all of it."""
    event = structs.replace(EVENT, path=text, upstream=text, sent=sent, project=text, agent=UserAgent(text, text, text))
    form = JsonLines()
    line = form.line(form.part(event), 0.0, text, seconds, event.agent)
    shown = json.loads(line)
    assert line.isascii()
    assert line.endswith("}\n")
    assert line[:-1].isprintable()
    assert (text, text, text) == (shown["path"], shown["upstream"], shown["client"])
    assert round(seconds, 6) == shown["seconds"]
    assert {source.value: size for source, size in sent.items() if size} == shown["sent"]
    assert json.dumps({**shown, "seconds": 0}) == re.sub(r"[0-9.]+}\n$", "0}", line)


@pytest.mark.parametrize(
    ("when", "shown"), [(0.0, "1970-01-01T00:00:00.000+00:00"), (1e9 + 0.25, "2001-09-09T01:46:40.250+00:00")]
)
def test_structured__time(when: float, shown: str) -> None:
    """In UTC, by milliseconds (RFC 3339)."""
    form = JsonLines()
    for _ in range(2):  # made, and remembered
        assert shown == json.loads(form.line(form.part(EVENT), when, "", 0.0, EVENT.agent))["time"]


@pytest.mark.parametrize("structured", [True, False])
def test_again(structured: bool) -> None:
    """Told in short that an answer was sent again, it writes the line of an event."""
    stream, clock = io.StringIO(), SteppedClock()
    writer = LogWriter(stream, str)
    log = AccessLog(writer, clock, structured=structured)
    prepared = log.prepare(EVENT)
    for step, client, seconds in ((0.25, "127.0.0.1", 0.25), (0.001, "::1", 0.00000004), (60.0, "10.0.0.1", 1e-5)):
        clock.wall += step
        agent = UserAgent("pip", f"24.{step}")
        log(structs.replace(EVENT, client=client, seconds=seconds, agent=agent))
        log.again(prepared, clock.now(), client, seconds, agent)
    writer.close()
    written = stream.getvalue().splitlines()
    assert written[::2] == written[1::2]
    assert 3 == len(set(written))


def test_text() -> None:
    """One line of words, its path in ASCII."""
    (line,) = lines(EVENT, structured=False)
    expected = '2026-09-21T14:13:20+00:00 127.0.0.1 GET /pypi/a\\"b\\u20ac 206 shared 3 cache+4 shared 0.2500s'
    assert f"{expected} -" == line
    (line,) = lines(structs.replace(EVENT, agent=UserAgent("pip", "24.0", "job 7")), structured=False)
    assert f"{expected} pip/24.0" == line
