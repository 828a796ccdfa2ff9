"""A machine without Docker, for the verbs that look after a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.stored import Machine


@pytest.fixture
def machine(tmp_path: Path, data_folder: Path) -> Machine:
    """Its data folder is not there yet."""
    return Machine(tmp_path, data_folder)
