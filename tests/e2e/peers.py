"""apt-cacher-ng, from Debian's package, as a process of the tests: with a folder and a port of its own.

Used by the end-to-end tests, to show beside the program what users have today. Never touches one that is a service.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.clients import Failed
from tests.e2e.mirror import free_port

_START_LIMIT = 20.0  # seconds
_PACKAGED = Path("/usr/lib/apt-cacher-ng")


@contextlib.contextmanager
def apt_cacher_ng(folder: Path) -> Iterator[str]:
    """Run it with an empty cache in `folder` and its own defaults; gives its address."""
    settings = folder / "conf"
    for name in (settings, folder / "cache", folder / "log"):
        name.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = {
        "CacheDir": folder / "cache",
        "LogDir": folder / "log",
        "SupportDir": _PACKAGED,
        "SocketPath": folder / "socket",
        "PidFile": folder / "pid",
        "BindAddress": "127.0.0.1",
        "Port": port,
        "AllowUserPorts": 0,  # the tests' mirrors are at any port
        "ForeGround": 1,
    }
    (settings / "acng.conf").write_text("".join(f"{name}: {value}\n" for name, value in lines.items()), "utf-8")
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            ["/usr/sbin/apt-cacher-ng", "-c", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, url, folder / "said")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    limit = time.monotonic() + _START_LIMIT
    while True:
        try:
            opener.open(url, timeout=5).close()
        except urllib.error.HTTPError:
            return  # 406, its own page
        except OSError:
            if process.poll() is not None or time.monotonic() > limit:
                raise Failed(f"apt-cacher-ng did not start: {said.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return
