"""Whether what a lock file locks may be installed in an environment, by its markers (PEP 508, 751). Pure.

Which extras and groups a build takes is not known here: any of them may be. So a part of a marker that asks for one
holds, and so does one that asks for its absence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName

_ALWAYS = 'os_name != "-"'
_TEXT = r"(?:\"[^\"]*\"|'[^']*')"
_OF_CHOICE = r"(?:extras?|dependency_groups)\b"
_CHOICE = re.compile(
    rf"\b{_OF_CHOICE}\s*(?:[=!<>~]=?=?|(?:not\s+)?in\b)\s*{_TEXT}|{_TEXT}\s*(?:[=!]==?|(?:not\s+)?in\b)\s*{_OF_CHOICE}"
)


def may_hold(marker: str | None, variables: Mapping[str, str]) -> bool:
    """Whether a marker holds for some choice of extras and groups. None: there is no condition.

    Raises packaging's InvalidMarker.
    """
    if not marker:
        return True
    try:
        return _read(widened(marker)).evaluate(dict(variables), "lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName):
        return True  # rather one too many


def widened(marker: str) -> str:
    """The marker with each question for an extra or a group answered with yes."""
    return _CHOICE.sub(_ALWAYS, marker)


@lru_cache(maxsize=4096)
def _read(marker: str) -> Marker:
    return Marker(marker)
