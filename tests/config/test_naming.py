"""The names of settings."""

from __future__ import annotations

import pytest

from proxy.config.naming import (
    LISTS,
    file_keys,
    flag,
    key,
    nearest,
    nearest_variable,
    settings_fields,
    variable,
    variables,
)


def test_names__follow_from_the_path() -> None:
    """One path gives the key, the flag and the variable."""
    path = ("fetch", "connect_timeout")

    assert "fetch.connect_timeout" == key(path)
    assert "--fetch-connect-timeout" == flag(path)
    assert "PULLTHROUGH_FETCH_CONNECT_TIMEOUT" == variable(path)


def test_names__are_unique() -> None:
    """No two settings share a flag or a variable."""
    paths = [path for path, _ in settings_fields()]

    assert len(paths) == len({flag(path) for path in paths}) == len({variable(path) for path in paths})


def test_variables__of_settings_and_lists() -> None:
    """Those of tables within tables, and those of the lists."""
    assert {"PULLTHROUGH_PORT", "PULLTHROUGH_FETCH_SEGMENT", "PULLTHROUGH_UPSTREAMS"} <= variables()
    assert "PULLTHROUGH_CONFIG" not in variables()


def test_settings_fields__all_are_explained() -> None:
    """Each setting has a sentence."""
    assert [] == [key(path) for path, field in settings_fields() if not (field.description or "").endswith(".")]


@pytest.mark.parametrize(
    ("word", "table", "meant"),
    [
        ("prot", (), "port"),
        ("upstreem", (), "upstream"),
        ("log_format", (), "serve.log_format"),
        ("conections", ("fetch",), "connections"),
        ("mnt", ("upstream",), "mount"),
        ("sibling", ("upstream",), "siblings"),
        ("credential", ("upstream",), "credentials"),
        ("groups", (), "group"),
        ("member", ("group",), "members"),
        ("pinns", ("group",), "pins"),
        ("siblings", ("group",), None),
        ("zebra", (), None),
    ],
)
def test_nearest__misspelt_key(word: str, table: tuple[str, ...], meant: str | None) -> None:
    """A slip finds its setting, in the same table or where the word belongs."""
    assert meant == nearest(word, table)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("PULLTHROUGH_DISC", "PULLTHROUGH_DISK"),
        ("PULLTHROUGH_GROUP", "PULLTHROUGH_GROUPS"),
        ("PULLTHROUGH_UPSTREAM", "PULLTHROUGH_UPSTREAMS"),
        ("PULLTHROUGH_SERVICE_PORT", None),
        ("PULLTHROUGH_", None),
    ],
)
def test_nearest_variable__misspelt(word: str, meant: str | None) -> None:
    """A slip finds its variable; what somebody else named is let be."""
    assert meant == nearest_variable(word)


def test_file_keys__tables() -> None:
    """The list is `[[upstream]]` in the file."""
    assert {"upstream", "fetch", "serve", "port"} <= set(file_keys(()))
    assert ["threads", "idle_timeout", "connections", "log_format", "log_size"] == file_keys(("serve",))
    assert {"mount", "url", "index", "ttl", "hosts"} <= set(file_keys(("upstream",)))
    assert ["mount", "members", "pins"] == file_keys(("group",))


def test_lists__entries_are_explained() -> None:
    """Each key of an upstream and of a group has a sentence, and a name that a file can have."""
    assert {"upstreams", "groups", "archives", "warms"} == set(LISTS)
    assert [] == [
        f"{table}.{name}"
        for table, model in LISTS.values()
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
