"""The log of requests."""

from __future__ import annotations

import io
import json

from proxy.events import Fetched, Served
from proxy.model import Kind, Outcome, Source
from proxy.web.access_log import AccessLog
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


def test_text() -> None:
    """One line of words, its path in ASCII."""
    (line,) = lines(EVENT, structured=False)
    assert line.endswith('127.0.0.1 GET /pypi/a\\"b\\u20ac 206 shared 3 cache+4 shared 0.2500s')
