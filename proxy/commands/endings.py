"""How verbs end: the exit status, and the line that says why one failed. Called by all of them but `serve`."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

from proxy.commands import output
from proxy.errors import PullthroughError, WrongUsage

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
