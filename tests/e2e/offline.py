"""The program on a machine without a network: no name has an address. `python -m tests.e2e.offline serve …`."""

from __future__ import annotations

import socket
from typing import Any
from unittest import mock

from proxy.cli import main

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _offline() -> None:
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if host is not None and host not in _LOOPBACK:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *args, **more)

    with mock.patch.object(socket, "getaddrinfo", getaddrinfo):
        main()


if __name__ == "__main__":
    _offline()
