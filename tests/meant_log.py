"""What a module logs where a test means it to log a traceback, which else fails the test (`guards`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


class _Keeping(logging.Handler):
    """Mutable state: the records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def meant_log(module: str) -> Iterator[list[logging.LogRecord]]:
    """The records of a module's logger, which nobody else sees."""
    logger, handler = logging.getLogger(module), _Keeping()
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield handler.records
    finally:
        logger.propagate = propagates
        logger.removeHandler(handler)
