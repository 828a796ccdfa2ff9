"""What the program itself has to say: records of `logging`, in the form of the access log, each with its fields.

The composition root installs it. Libraries' warnings come this way too. A line is made where it is logged, so that
nothing keeps a traceback's frames alive; the `LogWriter` writes it. What may be a secret in an address is left out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import re
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

from proxy.web.log_writer import LogWriter

_log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST = 16 << 10  # characters of one field
_MINUTE = 60.0  # seconds between two lines about descriptors
# What of an address may be a secret: who asks, and what stands in a signed one.
_USER = re.compile(r"(?<=://)[^/?#\s\"'<>@]*@")
_QUERY = re.compile(r"(://[^\s\"'<>?\\]*\?)[^\s\"'<>\\]+")
_NONE_LEFT = (errno.EMFILE, errno.ENFILE)


class ProgramLog(logging.Handler):
    """Hands records to a writer. Mutable state: when it last said that no descriptor is left."""

    def __init__(self, writer: LogWriter, *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        super().__init__()
        self._writer = writer
        self._structured = structured
        self._scarce_at = float("-inf")  # monotonic seconds
        self._scarce = 0  # records that were left out since

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception as error:  # noqa: BLE001 whoever logs something must not fail by it
            self._say(record, "a record cannot be shown", {"reason": type(error).__name__})

    def _emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError) and error.errno in _NONE_LEFT:
            self._emit_scarce(record, error)
            return
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if error is not None:
            fields["traceback"] = "".join(traceback.format_exception(error))
        self._say(record, record.getMessage(), fields)

    def _emit_scarce(self, record: logging.LogRecord, error: OSError) -> None:
        """Running out of descriptors makes everything fail at once: one line a minute tells it, without tracebacks."""
        now = time.monotonic()
        if now - self._scarce_at < _MINUTE:
            self._scarce += 1
            return
        fields: dict[str, object] = {
            "reason": error.strerror,
            "advice": "Raise the limit (ulimit -n).",
            "left_out": self._scarce,
        }
        self._scarce_at, self._scarce = now, 0
        self._say(record, "no file descriptor is left", fields)

    def _say(self, record: logging.LogRecord, message: str, fields: dict[str, object]) -> None:
        when, level = datetime.fromtimestamp(record.created, UTC), record.levelname.lower()
        form = json_line if self._structured else text_line
        self._writer.say(form(when, level, record.name, message, fields))


def json_line(when: datetime, level: str, logger: str, message: str, fields: dict[str, object]) -> str:
    """One JSON object. It begins with its level, which tells it from a line about a request."""
    shown = {name: _plain(value) for name, value in fields.items()}
    known = {"level": level, "time": when.isoformat(timespec="milliseconds"), "logger": logger, "message": message}
    return _without_secrets(json.dumps({**known, **shown, **known}))


def text_line(when: datetime, level: str, logger: str, message: str, fields: dict[str, object]) -> str:
    """Words, then `field="value"`; a value never ends the line."""
    shown = "".join(f" {name}={json.dumps(_plain(value))}" for name, value in fields.items())
    said = json.dumps(message)[1:-1]
    return _without_secrets(f"{when.isoformat(timespec='seconds')} {level} {logger}: {said}{shown}")


def lost_lines(count: int, *, structured: bool) -> str:
    """The line that says that others were dropped."""
    form = json_line if structured else text_line
    said = "lines were dropped: standard error did not take them"
    return form(datetime.now(UTC), "warning", __name__, said, {"lines": count}) + "\n"


@contextlib.contextmanager
def installed(log: ProgramLog) -> Iterator[None]:
    """Let all records of the process come to `log`: from `info` on the program's own, from `warning` on others'."""
    root, own = logging.getLogger(), logging.getLogger("proxy")
    own.setLevel(logging.INFO)
    root.addHandler(log)
    try:
        yield
    finally:
        root.removeHandler(log)


def thread_failed(failure: threading.ExceptHookArgs) -> None:
    """What `threading.excepthook` is in a server: a thread that ends by an error is a record like any other."""
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        name = failure.thread.name if failure.thread else None
        _log.error("a thread failed", exc_info=failure.exc_value, extra={"which": name})


def _without_secrets(line: str) -> str:
    return _QUERY.sub(r"\1…", _USER.sub("", line))


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else f"…{text[-_LONGEST:]}"
