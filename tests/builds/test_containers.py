"""Containers, as the engine lists them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from proxy.builds.containers import read_container


@pytest.mark.parametrize(
    ("source", "folder", "has"),
    [
        ("/home/me/.docker-cache", "/home/me/.docker-cache", True),
        ("/home/me", "/home/me/.docker-cache", True),
        ("/host_mnt/Users/me/.docker-cache", "/Users/me/.docker-cache", True),
        ("/home/me/.docker-cache/index", "/home/me/.docker-cache", False),
        ("/home/me/.docker", "/home/me/.docker-cache", False),
        ("", "/home/me/.docker-cache", False),
    ],
)
def test_container__has_a_folder_of_the_host(source: str, folder: str, has: bool) -> None:
    """Itself or one above; Docker Desktop puts its own folder before the host's."""
    container = read_container({"Id": "1", "Mounts": [{"Type": "bind", "Source": source, "Destination": "/data"}]})

    assert has is container.has(PurePosixPath(folder))


@pytest.mark.parametrize(
    "listed",
    [
        {"Id": "1"},
        {"Id": "1", "Names": None, "Labels": None, "Mounts": None, "Ports": None, "NetworkSettings": None},
        {"Id": "1", "NetworkSettings": {"Networks": {"gone": None}}, "Ports": [{"PrivatePort": 80, "Type": "tcp"}]},
    ],
)
def test_container__little_is_said(listed: dict[str, Any]) -> None:
    """Go writes null for what is empty; a port that is not published is none of the machine's."""
    container = read_container(listed)

    assert ("", "", {}, (), (), {}) == (
        container.name,
        container.image,
        container.labels,
        container.mounts,
        container.ports,
        container.networks,
    )
