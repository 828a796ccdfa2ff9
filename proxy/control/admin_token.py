"""The admin token: who has it may change what is stored, over the network. A file of the data folder has it.

`setup` makes it; without the file nobody can change anything. It is read each time that somebody shows one, so a new
file counts at once, and the old token no longer. All calls block.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from proxy.errors import PullthroughError

NAME = "admin-token"
_BYTES = 32  # of randomness
_LEAST = 20  # characters
_MOST = 1024  # bytes of the file
_WHERE = f"the file {NAME} in the data folder has it"


class TokenRefused(PullthroughError):
    """Whoever asks may not change what is stored. The text says why, and what to do."""


def fresh() -> str:
    """A new token."""
    return secrets.token_urlsafe(_BYTES)


def check(folder: Path, given: str) -> None:
    """Raise TokenRefused unless `given` is the token of this data folder."""
    if not given:
        raise TokenRefused(f"This takes the admin token: {_WHERE}.")
    token = _read(folder)
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token):
        raise TokenRefused(f"This is not the admin token of this cache, or not any more: {_WHERE}.")


def _read(folder: Path) -> bytes:
    """The token. Raises TokenRefused."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise TokenRefused(
            "This cache has no admin token, so nothing can be changed from here. Make one with: pullthrough setup"
        ) from None
    except OSError as error:
        raise TokenRefused(f"The file {NAME} in the data folder cannot be read: {error.strerror}.") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise TokenRefused(
                f"Others than its user may read the file {NAME} in the data folder, so it does not count. "
                "Make a new one, with mode 0600."
            )
        token = os.read(descriptor, _MOST).strip()
    except OSError as error:
        raise TokenRefused(f"The file {NAME} in the data folder cannot be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    if len(token) < _LEAST:
        raise TokenRefused(f"The token in the file {NAME} is too short: it needs {_LEAST} characters. Make a new one.")
    return token
