"""`python -m proxy` is the command `pullthrough`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line.

    The collector waits until that is loaded, which makes very many objects that stay: looking at them again and again
    took a fifth of the start. Whatever runs longer than a moment turns it on again (`commands/endings`, `serve`).
    """
    gc.disable()
    from proxy.cli import main as command_line  # noqa: PLC0415 - see above

    command_line()


if __name__ == "__main__":
    main()
