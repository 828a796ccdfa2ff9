"""How verbs end that look after a store."""

from __future__ import annotations

import errno
import gc
import signal
from collections.abc import Callable
from typing import NoReturn

import pytest

from proxy.commands.endings import ended
from proxy.errors import StoreFull, WrongUsage


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (WrongUsage("say what"), 2, "pullthrough: say what\n"),
        (StoreFull("The disk is full."), 1, "pullthrough: The disk is full.\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 1, "pullthrough: /data: Permission denied.\n"),
        (TimeoutError(), 1, "pullthrough: the data folder: TimeoutError.\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "surrogates not allowed"),
            2,
            "pullthrough: caf\N{REPLACEMENT CHARACTER}: is no text in UTF-8\n",
        ),
    ],
)
def test_ended__failure_in_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    """It says why, and has its own status."""

    def work() -> NoReturn:
        raise error

    assert status == ended(work)
    assert ("", line) == capsys.readouterr()


def test_ended__reader_that_is_gone() -> None:
    """`pullthrough stats | head` is no failure to be told of."""

    def work() -> NoReturn:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        ended(work)


def test_ended__no_threads(capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of processes says what it is; other errors of that type are mistakes of the program."""

    def work(error: RuntimeError) -> NoReturn:
        raise error

    assert 1 == ended(lambda: work(RuntimeError("can't start new thread")))
    assert capsys.readouterr().err.startswith("pullthrough: the system starts no more threads for this user: its limit")
    with pytest.raises(RuntimeError, match="another"):
        ended(lambda: work(RuntimeError("another")))


def test_ended__status_of_the_work() -> None:
    """Passed on."""
    assert 3 == ended(lambda: 3)


def test_ended__collector_works_again() -> None:
    """It waited while the program was loaded; what that made is not looked at again."""
    gc.disable()
    try:
        collecting = ended(lambda: int(gc.isenabled() and gc.get_freeze_count() > 0))
    finally:
        gc.unfreeze()
        gc.enable()

    assert 1 == collecting


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("on_interrupt", [signal.default_int_handler, signal.SIG_IGN])
def test_ended__from_outside(number: signal.Signals, on_interrupt: Callable[..., object] | signal.Handlers) -> None:
    """What was begun is cleaned up, as on Ctrl-C, whether the verb runs in the background or not."""
    cleaned: list[bool] = []

    def work() -> int:
        try:
            signal.raise_signal(number)
        finally:
            cleaned.append(True)
        return 0

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        with pytest.raises(SystemExit) as end:
            ended(work)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (128 + number, [True], signal.SIG_DFL) == (end.value.code, cleaned, signal.getsignal(number))


def test_ended__from_outside_what_is_ignored() -> None:
    """`nohup` holds."""

    def work() -> int:
        signal.raise_signal(signal.SIGHUP)
        return 5

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert 5 == ended(work)
    finally:
        signal.signal(signal.SIGHUP, before)
