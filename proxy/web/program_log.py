"""The program's log: records of `logging`, in the form of the access log, each with its fields.

The composition root installs it. Warnings of libraries come here too. A record becomes a line at once, so that no
traceback's frames stay in memory; `LogWriter` writes the line. Parts of addresses that may be secrets are left out.
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
from functools import partial
from typing import TextIO

from proxy.web.log_writer import LogWriter

_log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIELD_MOST = 16 << 10  # characters of one field
_MINUTE = 60.0  # seconds between two lines about descriptors
# The parts of an address that may be secrets: user and password, and the query of a signed address.
_USER = re.compile(r"(?<=://)[^/?#\s\"'<>@]*@")
_QUERY = re.compile(r"(://[^\s\"'<>?\\]*\?)[^\s\"'<>\\]+")
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)


class ProgramLog(logging.Handler):
    """Hands records to a writer. Mutable state: when it last logged that no descriptor is left."""

    def __init__(self, writer: LogWriter, *, structured: bool) -> None:
        """`structured`: JSON lines; else plain text."""
        super().__init__()
        self._writer = writer
        self._structured = structured
        self._no_descriptor_at = float("-inf")  # monotonic seconds
        self._left_out = 0  # records since then

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._emit(record)
        except Exception as error:  # noqa: BLE001 logging must not fail its caller
            self._write(record, "a record cannot be formatted", {"reason": type(error).__name__})

    def _emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR:
            self._emit_no_descriptor(record, error)
            return
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if error is not None:
            fields["traceback"] = "".join(traceback.format_exception(error))
        self._write(record, record.getMessage(), fields)

    def _emit_no_descriptor(self, record: logging.LogRecord, error: OSError) -> None:
        """Without descriptors everything fails at once, so there is one line a minute, without tracebacks."""
        now = time.monotonic()
        if now - self._no_descriptor_at < _MINUTE:
            self._left_out += 1
            return
        fields: dict[str, object] = {
            "reason": error.strerror,
            "advice": "Raise the limit (ulimit -n).",
            "left_out": self._left_out,
        }
        self._no_descriptor_at, self._left_out = now, 0
        self._write(record, "no file descriptor is left", fields)

    def _write(self, record: logging.LogRecord, message: str, fields: dict[str, object]) -> None:
        when, level = datetime.fromtimestamp(record.created, UTC), record.levelname.lower()
        form = json_line if self._structured else text_line
        self._writer.write(form(when, level, record.name, message, fields))


def json_line(when: datetime, level: str, logger: str, message: str, fields: dict[str, object]) -> str:
    """One JSON object. It begins with its level, and a line of the access log does not."""
    standard = {"level": level, "time": when.isoformat(timespec="milliseconds"), "logger": logger, "message": message}
    own = {name: _scalar(value) for name, value in fields.items() if name not in standard}
    return _without_secrets(json.dumps({**standard, **own}))


def text_line(when: datetime, level: str, logger: str, message: str, fields: dict[str, object]) -> str:
    """Words, then `field="value"`. No value contains a line end."""
    text = json.dumps(message)[1:-1]
    own = "".join(f" {name}={json.dumps(_scalar(value))}" for name, value in fields.items())
    return _without_secrets(f"{when.isoformat(timespec='seconds')} {level} {logger}: {text}{own}")


def lost_lines(count: int, *, structured: bool) -> str:
    """The line that says how many others were dropped."""
    form = json_line if structured else text_line
    message = "lines were dropped: standard error did not take them"
    return form(datetime.now(UTC), "warning", __name__, message, {"lines": count}) + "\n"


@contextlib.contextmanager
def installed(log: ProgramLog) -> Iterator[None]:
    """Send all records of the process to `log`: the program's own from `info` on, those of libraries from `warning`."""
    root, own = logging.getLogger(), logging.getLogger("proxy")
    own.setLevel(logging.INFO)
    root.addHandler(log)
    try:
        yield
    finally:
        root.removeHandler(log)


@contextlib.contextmanager
def written_to(stream: TextIO, *, structured: bool, size: int = 0) -> Iterator[LogWriter]:
    """Write the program's log to a stream, which may be slow; gives the writer. `structured`: as JSON.

    `size`: bytes that it may have where it is a file; 0: as many as come.
    """
    writer = LogWriter(stream, partial(lost_lines, structured=structured), size=size)
    try:
        with installed(ProgramLog(writer, structured=structured)):
            yield writer
    finally:
        writer.close()


def thread_failed(failure: threading.ExceptHookArgs) -> None:
    """The `threading.excepthook` of a server: logs the error that ended a thread."""
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        name = failure.thread.name if failure.thread else None
        _log.error("a thread failed", exc_info=failure.exc_value, extra={"which": name})


def _without_secrets(line: str) -> str:
    return _QUERY.sub(r"\1…", _USER.sub("", line))


def _scalar(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _FIELD_MOST else f"…{text[-_FIELD_MOST:]}"
