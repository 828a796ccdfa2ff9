"""How devpi-server is set up: its state is made by its own commands, its mirror index over its own interface.

`servers` calls it; the measured start is the one after this preparation, as an administrator's would be.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from bench.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

SIMPLE = "/root/origin/+simple/"
_START_LIMIT = 60.0


def command(peers: Path, folder: Path, port: int) -> list[str]:
    """The command that serves the state in `folder`."""
    program = str(peers / "devpi-server" / "bin" / "devpi-server")
    return [program, f"--serverdir={folder / 'state'}", f"--port={port}", "--enable-core-metadata"]


def prepare(peers: Path, folder: Path, origin: str, port: int) -> None:
    """Make the state in `folder` with one index that mirrors `origin`. Raises OSError, CalledProcessError."""
    program = str(peers / "devpi-server" / "bin" / "devpi-init")
    subprocess.run([program, f"--serverdir={folder / 'state'}", "--no-root-pypi"], check=True, capture_output=True)
    process = Process(command(peers, folder, port), log=folder / "log-prepare")
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(process, f"{base}/+api")
        token = _send("POST", f"{base}/+login", {"user": "root", "password": ""}, {})["result"]["password"]
        authorisation = {"X-Devpi-Auth": base64.b64encode(f"root:{token}".encode()).decode()}
        index = {"type": "mirror", "mirror_url": f"{origin}/simple/", "mirror_provides_core_metadata": True}
        _send("PUT", f"{base}/root/origin", index, authorisation)
    finally:
        process.stop()


def _wait(process: Process, url: str) -> None:
    limit = time.monotonic() + _START_LIMIT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=_START_LIMIT):
                return
        except OSError:
            if not process.running() or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def _send(method: str, url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=_START_LIMIT) as answer:
        result: dict[str, Any] = json.load(answer)
    return result
