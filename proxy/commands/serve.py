"""`pullthrough serve`: run the proxy until it is interrupted, and say how clients reach it.

Called by `cli`. Everything meant for a person goes to standard error; exit statuses are those of `cli`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import select
import socket
import sys
from collections.abc import Sequence
from typing import IO
from urllib.parse import urlsplit

from proxy import app
from proxy.clients import apt_command, pip_command, pip_lines, uv_command, uv_lines
from proxy.commands.advice import advice
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.errors import PullthroughError
from proxy.ports import Credentials
from proxy.web.listener import CannotListen


def serve(settings: Settings, credentials: Credentials, proxies: KnownProxies) -> int:
    """Serve until SIGINT or SIGTERM; 0 after that, 1 if the server cannot start, 130 if interrupted before it could."""
    first = next((site for site in settings.sites() if site.mount == "pypi"), settings.sites()[0])

    def greet(base_urls: Sequence[str]) -> str:
        return greeting(base_urls, first.mount, first.index)

    for upstream in settings.upstreams:
        if upstream.doubt is not None:
            _say(f"pullthrough: the upstream {upstream.mount}: {upstream.doubt}")
    for line in outward(proxies):
        _say(f"pullthrough: {line}")
    try:
        asyncio.run(app.run(settings, greet, credentials, proxies))
    except PullthroughError as error:
        return _failed(str(error))
    except CannotListen as refused:
        return _failed(advice(refused.error, refused.host, settings.port))
    except OSError as error:
        return _failed(advice(error, settings.host[0], settings.port))
    except KeyboardInterrupt:
        return 130
    return 0


def outward(proxies: KnownProxies) -> list[str]:
    """Lines for the start: which proxies lead to upstream, and which variables that name one are ignored."""
    by_proxy: dict[str, list[str]] = {}
    for scheme, proxy in proxies.in_force():
        by_proxy.setdefault(f"{proxy} ({proxy.source})", []).append(scheme)
    lines = [f"upstream is reached by {' and '.join(schemes)} through {proxy}" for proxy, schemes in by_proxy.items()]
    return [*lines, *proxies.notes]


def greeting(base_urls: Sequence[str], mount: str, index: str) -> str:
    """What is said once the port is open: the addresses, and lines of shell that point pip, uv and apt at the first."""
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
            f"pullthrough serves at {' and '.join(map(_shown, base_urls))}",
            "",
            *(f"  {line}" for line in lines),
            "",
            "poetry, pdm, pipenv, pip-tools, pex and lock files: docs/clients.md. Stop with Ctrl-C.",
        ]
    )


def _shown(base_url: str) -> str:
    reachable = _reachable(base_url)
    return base_url if reachable == base_url else f"{base_url} (from elsewhere: {reachable})"


def _reachable(base_url: str) -> str:
    """The address for a client: 0.0.0.0 and :: are places to listen, not places to go to."""
    parts = urlsplit(base_url)
    try:
        everywhere = ipaddress.ip_address(parts.hostname or "").is_unspecified
    except ValueError:
        everywhere = False
    return f"{parts.scheme}://{socket.gethostname()}:{parts.port}" if everywhere else base_url


def _failed(reason: str) -> int:
    _say(f"pullthrough: {reason}")
    return 1


def _say(text: str) -> None:
    # Nobody reads it, as in `pullthrough serve 2>&1 | head -1`, or not now: no reason not to serve, nor to wait.
    with contextlib.suppress(OSError):
        if sys.stderr is not None and _takes(sys.stderr):
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is the command's output


def _takes(stream: IO[str]) -> bool:
    """Whether a short text can be written at once."""
    try:
        number = stream.fileno()
    except OSError:  # none of the system's
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(0))
