"""What all verbs share when they print: sizes, times, tables, progress, questions.

Nothing is coloured or animated where the output is no terminal, or where NO_COLOR is set (no-color.org). Called by the
modules of this room only. It decides nothing but how things look. What draws tables and bars is imported when one is
drawn: it takes longer to load than a verb may run.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_THOUSAND = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_WIDE = 500  # columns where nobody reads on a screen: nothing is folded, so that each line can be searched for
_PERIODS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def console(stream: IO[str] | None = None) -> Console:
    """Where a verb prints: on `stream`, else on standard output."""
    from rich.console import Console  # noqa: PLC0415 - late, see above

    stream = stream or sys.stdout
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,  # FORCE_COLOR must not get colours into a pipe
        width=None if terminal else _WIDE,
        highlight=False,
        markup=False,
        emoji=False,
    )


def animated(where: Console) -> bool:
    """Whether something that moves may be shown there."""
    return where.is_terminal and not where.is_dumb_terminal and not where.no_color


def say(line: str, stream: IO[str] | None = None) -> None:
    """Print a line for a person, on standard error: what was done, or why something was not."""
    print(f"pullthrough: {line}", file=stream or sys.stderr, flush=True)


def json_text(value: Any, *, line: bool = False) -> str:  # noqa: ANN401 - whatever msgspec encodes
    """A value as JSON text with a line's end: indented, or as one `line`, for a row of many."""
    encoded = msgspec.json.encode(value)
    return (encoded if line else msgspec.json.format(encoded, indent=2)).decode() + "\n"


def size(count: int) -> str:
    """A number of bytes, as in "821.0 MB"; in powers of ten, as disks and wheels are described."""
    value = float(count)
    for unit in _UNITS:
        if abs(value) < _THOUSAND - 0.05 or unit == _UNITS[-1]:
            break
        value /= _THOUSAND
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(count: float, one: str, many: str | None = None) -> str:
    """A number with its noun, as in "1 file" and "2,000 files". `many`: the plural, if it is more than an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def period(seconds: float) -> str:
    """A length of time in its largest unit, as in "3 days"."""
    for length, name in _PERIODS:
        if seconds >= length:
            return number(int(seconds // length), name)
    return "0 seconds"


def plain(text: str) -> Text:
    """Text that came from elsewhere, as a cell or a line: no mark-up, and nothing that moves a terminal's cursor."""
    from rich.text import Text  # noqa: PLC0415 - late, see above

    return Text(_printable(text))


def _printable(text: str) -> str:
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text)


def table(title: str, *columns: str | tuple[str, Literal["left", "right"]]) -> Table:
    """A table. A column is its heading, or (heading, "right") where it holds numbers."""
    from rich.table import Table  # noqa: PLC0415 - late, see above

    made = Table(
        title=title or None, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), pad_edge=False
    )
    for column in columns:
        heading, side = (column, "left") if isinstance(column, str) else column
        made.add_column(heading, justify=side, overflow="fold", no_wrap=side == "right")  # type: ignore[arg-type]
    return made


def add_row(to: Table, *cells: str) -> None:
    """Add a row of texts that came from anywhere."""
    to.add_row(*map(plain, cells))


@contextlib.contextmanager
def progress(stream: IO[str], what: str) -> Generator[Callable[[int, int], None]]:
    """A bar for work that is counted in bytes, gone when the work is done. Gives `advance(done, of)`.

    Shows nothing where nothing may move.
    """
    if not stream.isatty() or not animated(where := console(stream)):
        yield lambda _done, _of: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - late, see above

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[sizes]}"),
        TimeRemainingColumn(),
        console=where,
        transient=True,
    )
    with shown:
        task = shown.add_task(what, total=None, sizes="")

        def advance(done: int, of: int) -> None:
            sizes = f"{size(done)} of {size(of)}" if of else ""  # how much it is may not be known yet
            shown.update(task, completed=done, total=of or None, sizes=sizes)

        yield advance


def undeleted(count: int, reason: str | None) -> str:
    """That files could not be deleted, and what the disk says of it."""
    return f"{number(count, 'file')} could not be deleted: {reason or 'the log of the cache says why'}."


@contextlib.contextmanager
def waiting(where: Console, what: str) -> Generator[None]:
    """A line that says what is waited for, gone when it is over. Shows nothing where nothing may move."""
    with where.status(what) if animated(where) else contextlib.nullcontext():
        yield


def confirmed(question: str, where: Console, answers: IO[str] | None = None) -> bool | None:
    """Ask for yes or no; anything but yes is no. None: there is nobody to ask.

    `answers`: where answers come from; None: standard input.
    """
    answers = answers or sys.stdin
    if answers is None or not answers.isatty():
        return None
    where.print(f"{question} [y/N] ", end="")
    return answers.readline().strip().lower() in {"y", "yes"}


def lines(stream: IO[str], texts: Sequence[str]) -> None:
    """Print lines, each as it is: none is folded, and nothing in it moves a terminal's cursor."""
    for text in texts:
        print(_printable(text), file=stream, flush=True)
