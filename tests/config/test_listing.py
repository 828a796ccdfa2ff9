"""What `--print-config` shows."""

from __future__ import annotations

from pathlib import Path

from proxy.config import load, resolve
from proxy.config.listing import listing

_HOME = {"HOME": "/home/somebody"}
_TOML = (
    '[[upstream]]\nmount = "torch"\nurl = "http://files.example/"\nindex = ""\nhosts = ["b.example", "a.example:81"]\n'
)


def test_listing__names_each_origin(tmp_path: Path) -> None:
    """Every line ends with the place that its value came from, by the name that was written there."""
    file = tmp_path / "pullthrough.toml"
    file.write_text(_TOML, encoding="utf-8")
    flags = {"disk": "2 GB"}

    lines = listing(resolve(flags, {**_HOME, "PULLTHROUGH_FETCH_RETRIES": "0"}, tmp_path)).splitlines()

    told = [" ".join(line.split()) for line in lines if line]
    assert 'disk = "2 GB" # flag --disk' in told
    assert "retries = 0 # environment PULLTHROUGH_FETCH_RETRIES" in told
    assert "port = 3142 # default" in told
    assert f'mount = "torch" # file {file}: upstream' in told
    assert 'mount = "pypi" # default' in told
    assert (
        told.index("[fetch]")
        < told.index("retries = 0 # environment PULLTHROUGH_FETCH_RETRIES")
        < told.index("[serve]")
    )


def test_listing__is_a_settings_file(tmp_path: Path) -> None:
    """Saved and loaded, it gives the same settings, the built-in upstream written out."""
    (tmp_path / "pullthrough.toml").write_text(_TOML, encoding="utf-8")
    flags = {"disk": "12345", "fetch.connect_timeout": "500ms", "serve.idle_timeout": "2h", "page_limit": "3 KiB"}
    resolved = resolve(flags, _HOME, tmp_path)

    (tmp_path / "again.toml").write_text(listing(resolved), encoding="utf-8")

    assert resolved.settings.with_builtin() == load({"config": "again.toml"}, _HOME, tmp_path)
