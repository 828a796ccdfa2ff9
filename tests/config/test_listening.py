"""Where the server listens, and what clients call it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.listening import Addresses, Names

_ADDRESSES: TypeAdapter[tuple[str, ...]] = TypeAdapter(Addresses)
_NAMES: TypeAdapter[frozenset[str]] = TypeAdapter(Names)


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
