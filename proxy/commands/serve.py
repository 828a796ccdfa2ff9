"""`pullthrough serve`: run the proxy until it is interrupted, and say how clients reach it.

Called by `cli`. Everything meant for a person goes to standard error; exit statuses are those of `cli`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
from urllib.parse import urlsplit

from proxy import app
from proxy.clients import apt_lines, index_url, pip_lines, uv_lines
from proxy.config import Settings
from proxy.errors import PullthroughError
from proxy.ports import Credentials


def serve(settings: Settings, credentials: Credentials) -> int:
    """Serve until SIGINT or SIGTERM; 0 after that, 1 if the server cannot start, 130 if interrupted before it could."""
    first = next((site for site in settings.sites() if site.mount == "pypi"), settings.sites()[0])

    def announce(base_url: str) -> None:
        _say(greeting(base_url, first.mount, first.index))

    for upstream in settings.upstreams:
        if upstream.doubt is not None:
            _say(f"pullthrough: the upstream {upstream.mount}: {upstream.doubt}")
    try:
        asyncio.run(app.run(settings, announce, credentials))
    except PullthroughError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(_advice(error, settings))
    except KeyboardInterrupt:
        return 130
    return 0


def greeting(base_url: str, mount: str, index: str) -> str:
    """What is said once the port is open: the address, and the lines that point pip, uv and apt at it."""
    reachable = _reachable(base_url)
    address = index_url(reachable, mount, index)
    return "\n".join(
        [
            f"pullthrough serves at {base_url}" + ("" if reachable == base_url else f" (from elsewhere: {reachable})"),
            "",
            "  pip, once:   pip install --index-url " + address + " PACKAGE",
            *(f"  pip, always: {line}" for line in pip_lines(reachable, mount, index)),
            "  uv, once:    uv pip install --default-index " + address + " PACKAGE",
            *(f"  uv, always:  {line}" for line in uv_lines(reachable, mount, index)),
            f"  apt, always: echo '{' '.join(apt_lines(reachable))}' > /etc/apt/apt.conf.d/01pullthrough",
            "",
            "Stop with Ctrl-C.",
        ]
    )


def _reachable(base_url: str) -> str:
    """The address for a client: 0.0.0.0 and :: are places to listen, not places to go to."""
    parts = urlsplit(base_url)
    try:
        everywhere = ipaddress.ip_address(parts.hostname or "").is_unspecified
    except ValueError:
        everywhere = False
    return f"{parts.scheme}://{socket.gethostname()}:{parts.port}" if everywhere else base_url


def _advice(error: OSError, settings: Settings) -> str:
    place = f"{settings.host}, port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{place}: in use by another program. Stop it, or choose another port with --port (0 takes any free one)."
        )
    # From Python 3.13 on asyncio says "could not bind on any address" without a number.
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, None):
        return f"{settings.host}: is not an address of this machine. Choose one with --host, such as 127.0.0.1."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return f"{error.filename}: cannot be written. Choose another folder with --data, or change its owner."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{place}: ports below 1024 need special rights. Choose another one with --port."
    if error.filename:
        return f"{error.filename}: {error.strerror}. Choose another folder with --data."
    return f"cannot start: {error.strerror or error}"


def _failed(reason: str) -> int:
    _say(f"pullthrough: {reason}")
    return 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it is the command's output
