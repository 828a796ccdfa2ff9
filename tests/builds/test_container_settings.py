"""What a cache in a container reads, and what of this machine's settings it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds.container_settings import not_read, read
from proxy.config.loading import resolve

_GROUP = '[[group]]\nmount = "cuda"\nmembers = ["pypi"]\n'
_UPSTREAM = '[[upstream]]\nmount = "corp"\nurl = "https://corp.example/"\n'
_SETTINGS = f'disk = "1 TB"\nport = 4000\nparent = "http://hub.example"\nfetch.retries = 3\n{_UPSTREAM}'


def test_read__file_in_the_data_folder(tmp_path: Path) -> None:
    """Its groups are the container's; a file that is not there, or has errors, is no matter of setup's."""
    assert read(tmp_path) is None
    (tmp_path / "pullthrough.toml").write_text(_GROUP)
    found = read(tmp_path)
    assert found is not None
    assert ["cuda"] == [group.mount for group in found.groups]
    (tmp_path / "pullthrough.toml").write_text("dsk = 1")
    assert read(tmp_path) is None


@pytest.mark.parametrize(
    ("there", "override", "named"),
    [
        ("", "", "disk, parent, fetch.retries, [[upstream]], PULLTHROUGH_OFFLINE"),
        (f"disk = 1000000000\nfetch.retries = 1\n{_UPSTREAM}", "", "parent, PULLTHROUGH_OFFLINE"),
        ("", "environment: {PULLTHROUGH_CONFIG: /etc/p.toml}", "PULLTHROUGH_OFFLINE"),
        (_SETTINGS, "environment: [PULLTHROUGH_OFFLINE]", ""),
    ],
)
def test_not_read__names_and_place(tmp_path: Path, there: str, override: str, named: str) -> None:
    """Not what setup and compose.yaml hand on, nor what the container's own file has, nor what an override gives it."""
    data, file = tmp_path / "data", tmp_path / "pullthrough.toml"
    data.mkdir()
    file.write_text(_SETTINGS)
    (data / "pullthrough.toml").write_text(there)
    environ = {"HOME": str(tmp_path), "PULLTHROUGH_OFFLINE": "true", "PULLTHROUGH_PUBLIC_URL": "http://cache.example"}
    resolved = resolve({"data": str(data)}, environ, tmp_path)

    said = not_read(resolved, data, None, override)

    place = f"{data}/pullthrough.toml (docs/compose.md)"
    assert said == (f"the container does not read {named} of your settings: that belongs into {place}" if named else "")


def test_not_read__volume(tmp_path: Path) -> None:
    """A file in the folder is none of the container's then."""
    (tmp_path / "pullthrough.toml").write_text(_SETTINGS)
    resolved = resolve({"data": str(tmp_path)}, {}, tmp_path)

    assert "" == not_read(resolved, tmp_path, None, "")
    assert "belongs into a file that compose.override.yaml gives to it" in not_read(resolved, tmp_path, "volume", "")
