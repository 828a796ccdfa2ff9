"""PyPI as the bench has it: its answers, given by this machine, so that every round gets the same ones equally fast.

It is a pullthrough of its own before PyPI, at the end of a `Line`. It has JSON, metadata, digests and validators, as
PyPI has. The cases have it filled before the clock starts; what it holds is kept for the next run. It looks ahead of
nobody.
"""

from __future__ import annotations

import contextlib
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from bench.line import Line
from bench.processes import Process, Stoppable
from bench.servers import free_port, listening
from proxy.config.builtin import simple_endpoint
from proxy.config.settings import Settings

if TYPE_CHECKING:
    from bench.line import Reach

SIMPLE = "/pypi/simple/"
_PATIENCE = 10.0
# Without the library that makes zstd: PyPI sends gzip.
_PROGRAM = """
import sys
sys.modules |= dict.fromkeys(("backports.zstd", "compression.zstd"))
from proxy.cli import main
sys.exit(main())
"""


def obstacle() -> str:
    """Why PyPI cannot be asked; empty if it can."""
    try:
        urllib.request.urlopen(f"{simple_endpoint()}pip/", timeout=_PATIENCE).close()
    except OSError as error:
        return f"PyPI could not be reached: {error}"
    return ""


class PublicIndex(Stoppable):
    """The running index. `url` is its address at the end of the line, `near` the same without the line.

    `kept`: the folder of what it holds. Use as a context manager. Raises ServerError.
    """

    def __init__(self, kept: Path, reach: Reach, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.near = f"http://127.0.0.1:{port}"
        with contextlib.ExitStack() as stack:
            line = stack.enter_context(Line(port, reach, folder / "line.log"))
            self.url = line.url
            settings = folder / "pullthrough.toml"
            settings.write_text(_settings(line.url), encoding="utf-8")
            command = [sys.executable, "-c", _PROGRAM, "serve", f"--config={settings}", f"--port={port}"]
            command.append(f"--data={kept}")
            process = Process(command, log=folder / "log")
            stack.callback(process.stop)
            listening(process, port)
            self._started = stack.pop_all()

    def stop(self) -> None:
        """End it."""
        self._started.close()


def _settings(url: str) -> str:
    # PyPI's links are whole addresses; so are these, under the address that its clients use.
    whole = f'public_url = "{url}"\n' if "public_url" in Settings.model_fields else ""
    base, simple = simple_endpoint().removesuffix("simple/"), "simple/"
    # Nothing changes while the bench runs, nor from one run to the next for some days.
    upstream = f'[[upstream]]\nmount = "pypi"\nurl = "{base}"\nindex = "{simple}"\nttl = "{7 * 24}h"\n'
    return f'{whole}\n[foresight]\nwhat = "off"\n\n{upstream}'
