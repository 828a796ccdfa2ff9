"""How verbs end that look after a store: the exit status, and the line that says why one failed.

Called by `stats`, `clean` and `verify`.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.commands import output
from proxy.errors import PullthroughError

DONE = 0
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class WrongUsage(Exception):
    """What was written on the command line cannot be meant. The text says why."""


def ended(work: Callable[[], int]) -> int:
    """The exit status of `work`, or of its failure, which is said in one line on standard error."""
    try:
        return work()
    except WrongUsage as error:
        output.say(str(error))
        return WRONG_USAGE
    except PullthroughError as error:
        output.say(str(error))
        return FAILED
    except BrokenPipeError:
        raise  # whoever read the output has read enough; the command line's library ends such a process
    except OSError as error:
        output.say(f"{error.filename or 'the data folder'}: {error.strerror or type(error).__name__}.")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
