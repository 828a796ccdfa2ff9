"""The log of requests."""

from __future__ import annotations

import io
import json

from proxy.model import Fetched, Kind, Outcome, Served, Source
from proxy.web.access_log import AccessLog

EVENT = Served(
    "pypi", Kind.FILE, Outcome.SHARED, 206, {Source.CACHE: 3, Source.SHARED: 4, Source.UPSTREAM: 0}, 0.25, "GET",
    '/pypi/a"b\u20ac', "127.0.0.1",
)  # fmt: skip


class Closed(io.StringIO):
    """A stream whose reader went away."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


def lines(event: Served, *, structured: bool) -> list[str]:
    """What is written of one event."""
    stream = io.StringIO()
    log = AccessLog(stream, structured=structured)
    log(event)
    log(Fetched("pypi", 7))
    log.close()
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


def test_reader_that_went_away() -> None:
    """Serving goes on without a log."""
    log = AccessLog(Closed(), structured=True)
    log(EVENT)
    log.close()
    assert not log._thread.is_alive()
