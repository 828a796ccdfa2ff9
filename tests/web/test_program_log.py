"""The program's log: records of `logging`, with their fields, in the form of the access log."""

from __future__ import annotations

import errno
import gc
import io
import json
import logging
import re
import threading
import weakref
from typing import Any, Self

import pytest

from proxy.web.log_writer import LogWriter
from proxy.web.program_log import ProgramLog, installed, lost_lines, thread_failed

_own = logging.getLogger("proxy.tests")
_other = logging.getLogger("asyncio")


class Said:
    """A log that is installed for a block; afterwards `lines` has what was written."""

    def __init__(self, *, structured: bool = True) -> None:
        self._stream = io.StringIO()
        self._writer = LogWriter(self._stream, str)
        self.handler = ProgramLog(self._writer, structured=structured)
        self._installed = installed(self.handler)
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self._installed.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._installed.__exit__(None, None, None)
        self._writer.close()
        self.lines = self._stream.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The lines, read as JSON."""
        return [json.loads(line) for line in self.lines]


def test_structured() -> None:
    """Level, time, logger and message, then each field under its name; a request's line begins otherwise."""
    with Said() as said:
        _own.warning("download failed", extra={"upstream": "pypi", "reason": "no\nroute", "tries": 3, "last": None})
    (shown,) = said.objects
    assert shown.pop("time").endswith("+00:00")
    assert {
        "level": "warning",
        "logger": "proxy.tests",
        "message": "download failed",
        "upstream": "pypi",
        "reason": "no\nroute",
        "tries": 3,
        "last": None,
    } == shown
    assert said.lines[0].startswith('{"level"')


def test_text() -> None:
    """One line of words, however many line ends are in it."""
    with Said(structured=False) as said:
        _own.error("it\nfailed", extra={"reason": 'a "b"\nforged'})
    (line,) = said.lines
    assert line.endswith(' error proxy.tests: it\\nfailed reason="a \\"b\\"\\nforged"')


@pytest.mark.parametrize("structured", [True, False])
def test_levels(structured: bool) -> None:
    """The program's own word from `info` on, others' from `warning` on."""
    with Said(structured=structured) as said:
        for logger in (_own, _other):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logger.log(level, "said %s by %s", logging.getLevelName(level), logger.name)
    found = [match[0] for line in said.lines if (match := re.search(r"said (\w+) by [\w.]+", line))]
    assert [
        "said INFO by proxy.tests",
        "said WARNING by proxy.tests",
        "said ERROR by proxy.tests",
        "said WARNING by asyncio",
        "said ERROR by asyncio",
    ] == found


@pytest.mark.parametrize("structured", [True, False])
def test_traceback(structured: bool) -> None:
    """It is a field, in the same line; nothing keeps its frames alive once it was logged."""

    class Held:
        """What a frame holds."""

    def fail() -> weakref.ref[Held]:
        held = Held()
        seen = weakref.ref(held)
        try:
            dict.fromkeys("")[f"nothing at {id(held)}"]
        except LookupError:
            _other.error("unexpected", exc_info=True)
        return seen

    # The guards of the tests take a traceback in the log for a mistake.
    _other.addFilter(shown := _once(ProgramLog))
    with Said(structured=structured) as said:
        seen = fail()
        gc.collect()
        assert seen() is None
    _other.removeFilter(shown)
    (line,) = said.lines
    assert "Traceback (most recent call last)" in line
    assert "KeyError: 'nothing at" in line


def _once(kind: type[logging.Handler]) -> Any:
    """A filter of a logger that passes records to handlers of one kind only."""

    def shown(record: logging.LogRecord) -> bool:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, kind):
                handler.handle(record)
        return False

    return shown


@pytest.mark.parametrize("structured", [True, False])
def test_secrets(structured: bool) -> None:
    """User, password and query of an address are left out, wherever they are in a record."""
    with Said(structured=structured) as said:
        _own.warning("no way through http://user:hush@proxy:3128/", extra={"reason": "https://hush@index.example/x"})
        _own.warning(
            "%s", {"url": "ftp://a:hush%40@b"}, extra={"url": "https://store.example/a.whl?X-Sign=hush&b=hush"}
        )
        _own.warning(
            "ask 'http://a/b?token=hush' again?", extra={"list": ["https://a/?hush", "http://b:1/c?d=hush\nmore"]}
        )
    assert 3 == len(said.lines)
    assert "hush" not in "".join(said.lines)
    assert "http://proxy:3128/" in said.lines[0]
    assert "https://store.example/a.whl?" in said.lines[1]
    assert "again?" in said.lines[2]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptors(number: int) -> None:
    """There is one line a minute, without a traceback, from any logger."""
    shown = _once(ProgramLog)
    for logger in (_own, _other):
        logger.addFilter(shown)
    with Said() as said:
        for count in range(1000):
            (_own, _other)[count % 2].error("failed", exc_info=OSError(number, "Too many open files"))
    for logger in (_own, _other):
        logger.removeFilter(shown)
    (line,) = said.objects
    assert ("no file descriptor is left", "Too many open files") == (line["message"], line["reason"])
    assert "traceback" not in line


def test_record_that_cannot_be_shown() -> None:
    """The caller does not fail, and the log has a line about it."""

    class Shy:
        def __str__(self) -> str:
            raise ValueError

    with Said() as said:
        shy = {"msg": "said", "what": Shy()}
        for wrong in ({"msg": "%d", "args": ("no number",)}, shy):
            said.handler.handle(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "name": "x"} | wrong))
        _own.warning("said", extra={"level": "forged", "time": "never"})
    assert ["a record cannot be formatted"] * 2 + ["said"] == [line["message"] for line in said.objects]
    assert "warning" == said.objects[2]["level"]


def test_long_field() -> None:
    """It is cut: its end says most."""
    with Said() as said:
        _own.warning("said", extra={"what": "a" * 1_000_000 + "end"})
    assert len(said.lines[0]) < 20_000
    assert said.objects[0]["what"].endswith("aend")


def test_thread_failed() -> None:
    """A thread that ends by an error is a record like any other."""
    logger = logging.getLogger("proxy.web.program_log")
    logger.addFilter(shown := _once(ProgramLog))
    with Said() as said:
        thread = threading.Thread(target=lambda: None, name="reader")
        thread_failed(threading.ExceptHookArgs((ValueError, ValueError("broken"), None, thread)))
        thread_failed(threading.ExceptHookArgs((SystemExit, SystemExit(), None, thread)))
    logger.removeFilter(shown)
    (line,) = said.objects
    assert ("a thread failed", "reader") == (line["message"], line["which"])
    assert "ValueError: broken" in line["traceback"]


def test_lost_lines() -> None:
    """Both forms say how many."""
    assert 7 == json.loads(lost_lines(7, structured=True))["lines"]
    assert lost_lines(7, structured=False).endswith(" lines=7\n")
