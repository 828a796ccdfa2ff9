"""Markers hold for whatever extras and groups a build takes."""

from __future__ import annotations

import pytest
from packaging.markers import InvalidMarker

from proxy.warming.conditions import may_hold
from proxy.warming.platforms import wanted

(LINUX,) = wanted(["linux"], ["3.12"])


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        (None, True),
        ("", True),
        ("python_version < '3.10'", False),
        ("sys_platform == 'linux' and extra == 'all'", True),
        ("sys_platform == 'win32' and extra == 'all'", False),
        ("extra != 'extra-3-own-gpu' and sys_platform == 'linux'", True),
        ("'dev' in dependency_groups", True),
        ("'dev' not in dependency_groups and os_name == 'nt'", False),
        ("'gpu' in extras or os_name == 'nt'", True),
        ("extra in 'a b'", True),
        ("platform_release >= 'x' and platform_release == 'y'", False),
    ],
)
def test_may_hold(marker: str | None, holds: bool) -> None:
    """The rest of a marker decides: what an extra needs on Windows is no matter on Linux."""
    assert holds is may_hold(marker, LINUX.environment.markers)


def test_may_hold__no_marker() -> None:
    """What is none is not taken for one."""
    with pytest.raises(InvalidMarker):
        may_hold("nonsense !", LINUX.environment.markers)
