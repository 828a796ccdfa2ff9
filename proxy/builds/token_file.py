"""The file with the admin token, which `setup` makes in the data folder of the cache that it starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from proxy.builds.changes import Changes
from proxy.control import admin_token


def make(data: Path, changes: Changes, say: Callable[[str], None]) -> None:
    """Have an admin token in the data folder, and say where. One that is there stays: people may use it.

    A folder that cannot be written is said, and is no failure: the cache works without a token.
    """
    path = data / admin_token.NAME
    try:
        if path.exists():
            say(f"the admin token of the cache's page is in {path}")
            return
        changes.write(path, f"{admin_token.fresh()}\n".encode(), "token", mode=0o600)
        if os.geteuid() == 0:  # the cache may be another user
            owner = data.stat()
            os.chown(path, owner.st_uid, owner.st_gid)
    except OSError as error:
        say(f"there is no admin token, since {path} cannot be written: {error.strerror}")
    else:
        say(f"wrote {path}: whoever has this token may delete, refresh and pin files on the cache's page")
