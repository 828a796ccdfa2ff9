"""How often clients got which files, as far as the history goes back. Read only; all calls block.

Called by `control`, in a thread, for those who look at what is stored.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from proxy.history.database import NAME, reading

_ALL = """
SELECT files.upstream, files.name, sum(requests.requests) FROM requests JOIN files ON files.id = requests.file
GROUP BY requests.file
"""
_NAMED = """
SELECT files.upstream, files.name, sum(requests.requests) FROM json_each(?) AS wanted
JOIN files ON files.upstream = json_extract(wanted.value, '$[0]') AND files.name = json_extract(wanted.value, '$[1]')
JOIN requests ON requests.file = files.id GROUP BY files.id
"""


def demand(folder: Path, names: Iterable[tuple[str, str]] | None = None) -> dict[tuple[str, str], int]:
    """How often clients got each of these files (upstream, name), or all files. Empty where there is no history.

    Another process may be writing meanwhile. Raises sqlite3.Error: of the name SQLITE_INTERRUPT where there are too
    many for an answer in time.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    with contextlib.closing(reading(path)) as connection:
        rows = connection.execute(_ALL) if names is None else connection.execute(_NAMED, (json.dumps([*names]),))
        found: Counter[tuple[str, str]] = Counter()
        for upstream, name, count in rows:  # a name has a row for each digest that it had
            found[upstream, name] += count
        return found
