"""`pullthrough serve`: run the proxy until it is interrupted, and print how clients are pointed at it.

Called by `cli`. All texts for people go to standard error. Exit statuses are those of `cli`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO
from urllib.parse import urlsplit

from proxy import app
from proxy.clients import apt_command, pip_command, pip_lines, uv_command, uv_lines
from proxy.commands.endings import threads_needed
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import PREFIX, Settings
from proxy.errors import PullthroughError
from proxy.ports import Credentials, Proxies
from proxy.warming.schedule import Schedule
from proxy.web.listener import CannotListen
from proxy.web.program_log import thread_failed
from proxy.web.wakeful_loop import WakefulLoop

_UNPRIVILEGED = 1024  # the first port that needs no rights
# Seconds for which a thread that computes keeps the interpreter from the event loop, which lets go of it at each system
# call. Python's own 5 ms are too long: a page is parsed, or the history written, while hundreds of requests wait.
_TURN = 0.0005
_NO_DESCRIPTORS = "the limit of open files is reached. Raise it, as with `ulimit -n 4096`, and start again."
_NOT_HERE = "{host}: is not an address of this machine. Choose one with --host, such as 127.0.0.1."
_NOT_ALLOWED = "{host}, port {port}: the system does not let this user listen there. Choose another one with --port."
_REASONS = {
    errno.EMFILE: _NO_DESCRIPTORS,
    errno.ENFILE: _NO_DESCRIPTORS,
    errno.EADDRINUSE: "{host}, port {port}: in use by another program. Stop it, or choose another port with --port "
    "(0 takes any free one).",
    errno.EADDRNOTAVAIL: _NOT_HERE,
    None: _NOT_HERE,  # from Python 3.13 on asyncio raises "could not bind on any address" without a number
    errno.EAFNOSUPPORT: "{host}: this machine has no addresses of that kind. Choose another one with --host.",
    errno.EINVAL: "{host}: the server cannot listen there. An address that begins with fe80 needs its interface, as in "
    "fe80::1%eth0. Or choose another one with --host.",
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
}


def serve(
    settings: Settings, credentials: Credentials, proxies: KnownProxies, environ: Mapping[str, str] | None = None
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; 0 then, 1 if the server cannot start, 130 if interrupted before it could.

    `environ`: the variables of what is run beside it.
    """
    first = next((site for site in settings.sites() if site.mount == "pypi"), settings.sites()[0])

    def greet(base_urls: Sequence[str]) -> str:
        return greeting(base_urls, first.mount, first.index)

    for upstream in settings.upstreams:
        if upstream.doubt is not None:
            _print(f"pullthrough: the upstream {upstream.mount}: {upstream.doubt}")
    if settings.parent:
        _print(f"pullthrough: everything is fetched through the parent {settings.parent}")
    for line in proxy_lines(proxies):
        _print(f"pullthrough: {line}")
    sys.setswitchinterval(_TURN)
    try:
        with threads_needed(), asyncio.Runner(loop_factory=WakefulLoop) as runner:
            runner.run(run(settings, greet, credentials, proxies, environ))
    except PullthroughError as error:
        return _failed(str(error))
    except CannotListen as refused:
        return _failed(start_failure(refused.error, refused.host, settings.port))
    except OSError as error:
        return _failed(start_failure(error, settings.host[0], settings.port))
    except KeyboardInterrupt:
        return 130
    return 0


async def run(
    settings: Settings,
    greet: Callable[[Sequence[str]], str],
    credentials: Credentials,
    proxies: Proxies,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP. `greet` makes the text for the log out of the addresses."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:  # nohup
            loop.add_signal_handler(number, stop.set)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False
    threading.excepthook = thread_failed
    running = await app.start(settings, credentials=credentials, proxies=proxies)
    # These objects live as long as the process, but for a few thousand. A full collection over all of them would stop
    # the server for 30 ms: now, when the first client may be waiting, and again and again.
    gc.freeze()
    gc.enable()  # it waited while the program was loaded
    warming = _warming(settings, running, environ or {})
    try:
        running.log.write(greet(running.urls))
        await stop.wait()
    finally:
        gc.unfreeze()
        for task in warming:
            task.cancel()
        await asyncio.gather(*warming, return_exceptions=True)
        await running.close()


def _warming(settings: Settings, running: app.Running, environ: Mapping[str, str]) -> list[asyncio.Task[None]]:
    """What looks after each `[[warm]]`; nothing where there is none, or where the cache is offline."""
    if settings.offline or not settings.warms:
        return []
    where = urlsplit(running.url)
    command = (sys.executable, "-P", "-m", "proxy", "warm")
    # Its own address and folder, whatever the file or a flag says, and also where this user has no home.
    named = {
        **environ,
        f"{PREFIX}HOST": str(where.hostname),
        f"{PREFIX}PORT": str(where.port),
        f"{PREFIX}DATA": str(settings.data),
    }
    folder = settings.data / "warming"
    schedule = Schedule(settings.warms, command, named, folder, running.observer, app.SystemClock())
    return [asyncio.create_task(schedule.run())]


def proxy_lines(proxies: KnownProxies) -> list[str]:
    """Lines for the start: which proxies lead to upstream, and which variables that name one are ignored."""
    by_proxy: dict[str, list[str]] = {}
    for scheme, proxy in proxies.in_force():
        by_proxy.setdefault(f"{proxy} ({proxy.source})", []).append(scheme)
    lines = [f"upstream is reached by {' and '.join(schemes)} through {proxy}" for proxy, schemes in by_proxy.items()]
    return [*lines, *proxies.notes]


def greeting(base_urls: Sequence[str], mount: str, index: str) -> str:
    """The text once the port is open: the addresses, and shell lines that point pip, uv and apt at the first."""
    reachable = _reachable(base_urls[0])
    lines = [
        "# pip: once, or from now on in this shell",
        pip_command(reachable, mount, index),
        *pip_lines(reachable, mount, index),
        "# uv: once, or from now on in this shell",
        uv_command(reachable, mount, index),
        *uv_lines(reachable, mount, index),
        "# apt: from now on",
        apt_command(reachable),
    ]
    return "\n".join(
        [
            f"pullthrough serves at {' and '.join(map(_with_host_name, base_urls))}",
            "",
            *(f"  {line}" for line in lines),
            "",
            "poetry, pdm, pipenv, pip-tools, pex and lock files: docs/clients.md. Stop with Ctrl-C.",
        ]
    )


def _with_host_name(base_url: str) -> str:
    reachable = _reachable(base_url)
    return base_url if reachable == base_url else f"{base_url} (from elsewhere: {reachable})"


def _reachable(base_url: str) -> str:
    """The address for a client: nobody can connect to the unspecified addresses, 0.0.0.0 and ::."""
    parts = urlsplit(base_url)
    try:
        everywhere = ipaddress.ip_address(parts.hostname or "").is_unspecified
    except ValueError:
        everywhere = False
    return f"{parts.scheme}://{socket.gethostname()}:{parts.port}" if everywhere else base_url


def start_failure(error: OSError, host: str, port: int) -> str:
    """Why the server cannot start at `host` and `port`, and what a person can do."""
    if isinstance(error, socket.gaierror):
        return f"{host}: this name has no address. Choose one with --host, such as 127.0.0.1."
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if error.errno in (errno.EACCES, errno.EPERM) and 0 < port < _UNPRIVILEGED:
        return f"{host}, port {port}: ports below 1024 need special rights. Choose another one with --port."
    reason = _REASONS.get(error.errno)
    return reason.format(host=host, port=port) if reason else f"cannot start: {error.strerror or error}."


def _failed(reason: str) -> int:
    _print(f"pullthrough: {reason}")
    return 1


def _print(text: str) -> None:
    # Standard error may be closed, as in `pullthrough serve 2>&1 | head -1`, or full: the server starts all the same.
    with contextlib.suppress(OSError):
        if sys.stderr is not None and _is_writable(sys.stderr):
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is the command's output


def _is_writable(stream: IO[str]) -> bool:
    """Whether a short text can be written without waiting."""
    try:
        number = stream.fileno()
    except OSError:  # not a file of the system
        return True
    return bool(select.select([], [number], [], 0)[1])  # poll(2) of macOS knows no terminals
