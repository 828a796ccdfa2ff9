"""Programs that are asked something. Each of them is a real one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.builds.program import asked

_LONG = 60.0  # seconds: only for a test that hangs


def _python(code: str, wait: float = _LONG) -> subprocess.CompletedProcess[str]:
    return asked([sys.executable, "-c", code], {"WHO": "me"}, wait)


def test_asked__what_it_says() -> None:
    """Both outputs, and its status."""
    found = _python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    assert (3, "out\n", "err\n") == (found.returncode, found.stdout, found.stderr)


def test_asked__its_variables_and_no_input() -> None:
    """It sees the variables that it is given and no others of this process, and nothing to read."""
    found = _python("import os, sys; print(os.environ['WHO'], 'HOME' in os.environ, repr(sys.stdin.read()))")

    assert "me False ''\n" == found.stdout


def test_asked__bytes_that_are_no_text() -> None:
    """They are replaced."""
    assert "\ufffd" == _python(r"import sys; sys.stdout.buffer.write(b'\xff')").stdout


def test_asked__it_does_not_end() -> None:
    """It is ended."""
    with pytest.raises(subprocess.TimeoutExpired):
        _python("import time; time.sleep(600)", wait=0.5)


def test_asked__no_program(tmp_path: Path) -> None:
    """The caller knows what to say of that."""
    with pytest.raises(FileNotFoundError):
        asked([str(tmp_path / "none")], {}, _LONG)
