"""Hosts as people write them: where the server listens, what clients call it, which hosts others may have."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.hosts import Addresses, Hosts, ListedHosts, Names

_LIST: TypeAdapter[frozenset[str]] = TypeAdapter(Hosts)
_LISTED: TypeAdapter[frozenset[str]] = TypeAdapter(ListedHosts)
_ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Addresses)
_NAMES: TypeAdapter[frozenset[str]] = TypeAdapter(Names)


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
