"""Web servers that have nothing to do with this project: a folder, and a program that serves it.

Used by the end-to-end tests.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def web_server(command: Sequence[str], folder: Path) -> Iterator[None]:
    """A server that runs in `folder`. Clients have to try again until it listens."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "it ended by itself"
    finally:
        process.terminate()
        process.wait(60)


def nginx(folder: Path, site: Path, port: int) -> list[str]:
    """The command of nginx in front of `site`, at a port of loopback. `folder` is for files of its own."""
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; user root; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;\n"
        "events {}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port}; root {site}; index index.html; }} }}\n",
        "utf-8",
    )
    return ["nginx", "-p", str(folder), "-c", str(settings)]
