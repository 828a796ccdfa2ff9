"""The places that settings come from."""

from __future__ import annotations

from pathlib import Path

from proxy.config.sources import ConfigSource, read_environment, read_file, read_flags


def test_source_name__as_it_was_written() -> None:
    """Each place has its own way to spell a setting."""
    path = ("fetch", "segment")

    assert "--fetch-segment" == ConfigSource("flag", {}).name(path)
    assert "PULLTHROUGH_FETCH_SEGMENT" == ConfigSource("environment", {}).name(path)
    assert "/etc/p.toml: fetch.segment" == ConfigSource("file", {}, "/etc/p.toml").name(path)
    assert "/etc/p.toml: upstream" == ConfigSource("file", {}, "/etc/p.toml").name(("upstreams",))
    assert "fetch.segment" == ConfigSource("default", {}).name(path)


def test_read_flags__only_those_given() -> None:
    """Flags that were not given leave no trace, and `--config` is no setting."""
    assert {"fetch": {"segment": "1"}} == read_flags({"port": None, "fetch.segment": "1", "config": "x"}).tree


def test_read_environment__known_names_in_upper_case() -> None:
    """Variables are spelt as documented; the tree has the settings' own names."""
    source, strays = read_environment(
        {"PULLTHROUGH_SERVE_LOG_FORMAT": "text", "pullthrough_port": "1", "PORT": "2", "PULLTHROUGH_CONFIG": "x"}
    )

    assert {"serve": {"log_format": "text"}} == source.tree
    assert [] == strays


def test_read_file__folder(tmp_path: Path) -> None:
    """What cannot be read says why."""
    source, errors = read_file(tmp_path)

    assert {} == source.tree
    assert [f"{tmp_path}: cannot be read: Is a directory"] == errors
