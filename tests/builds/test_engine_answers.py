"""What the engine says of its containers and of its disk, in its forms old and new."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

from proxy.builds.engine_answers import CACHE_MOUNT, CacheRecord, read_container, read_time, read_usage

_MOUNT = {
    "ID": "m1",
    "Type": CACHE_MOUNT,
    "Size": 400,
    "InUse": False,
    "Shared": False,
    "Description": 'cached mount /var/cache/pip from exec /bin/sh -c pip install with id "/pullthrough-pip"',
}
_LAYER = {"ID": "l1", "Type": "regular", "Size": 30, "InUse": True, "Shared": True, "Description": "RUN true"}
_IMAGE = {"Id": "sha256:1", "RepoTags": ["app:latest"], "Size": 500}
_OLD = {"LayersSize": 900, "Images": [_IMAGE], "BuildCache": [_MOUNT, _LAYER], "Containers": [], "Volumes": []}
_NEW = {
    "ImageUsage": {"TotalSize": 900, "TotalCount": 1, "Items": [_IMAGE]},
    "BuildCacheUsage": {"TotalSize": 0, "TotalCount": 2, "Items": [_MOUNT, _LAYER]},
}


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


@pytest.mark.parametrize("answer", [_OLD, _NEW, _OLD | _NEW], ids=["before 1.52", "1.53", "both"])
def test_usage__fields_old_and_new(answer: dict[str, Any]) -> None:
    """Both forms of the answer say the same; the sum of the build cache is never taken from the engine."""
    usage = read_usage(answer)

    assert 900 == usage.image_layers
    assert [("app:latest",)] == [image.names for image in usage.images]
    assert [400, 30] == [record.size for record in usage.records]
    assert ["m1"] == [record.id for record in usage.records if record.kind == CACHE_MOUNT]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"LayersSize": 0, "Images": None, "BuildCache": None},
        {"ImageUsage": None, "BuildCacheUsage": {"Items": None}},
    ],
)
def test_usage__empty_engine(answer: dict[str, Any]) -> None:
    """Go writes null for an empty list."""
    usage = read_usage(answer)

    assert (0, (), ()) == (usage.image_layers, usage.images, usage.records)


@pytest.mark.parametrize(
    ("description", "mount", "own"),
    [
        ('cached mount /var/cache/pip from exec /bin/sh -c x with id "/pullthrough-pip"', "pullthrough-pip", True),
        ('cached mount /a from exec /bin/sh with id "pullthrough-apt"', "pullthrough-apt", True),
        ('cached mount /root/.cache from exec /bin/sh with id "other"', "other", False),
        ("cached mount /root/.cache/pip from exec /bin/sh -c pip install", None, False),
    ],
)
def test_record__id_of_a_cache_mount(description: str, mount: str | None, own: bool) -> None:
    """BuildKit tells the id of a mount only in its description, behind the namespace."""
    record = CacheRecord("1", CACHE_MOUNT, 1, in_use=False, shared=False, description=description)

    assert (mount, own) == (record.mount_id, record.own)


def test_record__a_layer_has_no_mount_id() -> None:
    """Whatever a RUN says."""
    layer = CacheRecord("1", "regular", 1, in_use=False, shared=False, description='RUN echo with id "pullthrough-x"')

    assert (None, False) == (layer.mount_id, layer.own)


@pytest.mark.parametrize(
    ("kind", "description", "name"),
    [
        (CACHE_MOUNT, 'cached mount /var/cache/pip from exec /bin/sh with id "/pullthrough-pip"', "pullthrough-pip"),
        (CACHE_MOUNT, "cached mount /root/.cache/pip from exec /bin/sh -c pip install", "/root/.cache/pip"),
        (CACHE_MOUNT, "of another form", "1"),
        ("regular", "cached mount /x from exec y", "1"),
    ],
)
def test_record__name_for_a_person(kind: str, description: str, name: str) -> None:
    """Engines such as 20.10 do not tell a mount's id, but where it is mounted."""
    assert name == CacheRecord("1", kind, 1, in_use=False, shared=False, description=description).name


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z", "yesterday"])
def test_time__none_that_is_one(text: str | None) -> None:
    """Go's zero time, and what is no time."""
    assert read_time(text) is None


def test_time__nanoseconds() -> None:
    """Go writes more digits than Python reads."""
    assert datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) == read_time("2026-01-02T03:04:05.999999999Z")
