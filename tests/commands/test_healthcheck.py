"""What the health check of a container finds. Each of the programs that it asks is a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from proxy.commands.healthcheck import asked, healthcheck

_LIMIT = 30.0  # seconds: only for a test that hangs


@contextlib.contextmanager
def _answering(said: bytes, host: str = "127.0.0.1") -> Iterator[int]:
    """A server that gives each connection the same bytes and closes it; its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        listening.settimeout(_LIMIT)

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.settimeout(_LIMIT)
                        connection.recv(65536)
                        connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(_LIMIT)


def _reply(text: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


@pytest.mark.parametrize("text", ["ok", "degraded: the disk fails"])
def test_asked__it_serves(text: str) -> None:
    """A disk that fails makes no container unhealthy: the proxy serves past it, and the line says so."""
    with _answering(_reply(text)) as port:
        found = asked("127.0.0.1", port)

    assert (True, f"http://127.0.0.1:{port} serves: {text}") == found


@pytest.mark.parametrize(
    "said",
    [
        _reply("ok", "404 Not Found"),
        _reply("ok", "503 Service Unavailable"),
        _reply("<html>welcome</html>"),
        _reply(""),
        b"220 mail.example ESMTP\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nok",
    ],
    ids=["404", "503", "page", "nothing", "mail", "closed", "cut"],
)
def test_asked__another_program(said: bytes) -> None:
    """Whatever else listens at the port is not taken for the proxy, and the line says what to do."""
    with _answering(said) as port:
        healthy, found = asked("127.0.0.1", port)

    assert not healthy
    assert found.startswith(f"http://127.0.0.1:{port} ")
    assert "--port" in found or "pullthrough serve" in found


def test_asked__nobody() -> None:
    """Where nothing listens the line says how to start it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    healthy, found = asked("127.0.0.1", port)

    assert (False, True) == (healthy, found.endswith("Start the proxy: pullthrough serve"))


@pytest.mark.parametrize(("host", "asked_at"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::", "[::1]")])
def test_healthcheck__where_it_asks(host: str, asked_at: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A proxy that listens everywhere is asked on the loopback interface."""
    with _answering(_reply("ok"), host) as port:
        status = healthcheck([host, "192.0.2.1"], port)

    assert (0, f"http://{asked_at}:{port} serves: ok\n") == (status, capsys.readouterr().out)


def test_healthcheck__by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A host name of the settings is asked as it is."""
    with _answering(_reply("no", "500 Oops")) as port:
        assert 1 == healthcheck(["localhost"], port)

    assert capsys.readouterr().out.startswith(f"http://localhost:{port} is another program")


def test_healthcheck__any_free_port(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody can know which port a server with port 0 took."""
    assert 2 == healthcheck(["127.0.0.1"], 0)

    assert "--port" in capsys.readouterr().out
