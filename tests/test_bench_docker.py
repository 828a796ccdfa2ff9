"""The table of builds comes from the bench, and its link passes on what it is given, at its rate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.docker import main
from bench.docker_table import BEGIN, CODE, EMPTY, END, FIRST, PRUNED, REQUIREMENTS, Figures, table
from bench.link import Meter, serve
from bench.summary import placed
from tests.origin import Origin

_README = Path(__file__).parent.parent / "README.md"
_DIRECT = dict.fromkeys((FIRST, CODE, REQUIREMENTS, PRUNED, EMPTY), Figures(100.0))


def test_table__what_is_met_and_what_is_missed() -> None:
    """Each figure has its share of the direct build beside it, and a bound that is missed is said."""
    cached = {
        FIRST: Figures(104.0, 2_900_000_000, 15_900_000),
        CODE: Figures(10.0, 0, 0),
        REQUIREMENTS: Figures(31.0, 25_000, 0),
        PRUNED: Figures(9.0, 0, 0),
        EMPTY: Figures(40.0, 0, 241_248),
    }
    text = table({"cached, pip": cached, "direct": _DIRECT}, {"cached, pip": 1.5}, 100, ["torch==2.7.1", "six==1"])

    assert "| | direct | cached, pip | must be |\n" in text
    assert f"| {FIRST} | 100 s | 104 s, 4% more (2,900.0 MB + 15.9 MB) | ≤ 5% more |\n" in text
    assert f"| {CODE} | 100 s | 10 s, 90% less (0 B + 0 B) | ≥ 90% less |\n" in text
    assert f"| {REQUIREMENTS} | 100 s | 31 s, 69% less (25,000 B + 0 B), **missed** | ≥ 70% less |\n" in text
    assert f"| {PRUNED} | 100 s | 9 s, 91% less (0 B + 0 B) | ≥ 90% less |\n" in text
    assert f"| {EMPTY} | 100 s | 40 s, 60% less (0 B + 0.2 MB) | - |\n" in text
    assert text.endswith("| - | 1.50 s | < 2 s |\n")
    assert "100 Mbit/s" in text
    assert text.startswith("Builds of torch==2.7.1, six==1 with all that they need")


def test_table__overhead_is_missed() -> None:
    """The overhead has a bound, too."""
    ways = {"direct": _DIRECT, "cached, uv": _DIRECT}

    assert table(ways, {"cached, uv": 2.5}, 100, ["six==1"]).endswith("| - | 2.50 s, **missed** | < 2 s |\n")


def test_readme__has_a_place() -> None:
    """The README can be written anew, beside the other table."""
    text = _README.read_text(encoding="utf-8")

    assert f"{BEGIN}new\n{END}" in placed(text, "new\n", BEGIN, END)


def test_main__asks_before_it_prunes(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of an engine is removed unless somebody said that it may be."""
    assert 2 == main([])
    assert "add --prune" in capsys.readouterr().err


def test_meter__no_more_than_its_rate() -> None:
    """What comes at once waits in a row; after a pause nothing waits, and no more than an instant was saved up."""
    meter = Meter(1000)

    assert [0.05, 0.15, 0.25] == pytest.approx([meter.wait(100, 10.0) for _ in range(3)])
    assert 0.05 == pytest.approx(meter.wait(100, 20.0))


async def test_link__passes_on(origin: Origin) -> None:
    """A request in absolute form and a tunnel bring the body whole."""
    for path in ("/file", f"{origin.url}/file"):  # RFC 9112 §3.2.2: a server takes both forms
        origin.file(path, b"x" * 300_000)
    host, port = origin.url.removeprefix("http://").split(":")
    server = await serve("127.0.0.1", Meter(100_000_000))
    async with server:
        at = server.sockets[0].getsockname()[:2]
        absolute = await _asked(at, f"GET {origin.url}/file HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        opened = await _asked(
            at,
            f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n",
            f"GET /file HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
        )
        nowhere = await _asked(at, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n")

    assert absolute.endswith(b"x" * 300_000)
    assert opened.startswith(b"HTTP/1.1 200 ")
    assert opened.endswith(b"x" * 300_000)
    assert nowhere.startswith(b"HTTP/1.1 502 ")


async def _asked(at: tuple[str, int], head: str, then: str = "") -> bytes:
    reader, writer = await asyncio.open_connection(*at)
    writer.write(head.encode())
    answer = b""
    if then:
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.write(then.encode())
    answer += await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
