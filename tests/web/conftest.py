"""What tests of several modules of the room need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

_LOGGERS = [logging.getLogger(f"proxy.web.{name}") for name in ("edge", "sender")]


@pytest.fixture
def complaints() -> Iterator[list[logging.LogRecord]]:
    """What is logged of failures; a test that does not ask for this must not have any with a traceback."""
    seen: list[logging.LogRecord] = []

    def swallow(record: logging.LogRecord) -> bool:
        seen.append(record)
        return False

    for logger in _LOGGERS:
        logger.addFilter(swallow)
    yield seen
    for logger in _LOGGERS:
        logger.removeFilter(swallow)
