"""How verbs print, on a terminal and into a pipe."""

from __future__ import annotations

import io
import json
import os
import pty
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from proxy.commands import output


@pytest.fixture
def pipe() -> io.StringIO:
    """What is no terminal."""
    return io.StringIO()


@pytest.fixture
def terminal() -> Iterator[tuple[IO[str], int]]:
    """A terminal to print on, and the other side of it."""
    keyboard, screen = pty.openpty()
    try:
        with io.TextIOWrapper(io.FileIO(screen, "r+"), encoding="utf-8", write_through=True) as stream:
            yield stream, keyboard
    finally:
        os.close(keyboard)


def _shown(stream: IO[str], keyboard: int) -> str:
    """What the terminal got so far. It comes in parts, of which a mark tells the last."""
    stream.write("\N{END OF TRANSMISSION}")
    shown = b""
    while not shown.endswith(b"\x04"):
        shown += os.read(keyboard, 1 << 16)
    return shown[:-1].decode()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (821_000_000, "821.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (10**16, "10000.0 TB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_size__units(count: int, text: str) -> None:
    """Powers of ten, and never a thousand of a unit that has a larger one."""
    assert text == output.size(count)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: output.number(1, "file"), "1 file"),
        (lambda: output.number(2000, "file"), "2,000 files"),
        (lambda: output.number(0, "entry", "entries"), "0 entries"),
        (lambda: output.period(86_400 * 3.9), "3 days"),
        (lambda: output.period(3_600), "1 hour"),
        (lambda: output.period(0.4), "0 seconds"),
    ],
)
def test_number__with_its_noun(make: Callable[[], str], text: str) -> None:
    """Counts and times read as a person says them."""
    assert text == make()


def test_json_text__indented_or_a_line() -> None:
    """Both are the same value."""
    value = {"files": 2, "sizes": [1, 2]}

    assert value == json.loads(output.json_text(value))
    assert '{"files":2,"sizes":[1,2]}\n' == output.json_text(value, line=True)


def test_table__in_a_pipe(pipe: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """No escape sequences, even if the environment asks for them; long names stay whole; what is no text is shown."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    where = output.console(pipe)
    table = output.table("largest files", ("size", "right"), "file")
    output.add_row(table, "1 B", "x" * 200)
    output.add_row(table, "10 B", "[bold]a\x1b[2Jb[/]")
    where.print(table)

    assert "\x1b" not in pipe.getvalue()
    assert [
        "largest files",
        "size  file",
        " 1 B  " + "x" * 200,
        "10 B  [bold]a\N{REPLACEMENT CHARACTER}[2Jb[/]",
    ] == [line.rstrip() for line in pipe.getvalue().splitlines()]


def test_table__on_a_terminal(terminal: tuple[IO[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets the title in bold."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream, keyboard = terminal
    where = output.console(stream)
    where.print(output.table("index", "files"))

    assert "\x1b[1mindex" in _shown(stream, keyboard)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_progress__nothing_moves(
    terminal: tuple[IO[str], int], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """With NO_COLOR, and on a terminal that cannot, there is no bar and no spinner."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv(name, value)
    stream, keyboard = terminal
    where = output.console(stream)
    with output.progress(stream, "checking") as advance, output.waiting(where, "for something"):
        advance(1, 2)
    where.print("end")

    assert ["end"] == _shown(stream, keyboard).splitlines()


def test_progress__on_a_terminal(terminal: tuple[IO[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar shows how much of how much."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    stream, keyboard = terminal
    with output.progress(stream, "checking") as advance:
        advance(1_000_000, 2_000_000)

    assert "1.0 MB of 2.0 MB" in _shown(stream, keyboard)


def test_confirmed__nobody_there(pipe: io.StringIO) -> None:
    """Without a terminal nothing is asked."""
    assert output.confirmed("Delete?", output.console(pipe), io.StringIO("y\n")) is None
    assert "" == pipe.getvalue()


@pytest.mark.parametrize(("typed", "meant"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False)])
def test_confirmed__answers(terminal: tuple[IO[str], int], pipe: io.StringIO, typed: str, meant: bool) -> None:
    """Only yes is yes."""
    stream, keyboard = terminal
    os.write(keyboard, typed.encode())

    assert meant == output.confirmed("Delete?", output.console(pipe), stream)
    assert "Delete? [y/N] " == pipe.getvalue()


def test_say__on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines for people do not get into what is piped on."""
    output.say("it is done")

    assert ("", "pullthrough: it is done\n") == capsys.readouterr()
