"""`python -m proxy` is the command `pullthrough`: the command line, and the standard streams that it has.

Whoever starts it may have closed them (`>&-`), and what they lead to may be full.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys

_OUTPUT = "standard output"


def main() -> None:
    """Run the command line.

    The collector waits until that is loaded, which makes very many objects that stay: looking at them again and again
    took a fifth of the start. Whatever runs longer than a moment turns it on again (`commands/endings`, `serve`).
    """
    gc.disable()
    _open_streams()
    from proxy.cli import main as command_line  # noqa: PLC0415 - see above

    try:
        try:
            command_line()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename == _OUTPUT:
            _say(f"{_OUTPUT}: {error.strerror}.")
        elif not isinstance(error, BrokenPipeError):
            raise
        sys.exit(1)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"pullthrough: {line}", file=sys.stderr)  # noqa: T201 - it is the command's output


class _Output(io.TextIOWrapper):
    """Standard output: its errors name it, so that nobody looks for them in the data folder.

    After one the rest goes nowhere: the end of the process writes once more what is left.
    """

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _lost(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _lost(error) from error


def _lost(error: OSError) -> OSError:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return error if isinstance(error, BrokenPipeError) else OSError(error.errno, error.strerror, _OUTPUT)


def _open_streams() -> None:
    """Have all three standard streams. One that is closed is empty, and takes everything.

    Else the next file that is opened would be it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        before = sys.stdout
        buffering, through = before.line_buffering, before.write_through
        # Names are of all scripts, also where the user's encoding is of one.
        encoding, errors = before.encoding, "backslashreplace" if before.errors == "strict" else before.errors
        sys.stdout = _Output(before.detach(), encoding, errors, line_buffering=buffering, write_through=through)


if __name__ == "__main__":
    main()
