"""How people write each kind of value, and how it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config.field_types import (
    Addresses,
    Hosts,
    ListedHosts,
    Names,
    Size,
    metavar,
    read_duration,
    read_size,
    show_duration,
    show_size,
    shown,
    shown_default,
)
from proxy.config.groups import GroupSettings
from proxy.config.naming import key, settings_fields
from proxy.config.upstreams import UpstreamSettings

_LIST: TypeAdapter[frozenset[str]] = TypeAdapter(Hosts)
_LISTED: TypeAdapter[frozenset[str]] = TypeAdapter(ListedHosts)
_ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Addresses)
_NAMES: TypeAdapter[frozenset[str]] = TypeAdapter(Names)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("30s", 30.0),
        ("10m", 600.0),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("500ms", 0.5),
        (7, 7.0),
        (0.5, 0.5),
    ],
)
def test_read_duration__every_unit(text: object, seconds: float) -> None:
    """A unit multiplies; a bare number is seconds."""
    assert seconds == read_duration(text)


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5s", "1e3", "nan", "1:30", True, None, float("inf"), [5]])
def test_read_duration__nonsense(text: object) -> None:
    """Anything else is refused with an example of what to write."""
    with pytest.raises(ValueError, match="such as 30s"):
        read_duration(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(100 * 10**9, "100 GB"), (16 * 2**20, "16 MiB"), (50 * 2**30, "50 GiB"), (1234, "1234"), (0, "0")],
)
def test_show_size__exact_units(size: int, text: str) -> None:
    """The shortest form that is exact is chosen."""
    assert text == show_size(size)


@given(st.integers(min_value=1, max_value=2**60))
def test_show_size__is_read_back(size: int) -> None:
    """What is shown means the same number when it is read."""
    assert size == TypeAdapter(Size).validate_python(show_size(size))


@pytest.mark.parametrize("size", ["1,5 TB", "1,000 GB", "20GB/day", "1.5.0 GB", ".", "", "GB", True])
def test_read_size__no_size(size: object) -> None:
    """What a person may mean otherwise is refused: another separator must not make a byte of terabytes."""
    with pytest.raises(ValueError, match="must be a size such as"):
        read_size(size)


@pytest.mark.parametrize(
    ("text", "size"), [("1.5TB", 1.5e12), (" 20 GB ", 2e10), (".5 MiB", 1 << 19), ("7", 7), (7, 7)]
)
def test_read_size(text: object, size: float) -> None:
    """Units with or without a space, and bytes."""
    assert size == TypeAdapter(Size).validate_python(text)


@given(st.integers(min_value=0, max_value=10**6))
def test_show_duration__is_read_back(seconds: int) -> None:
    """What is shown means the same time when it is read."""
    assert seconds == read_duration(show_duration(seconds))


@pytest.mark.parametrize("given", ["A.example, b.example:81,", ["a.example", "B.example:81"]])
def test_listed_hosts__text_or_list(given: object) -> None:
    """A text with commas is as good as a list; names are compared in lower case."""
    assert {"a.example", "b.example:81"} == _LISTED.validate_python(given)


def test_listed_hosts__none() -> None:
    """An empty text is an empty list."""
    assert frozenset() == _LISTED.validate_python("")


@pytest.mark.parametrize("given", ["https://a.example/", "a.example/path", "a b", "a.example:", "::1", "\n", [""], [7]])
def test_listed_hosts__no_host(given: object) -> None:
    """An address, a path or a bare IPv6 address is none."""
    with pytest.raises(ValidationError):
        _LISTED.validate_python(given)


def test_hosts__no_text() -> None:
    """Where only the file can give it, a list is a list."""
    with pytest.raises(ValidationError):
        _LIST.validate_python("a.example")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.0.0.1, ::1,", ("127.0.0.1", "::1")),
        (["10.0.0.7", "localhost"], ("10.0.0.7", "localhost")),
        ("::,0.0.0.0,::", ("::", "0.0.0.0")),
        ("fe80::1%eth0", ("fe80::1%eth0",)),
    ],
)
def test_addresses(given: object, expected: tuple[str, ...]) -> None:
    """A list, or a text with commas; the order stays, and nothing is there twice."""
    assert expected == _ADDRESSES.validate_python(given)


@pytest.mark.parametrize("given", ["", ",", [], "127.0.0.1:80", "a,b c", "http://a", "a/b", [7], 7, "a\n"])
def test_addresses__none(given: object) -> None:
    """A port, a scheme or a path does not belong there; one address has to be."""
    with pytest.raises(ValidationError):
        _ADDRESSES.validate_python(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", frozenset()), ("Cache.Example., cache", {"cache.example", "cache"}), (["a_1.example"], {"a_1.example"})],
)
def test_names(given: object, expected: frozenset[str]) -> None:
    """They are compared in lower case, without the dot of the root."""
    assert expected == _NAMES.validate_python(given)


@pytest.mark.parametrize("given", ["cache:80", "http://cache", "a/b", "*.example", ["a b"], "::1"])
def test_names__none(given: object) -> None:
    """A port, an address of IPv6 or a pattern is no name."""
    with pytest.raises(ValidationError):
        _NAMES.validate_python(given)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("hosts", frozenset({"b", "a"}), ["a", "b"]),
        ("siblings", ("b", "a"), ["b", "a"]),
        ("ttl", 600.0, "10m"),
        ("keep_removed", True, True),
        ("kind", "flat", "flat"),
        ("credentials", "", ""),
    ],
)
def test_shown__values_of_an_upstream(name: str, value: object, expected: object) -> None:
    """A value is shown as it would be written in the file; what has an order keeps it."""
    assert expected == shown(value, UpstreamSettings.model_fields[name])


def test_shown__pins() -> None:
    """A table stays one."""
    assert {"a*": "pypi"} == shown({"a*": "pypi"}, GroupSettings.model_fields["pins"])


@pytest.mark.parametrize(
    ("name", "written", "default"),
    [
        ("port", "NUMBER", "`3142`"),
        ("disk", "SIZE", "`100 GB`"),
        ("fetch.connect_timeout", "TIME", "`10s`"),
        ("data", "FOLDER", "`pullthrough` in"),
        ("serve.log_format", "json|text", "`json`"),
        ("apt.announce", "true|false", "`false`"),
        ("apt.user_agent", "TEXT", "`Debian APT"),
        ("apt.hosts", "HOSTS", "(none)"),
        ("apt.paths", "PATTERNS", "(none)"),
        ("host", "ADDRESSES", "`127.0.0.1`"),
        ("names", "NAMES", "(none)"),
        ("proxy", "ADDRESS", "`environment`"),
    ],
)
def test_form__of_a_setting(name: str, written: str, default: str) -> None:
    """What `--help` calls a value, and how the default is written, follow from the field."""
    (field,) = (field for path, field in settings_fields() if key(path) == name)

    assert written == metavar(field)
    assert shown_default(field).startswith(default)


def test_shown_default__none() -> None:
    """What has to be given has no default."""
    assert "(required)" == shown_default(UpstreamSettings.model_fields["url"])
