"""What to do when the system does not let the server start: one line for each reason. Called by `serve`.

Texts only, from the error's number and the place where the server was to listen. What is wrong with the data folder the
store says itself.
"""

from __future__ import annotations

import errno
import socket

_UNPRIVILEGED = 1024  # the first port that needs no rights
_NO_DESCRIPTORS = "the limit of open files is reached. Raise it, as with `ulimit -n 4096`, and start again."
_NOT_HERE = "{host}: is not an address of this machine. Choose one with --host, such as 127.0.0.1."
_NOT_ALLOWED = "{host}, port {port}: the system does not let this user listen there. Choose another one with --port."
_REASONS = {
    errno.EMFILE: _NO_DESCRIPTORS,
    errno.ENFILE: _NO_DESCRIPTORS,
    errno.EADDRINUSE: "{host}, port {port}: in use by another program. Stop it, or choose another port with --port "
    "(0 takes any free one).",
    errno.EADDRNOTAVAIL: _NOT_HERE,
    None: _NOT_HERE,  # from Python 3.13 on asyncio says "could not bind on any address" without a number
    errno.EAFNOSUPPORT: "{host}: this machine has no addresses of that kind. Choose another one with --host.",
    errno.EINVAL: "{host}: cannot be listened at. An address that begins with fe80 needs its interface, as in "
    "fe80::1%eth0. Or choose another one with --host.",
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
}


def advice(error: OSError, host: str, port: int) -> str:
    """Why the server cannot start at `host` and `port`, and what helps."""
    if isinstance(error, socket.gaierror):
        return f"{host}: no address is known for that name. Choose one with --host, such as 127.0.0.1."
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if error.errno in (errno.EACCES, errno.EPERM) and 0 < port < _UNPRIVILEGED:
        return f"{host}, port {port}: ports below 1024 need special rights. Choose another one with --port."
    reason = _REASONS.get(error.errno)
    return reason.format(host=host, port=port) if reason else f"cannot start: {error.strerror or error}."
