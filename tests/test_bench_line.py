"""The line of the bench: it changes no byte, and gives each connection its pace."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from bench.line import Line, Pacer, Reach


def test_pacer__no_burst_after_a_silence() -> None:
    """A connection that was silent has no more in store than one that begins."""
    pacer = Pacer(1_000)
    pacer.begin(10.0)
    assert 0.5 == pacer.wait(500, 10.0)
    pacer.begin(60.0)
    assert 0.5 == pacer.wait(500, 60.0)


def test_pacer__what_passed_counts() -> None:
    """Two chunks that are ready at once pass one after the other."""
    pacer = Pacer(1_000)
    pacer.begin(10.0)
    assert [0.5, 1.0] == [pacer.wait(500, 10.0), pacer.wait(500, 10.0)]


def test_pacer__a_request_that_comes_early() -> None:
    """A request does not make good what the connection still has to send."""
    pacer = Pacer(1_000)
    pacer.begin(10.0)
    pacer.wait(2_000, 10.0)
    pacer.begin(11.0)
    assert 1.5 == pacer.wait(500, 11.0)


def test_pacer__unlimited() -> None:
    """Without a rate nothing waits."""
    assert 0.0 == Pacer(0).wait(1 << 30, 10.0)


def _address(line: Line) -> tuple[str, int]:
    parts = urlsplit(line.url)
    return str(parts.hostname), parts.port or 80


def test_line__passes_bytes_both_ways(tmp_path: Path) -> None:
    """Request and answer arrive as they were sent, and each side's end reaches the other."""
    body = bytes(range(256)) * 2_000
    seen: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(100))
            connection.sendall(body)
            connection.shutdown(socket.SHUT_WR)
            seen.append(connection.recv(100))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        with Line(listener.getsockname()[1], Reach(0.001, 100_000_000), tmp_path / "log") as line:
            with socket.create_connection(_address(line)) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                arrived = b"".join(iter(lambda: client.recv(1 << 16), b""))
            thread.join()
    assert body == arrived
    assert [b"GET / HTTP/1.1\r\n\r\n", b""] == seen


def test_line__nobody_at_its_end(tmp_path: Path) -> None:
    """A client of a line that leads nowhere sees its connection end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Line(port, Reach(0.0), tmp_path / "log") as line:
        with socket.create_connection(_address(line)) as client:
            assert b"" == client.recv(1)
