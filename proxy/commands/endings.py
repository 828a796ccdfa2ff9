"""How verbs end: the exit status, and the line that says why one failed. Called by all of them but `serve`."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType

from proxy.commands import output
from proxy.errors import PullthroughError, WrongUsage

_NO_THREADS = (
    "the system starts no more threads for this user: its limit of processes or of memory is reached. Raise it, as "
    "with `ulimit -u 4096`, or a container's limits, and start again."
)

DONE = 0
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130

_OBJECTS = 50_000  # that are made before the collector looks: a verb makes very many, keeps them, and ends


def ended(work: Callable[[], int], place: str = "the data folder") -> int:
    """The exit status of `work`, or of its failure, which is said in one line on standard error.

    `place`: what an error of the system is about where it names no file.
    """
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    if not gc.isenabled():  # while the program was loaded: what that made stays to the end
        gc.freeze()
        gc.enable()
    try:
        with _ended_from_outside(), threads_needed():
            return work()
    except WrongUsage as error:
        output.say(str(error))
        return WRONG_USAGE
    except PullthroughError as error:
        output.say(str(error))
        return FAILED
    except UnicodeEncodeError as error:  # bytes of another encoding, which no name and no address here has
        output.lines(sys.stderr, [f"pullthrough: {error.object}: is no text in UTF-8"])
        return WRONG_USAGE
    except BrokenPipeError:
        raise  # whoever read the output has read enough; the command line's library ends such a process
    except OSError as error:
        output.say(f"{error.filename or place}: {error.strerror or type(error).__name__}.")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


@contextlib.contextmanager
def threads_needed() -> Generator[None]:
    """Raise PullthroughError where the system starts no thread: Python has no type of its own for that."""
    try:
        yield
    except RuntimeError as error:
        if "start new thread" in str(error):
            raise PullthroughError(_NO_THREADS) from error
        raise


@contextlib.contextmanager
def _ended_from_outside() -> Generator[None]:
    """Clean up on SIGTERM and SIGHUP, too, as on Ctrl-C, and give their status: 128 and the number of the signal.

    What is ignored, as by `nohup`, stays ignored.
    """
    sent = 0

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal sent
        sent = number
        on_interrupt = signal.getsignal(signal.SIGINT)
        if not callable(on_interrupt):  # ignored: the verb runs in the background
            raise KeyboardInterrupt
        on_interrupt(signal.SIGINT, frame)

    main = threading.current_thread() is threading.main_thread()  # signals are its matter alone
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ends:
        signal.signal(number, interrupted)
    try:
        yield
    except KeyboardInterrupt:
        if sent:
            raise SystemExit(128 + sent) from None
        raise
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_DFL)
