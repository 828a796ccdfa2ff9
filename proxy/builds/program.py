"""Another program that is asked something: run to its end, with what it says read, and no terminal.

Called by `docker_command`, `compose`, `service_units` and `warming.archives`, which know what a failure means.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def asked(words: Sequence[str], environ: Mapping[str, str], wait: float) -> subprocess.CompletedProcess[str]:
    """Run a program with these variables alone; its status and both outputs are in the result.

    `wait`: seconds. What is no UTF-8 is replaced. Raises OSError if it cannot be run, TimeoutExpired.
    """
    return subprocess.run(  # noqa: S603 - programs that the user runs, too
        list(words),
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=wait,
        check=False,
    )
