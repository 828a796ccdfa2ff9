"""Lists of hosts as people write them."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.config.hosts import Hosts, ListedHosts

_LIST: TypeAdapter[frozenset[str]] = TypeAdapter(Hosts)
_LISTED: TypeAdapter[frozenset[str]] = TypeAdapter(ListedHosts)


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
