"""The archive of case (f): packages of fixed sizes and their index, served by nginx as a mirror serves them.

`apt` makes one for a run. It is not signed, since checking signatures is no work of a cache. Made with Debian's own
tools, in the way that the tests do it.
"""

from __future__ import annotations

import os
import pwd
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.content import KIB, MIB
from bench.processes import Process, Stoppable
from tests.e2e.apt import Source
from tests.e2e.archive import architecture, build, tool
from tests.e2e.mirror import free_port

# How many packages of which size, in bytes: much like what an image with compilers installs.
SIZES = ((80, 50 * KIB), (30, 500 * KIB), (8, 4 * MIB), (2, 20 * MIB))
LIMITED = "20 MB/s per connection"
_RATES = {"unlimited": "0", LIMITED: "20m"}
PACES = tuple(_RATES)
_START_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of the archive: names, the path of a small one, and how many bytes they are together."""

    folder: Path
    names: tuple[str, ...]
    small: str
    size: int


def make(folder: Path) -> Packages:
    """Write packages, index and Release file into `folder`."""
    pool = folder / "pool"
    pool.mkdir(parents=True)
    built = [
        build(pool, f"demo-{size // KIB}k-{number}", "1.0", size) for count, size in SIZES for number in range(count)
    ]
    binary = folder / "dists" / "stable" / "main" / f"binary-{architecture()}"
    binary.mkdir(parents=True)
    (binary / "Packages").write_bytes(tool(["apt-ftparchive", "packages", "pool"], cwd=folder))
    options = ["-o", "APT::FTPArchive::Release::Suite=stable", "-o", "APT::FTPArchive::Release::Components=main"]
    release = tool(["apt-ftparchive", *options, "release", "."], cwd=binary.parents[1])
    (binary.parents[1] / "Release").write_bytes(release)
    names = tuple(path.name.partition("_")[0] for path in built)
    return Packages(folder, names, f"/pool/{built[0].name}", sum(path.stat().st_size for path in built))


class Mirror(Stoppable):
    """nginx in front of the packages. `pace` is one of `PACES`. Use as a context manager."""

    def __init__(self, packages: Packages, pace: str, folder: Path) -> None:
        self.host = f"127.0.0.1:{free_port()}"
        folder.mkdir()
        user = f"user {pwd.getpwuid(os.geteuid()).pw_name};" if os.geteuid() == 0 else ""
        temporary = " ".join(
            f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"""{user}
daemon off; worker_processes 2; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  {temporary} access_log off; sendfile on; keepalive_requests 1000000; default_type application/octet-stream;
  server {{ listen {self.host} backlog=1024; root {packages.folder}; limit_rate {_RATES[pace]}; }}
}}
""",
            encoding="utf-8",
        )
        command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        self._process = Process(command, log=folder / "log")
        try:
            self._wait()
        except BaseException:
            self._process.stop()
            raise

    @property
    def source(self) -> Source:
        """What stands in apt's sources."""
        return Source(f"http://{self.host}", "stable", "main", trusted=True)

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def _wait(self) -> None:
        limit = time.monotonic() + _START_LIMIT
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/dists/stable/Release", timeout=1).close()
            except OSError:
                if time.monotonic() > limit or not self._process.running():
                    raise RuntimeError(self._process.complaint()) from None
                time.sleep(0.01)
            else:
                return
