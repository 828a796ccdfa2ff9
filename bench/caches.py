"""The caches for apt that case (f) holds side by side: pullthrough, apt-cacher-ng and squid, each as its users run it.

`apt` starts them, with an empty cache on a port of their own. The two peers are Debian's packages; `peers` says what to
install.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import Process, Stoppable
from bench.results import OURS
from bench.servers import ServerError
from tests.e2e.mirror import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

ACNG, SQUID = "apt-cacher-ng", "squid"
CACHES = (OURS, ACNG, SQUID)
_SQUID_USER = "proxy"  # squid does not run as root; its package makes this user
_START_LIMIT = 30.0


class Cache(Stoppable):
    """A running cache in front of the archive at `host`; `url` is what apt is given for a proxy."""

    def __init__(self, name: str, folder: Path, host: str) -> None:
        folder.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder
        command = _COMMANDS[name](folder, port, host)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PULLTHROUGH_")}
        self.process = Process(command, log=folder / "said", env=environment | {"NO_PROXY": "*"})
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it."""
        self.process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        limit = time.monotonic() + _START_LIMIT
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
            except urllib.error.HTTPError:
                return  # each has an error page of its own at /
            except OSError:
                if time.monotonic() > limit or not self.process.running():
                    raise ServerError(self.process.complaint()) from None
                time.sleep(0.02)
            else:
                return


def _pullthrough(folder: Path, port: int, host: str) -> list[str]:
    program = str(Path(sys.executable).with_name("pullthrough"))
    return [program, "serve", f"--port={port}", f"--data={folder / 'data'}", f"--apt-hosts={host}"]


def _acng(folder: Path, port: int, _: str) -> list[str]:
    lines = {
        "CacheDir": folder / "cache",
        "LogDir": folder / "log",
        "SupportDir": "/usr/lib/apt-cacher-ng",
        "SocketPath": folder / "socket",
        "BindAddress": "127.0.0.1",
        "Port": port,
        "AllowUserPorts": 0,
        "ForeGround": 1,
    }
    for name in ("conf", "cache", "log"):
        (folder / name).mkdir()
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (folder / "conf" / "acng.conf").write_text(text, encoding="utf-8")
    return ["/usr/sbin/apt-cacher-ng", "-c", str(folder / "conf")]


def _squid(folder: Path, port: int, _: str) -> list[str]:
    """As squid-deb-proxy sets it up: packages are kept for long, all else is asked for again."""
    cache = folder / "cache"
    cache.mkdir()
    if os.geteuid() == 0:
        for path in (folder, cache):
            shutil.chown(path, _SQUID_USER)
    settings = folder / "squid.conf"
    settings.write_text(
        f"""http_port 127.0.0.1:{port}
http_access allow all
cache_mem 200 MB
maximum_object_size 512 MB
maximum_object_size_in_memory 10240 KB
cache_dir ufs {cache} 10000 16 256
refresh_pattern -i \\.u?deb$ 129600 100% 129600
refresh_pattern . 0 20% 4320
access_log none
cache_log {folder}/cache.log
cache_store_log none
pid_filename {folder}/pid
coredump_dir {folder}
shutdown_lifetime 1 seconds
pinger_enable off
""",
        encoding="utf-8",
    )
    making = Process(["squid", "-z", "-N", "-f", str(settings)], log=folder / "made")
    making.rest(10.0)
    making.stop()
    return ["squid", "-N", "-f", str(settings)]


_COMMANDS: dict[str, Callable[[Path, int, str], list[str]]] = {OURS: _pullthrough, ACNG: _acng, SQUID: _squid}
