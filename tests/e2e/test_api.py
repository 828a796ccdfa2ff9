"""The API is what its description says: schemathesis asks for all that is allowed there, and for what is not."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clients import Pip, Server, clean_environment, serving
from tests.origin import Origin
from tests.wheels import wheel

pytestmark = pytest.mark.e2e

_TOKEN = "the-token-of-this-very-cache"
_EXAMPLES = 100  # of each operation


@pytest.fixture
def cache(origin: Origin, tmp_path: Path, home: Path) -> Iterator[Server]:
    """The program with an admin token, in front of a local index."""
    origin.publish(wheel("demo", "1.0"), fmt="json")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[[upstream]]\nmount = "pypi"\nurl = "{origin.url}/"\nindex = "simple/"\n', encoding="utf-8")
    with serving(tmp_path / "data", home, settings) as server:
        token = tmp_path / "data" / "admin-token"
        token.touch(0o600)
        token.write_text(_TOKEN)
        yield server


@pytest.mark.parametrize("headers", [(), ("--header", f"Authorization: Bearer {_TOKEN}")], ids=["no token", "token"])
async def test_api__is_what_its_description_says(
    cache: Server, newest_pip: Pip, tmp_path: Path, home: Path, headers: tuple[str, ...]
) -> None:
    """Each answer has a status, a type and a form that the description has; nothing makes the program fail."""
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists() and not os.environ.get("CI"):
        pytest.skip("schemathesis is not installed: make e2e")
    await asyncio.to_thread(newest_pip.install, f"{cache.url}/pypi/simple/", tmp_path / "target", "demo")
    description = f"{cache.url}/api/v1/openapi.json"
    command = [str(program), "run", description, "--checks", "all", "--max-examples", str(_EXAMPLES), "--no-color"]
    folder = tmp_path / "schemathesis"
    folder.mkdir()

    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--generation-deterministic", *headers],
        env=clean_environment(home),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None
    assert int(generated[1]) > _EXAMPLES
    assert '"status": 500' not in cache.log
