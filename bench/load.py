"""Three kinds of load: a flood that lasts for a while, a crowd that asks once and together, and wrk's small requests.

The cases call it with addresses; it knows no server. Loads are bounded in clients and in time.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.client import ClientError, Connection, Download, download, memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.content import Ware

# A flood is measured once all its clients have got going.
_WARM_UP = 0.3
_IDLE = 30.0
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_OK = 200
# So many requests must be answered before wrk's percentiles mean anything; a slower server is measured for longer.
_FEW = 3
# Requests of a file of lines, made before the clock starts. By hand: wrk's own have their headers in another order in
# each run, so that no run would ask what the one before asked.
_IN_TURN = """
local made, at = {}, 0
init = function()
  local format = table.concat(
    {"GET %%s HTTP/1.1", "Host: %%s:%%s", "User-Agent: %%s", "Accept: %%s", "Accept-Encoding: gzip", "\\r\\n"}, "\\r\\n"
  )
  for line in io.lines("%s") do
    local path, accept, agent = line:match("([^\t]*)\t([^\t]*)\t([^\t]*)")
    made[#made + 1] = string.format(format, path, wrk.host, wrk.port, agent, accept)
  end
end
request = function()
  at = at %% #made + 1
  return made[at]
end
"""


@dataclass(frozen=True, slots=True)
class Flood:
    """Bytes that all clients received in `seconds`, and the server's processor seconds meanwhile."""

    size: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What wrk saw: requests a second, latency percentiles in seconds, answers that failed, all answers."""

    rate: float
    p50: float
    p99: float
    errors: int
    done: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One of many requests: its path, and the headers in which it may differ from others."""

    path: str
    accept: str = "*/*"
    agent: str = "wrk"


class _Flooder:
    """One client of a flood: fetches `url` again and again, over one connection for as long as the server keeps it.

    Mutable state, written by the client's own thread: `size` (bytes received), `connection`, `error`.
    """

    def __init__(self, url: str, over: threading.Event) -> None:
        self.size = 0
        self.connection: Connection | None = None
        self.error: Exception | None = None
        self._url = url
        self._over = over

    def work(self) -> None:
        """Fetch until the flood is over; what goes wrong after that is its end and no error."""
        try:
            while not self._over.is_set():
                connection = self.connection = Connection(self._url, _IDLE)
                while self._fetch(connection) and not self._over.is_set():
                    pass
                connection.close()
        except (ClientError, OSError) as error:
            if not self._over.is_set():
                self.error = error

    def _fetch(self, connection: Connection) -> bool:
        """Fetch once; whether the connection stays open."""
        head = connection.ask(self._url)
        if head.status != _OK:
            raise ClientError(f"status {head.status}")
        left = head.length
        while left:
            got = connection.drop(left)
            if not got:
                raise ClientError("short body")
            left -= got
            self.size += got
        return head.headers.get("connection", "").lower() != "close"


def flood(url: str, *, clients: int, seconds: float, cpu: Callable[[], float]) -> Flood:
    """Let `clients` fetch `url` again and again, and count for `seconds`.

    A window of time and not a number of downloads bounds the run for slow servers and keeps every client busy to the
    end. Raises ClientError when a client failed.
    """
    over = threading.Event()
    flooders = [_Flooder(url, over) for _ in range(clients)]
    threads = [threading.Thread(target=flooder.work) for flooder in flooders]
    for thread in threads:
        thread.start()
    time.sleep(_WARM_UP)
    begin, cpu_before, size_before = time.perf_counter(), cpu(), sum(flooder.size for flooder in flooders)
    time.sleep(seconds)
    end, cpu_after, size_after = time.perf_counter(), cpu(), sum(flooder.size for flooder in flooders)
    over.set()
    for flooder in flooders:
        if flooder.connection:
            flooder.connection.close()
    for thread in threads:
        thread.join()
    for error in filter(None, (flooder.error for flooder in flooders)):
        raise ClientError(str(error) or type(error).__name__)
    return Flood(size_after - size_before, end - begin, cpu_after - cpu_before)


def crowd(url: str, ware: Ware, *, clients: int, kept: int, timeout: float) -> tuple[list[Download], float]:
    """Let `clients` fetch `url` at the same moment, once; `kept` check the digest. Gives all and wall seconds."""
    gate = threading.Barrier(clients)

    def work(number: int) -> Download:
        body = memory(ware) if number < kept else None
        gate.wait()
        return download(url, ware, body=body, timeout=timeout)

    with ThreadPoolExecutor(clients) as pool:
        downloads = list(pool.map(work, range(clients)))
    return downloads, max(one.total for one in downloads)


def in_turn(url: str, asked: Sequence[Asked], *, connections: int, seconds: int) -> Rates:
    """Run wrk on many requests, each after the other. `url`: the server. Raises ClientError when wrk fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listed:
        listed.writelines(f"{one.path}\t{one.accept}\t{one.agent}\n" for one in asked)
        listed.flush()
        return _wrk(url, connections, seconds, _IN_TURN % listed.name)


def wrk(url: str, *, connections: int, seconds: int, target: str = "") -> Rates:
    """Run wrk with one thread. A server that answers next to nothing in `seconds` is given four times as long.

    `target`: an address to ask for in proxy form, of the proxy at `url`. Raises ClientError when wrk fails.
    """
    script = f'request = function() return wrk.format("GET", "{target}") end\n' if target else ""
    rates = _wrk(url, connections, seconds, script)
    return rates if rates.done >= _FEW else _wrk(url, connections, seconds * 4, script)


def _wrk(url: str, connections: int, seconds: int, lua: str) -> Rates:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "--timeout=30s",
        "-H",
        "Accept: text/html",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
        if lua:
            script.write(lua)
            script.flush()
            command += ["-s", script.name]
        run = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=False)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    done = re.search(r"(\d+) requests in", run.stdout)
    if run.returncode or not rate or not done:
        raise ClientError((run.stderr or run.stdout).strip()[-200:])
    failures = re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout) (\d+)", run.stdout)
    errors = sum(map(int, failures))
    p50, p99 = (_percentile(run.stdout, name) for name in ("50%", "99%"))
    return Rates(float(rate[1]), p50, p99, errors, int(done[1]))


def _percentile(text: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m|h)\s*$", text, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else float("nan")
