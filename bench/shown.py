"""How the document shows each case: its title, its columns, its figures, and how they were got. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from bench.caches import CACHES
from bench.fronts import FRONTS
from bench.locks import ITSELF, NGINX
from bench.results import DIRECT, OURS
from bench.tails import SERVERS
from bench.target import TIMES


@dataclass(frozen=True, slots=True)
class Case:
    """How a case is shown: title, a format for each metric, how it is measured, its servers if they are fixed."""

    title: str
    cells: tuple[tuple[str, str], ...]
    how: str
    columns: tuple[str, ...] = ()


CASES = {
    "a": Case(
        "Hits of a large wheel: GB/s · CPU seconds per GiB · peak memory",
        (("speed", "{} GB/s"), ("cpu", "{} s/GiB"), ("peak", "{} MiB")),
        "Clients fetch the wheel again and again, and discard it inside the kernel. portable is pullthrough with what "
        "Linux alone has taken away (epoll, eventfd, fdatasync, pwritev, MSG_MORE, /proc), as it runs on macOS.",
    ),
    "b": Case(
        "Hits of small answers: requests/s · 50th / 99th percentile",
        (("rate", "{}/s"), ("p50", "{}"), ("p99", "{} ms")),
        "wrk. Pages are asked for as HTML without compression, the one form that all of them give.",
    ),
    "c": Case(
        "A cold wheel, one client: first byte · total",
        (("first", "{} s"), ("total", "{} s")),
        "The client has the memory for the body before the clock starts, and checks the SHA-256 after it has stopped. "
        "Before each turn a file twice as long is written and deleted: the system has its memory at hand then, and no "
        "server waits until a virtual machine has memory from the host.",
    ),
    "d": Case(
        "A cold wheel, a crowd: origin bytes ÷ file · median first byte · wall time · failed clients · peak memory",
        (("ratio", "{}" + TIMES), ("first", "{} s"), ("wall", "{} s"), ("errors", "{} failed"), ("peak", "{} MiB")),
        "All ask at the same moment. Three of them check the SHA-256 after the clock has stopped, the others discard "
        "what comes inside the kernel.",
    ),
    "e": Case(
        "Start to first answer · idle memory",
        (("first", "{} s"), ("idle", "{} MiB")),
        "From the command to the first page, with an empty cache.",
    ),
    "f": Case(
        "apt: update and download of 120 packages, 91 MB together: seconds · clients that failed · requests/s",
        (("seconds", "{} s"), ("errors", "{} failed"), ("rate", "{}/s")),
        "apt in an empty root of its own; the mirror is nginx. apt-cacher-ng has its defaults, squid the patterns of "
        "squid-deb-proxy. The crowd fetches 20 small packages each from a warm cache.",
        (DIRECT, *CACHES),
    ),
    "g": Case(
        "pip and uv over a line of 40 ms and 100 Mbit/s per connection: seconds · CPU seconds of client / server",
        (
            ("seconds", "{} s"),
            ("client", "{} s"),
            ("server", "{} s"),
            ("count", "{} packages"),
            ("fetched", "{} MB"),
            ("unused", "{} MB of them not asked for"),
        ),
        "The real clients, in their newest versions, without a cache of their own and without settings: "
        "`pip download` of one application with all that it needs, and `uv pip install --target` of the same, into a "
        "folder in memory. The index is a second pullthrough, which was filled from PyPI before the clock started and "
        "gives JSON, metadata and validators as PyPI does. A relay before it holds each request for 40 ms and lets "
        "each connection have 100 Mbit/s. direct: no cache; cold: an empty cache; warm: the same cache once more.",
        (DIRECT, *FRONTS),
    ),
    "h": Case(
        "Hits of small answers, beside nginx with the same bodies as plain files: requests/s · 50th / 99th percentile",
        (("rate", "{}/s"), ("p50", "{}"), ("p99", "{} ms")),
        "wrk, with nginx's access log off, which is what most people measure, and on, as it is by default. "
        "pullthrough writes its line for each request.",
        SERVERS,
    ),
    "i": Case(
        "A store of many files: start to first hit · its CPU seconds · resident memory · hit, median / 99th percentile",
        (
            ("start", "{} s"),
            ("cpu", "{} s"),
            ("resident", "{} MiB"),
            ("p50", "{}"),
            ("p99", "{} \N{MICRO SIGN}s"),
            ("hit", "hits {}" + TIMES),
            ("bytes", "{} bytes a file"),
        ),
        "Stores are made as a cache would have left them. The same 1,000 wheels of 4 KiB are real in both, and are "
        "asked for in random order over one connection, of one store and the other in turn. Start: from the command to "
        "the first whole wheel. Memory is what is resident once all is loaded.",
        (OURS,),
    ),
    "j": Case(
        "Hits that are spread, beside hits of one: requests/s · CPU of the server for each",
        (("rate", "{}/s"), ("cpu", "{} \N{MICRO SIGN}s")),
        "wrk, 16 connections, in turn over as many files of one project as of all projects, over the page of one and "
        "the pages of all (JSON, gzip), and for one file with one User-Agent and with many.",
        (OURS,),
    ),
    "k": Case(
        "Locking large sets, the index 2 ms away: seconds · CPU seconds of client / server · packages",
        (("seconds", "{} s"), ("client", "{} s"), ("server", "{} s"), ("pinned", "{} packages")),
        "`uv pip compile --generate-hashes` without a cache of its own, from the index of (g), 2 ms away and without a "
        "limit. That index is itself a warm pullthrough: direct is about the best that uv can do. How long it takes "
        "from PyPI itself depends on the place. nginx is the cache of (g): with hardly any work of its own it shows "
        "how much of the time is uv's. Each lock file is compared byte for byte with the one of direct.",
        (ITSELF, DIRECT, OURS, NGINX),
    ),
    "l": Case(
        "A page that comes for the first time: CPU for each link · longest wait of the event loop",
        (("cpu", "{} \N{MICRO SIGN}s"), ("wait", "{} ms")),
        "One page like PyPI's, in this process; each step is done several times and the quickest counts. HTML is not "
        "in the sum. The wait is what an event loop saw while a thread did the whole.",
        (OURS,),
    ),
}
