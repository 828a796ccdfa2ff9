"""The log of requests."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.events import Fetched, Served
from proxy.model import Kind, Outcome, Source
from proxy.web.access_log import AccessLog, _json_line, in_ascii
from proxy.web.log_writer import LogWriter

EVENT = Served(
    "pypi", Kind.FILE, Outcome.SHARED, 206, {Source.CACHE: 3, Source.SHARED: 4, Source.UPSTREAM: 0}, 0.25, "GET",
    '/pypi/a"b\u20ac', "127.0.0.1",
)  # fmt: skip


def lines(event: Served, *, structured: bool) -> list[str]:
    """What is written of one event."""
    stream = io.StringIO()
    writer = LogWriter(stream, str)
    log = AccessLog(writer, structured=structured)
    log(event)
    log(Fetched("pypi", 7))
    writer.close()
    return stream.getvalue().splitlines()


def test_structured() -> None:
    """One JSON object; sources that sent nothing are left out."""
    (line,) = lines(EVENT, structured=True)
    shown = json.loads(line)
    assert shown.pop("time").endswith("+00:00")
    assert shown == {
        "client": "127.0.0.1",
        "method": "GET",
        "path": EVENT.path,
        "status": 206,
        "outcome": "shared",
        "upstream": "pypi",
        "sent": {"cache": 3, "shared": 4},
        "seconds": 0.25,
    }


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_in_ascii(text: str) -> None:
    """Whatever a path holds, a line is ASCII, is one, and says it."""
    line = in_ascii({"path": text})
    assert line.isascii()
    assert line.isprintable()
    assert {"path": text} == json.loads(line)


@pytest.mark.parametrize(
    ("when", "shown"), [(0.0, "1970-01-01T00:00:00.000+00:00"), (1e9 + 0.25, "2001-09-09T01:46:40.250+00:00")]
)
def test_structured__time(when: float, shown: str) -> None:
    """In UTC, by milliseconds (RFC 3339)."""
    assert shown == json.loads(_json_line((when, EVENT)))["time"]


def test_text() -> None:
    """One line of words, its path in ASCII."""
    (line,) = lines(EVENT, structured=False)
    assert line.endswith('127.0.0.1 GET /pypi/a\\"b\\u20ac 206 shared 3 cache+4 shared 0.2500s')
