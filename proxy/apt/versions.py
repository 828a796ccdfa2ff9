"""Versions of Debian packages (deb-version(7)), as people write them and as names of files have them. Pure.

Those who look for what is stored, or for who got it, compare them here.
"""

from __future__ import annotations

import re

_EPOCH = re.compile(r"[0-9]+:")


def same(own: str, wanted: str) -> bool:
    """Whether both are one version. The epoch counts if both have it: files in a pool have none in their names."""
    if (_EPOCH.match(own) is None) == (_EPOCH.match(wanted) is None):
        return own == wanted
    return _EPOCH.sub("", own, count=1) == _EPOCH.sub("", wanted, count=1)
