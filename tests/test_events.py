"""Events: all of them are counted or logged, and none can be changed by whoever is told."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from msgspec import structs

from proxy import events
from proxy.events import Event

_CLASSES = [value for _, value in inspect.getmembers(events, inspect.isclass) if value.__module__ == events.__name__]


def test_event__is_any_of_them() -> None:
    """The union has every class of the module: `metrics` matches it to the end."""
    assert set(_CLASSES) == set(get_args(Event))


@pytest.mark.parametrize("kind", _CLASSES)
def test_event__is_frozen(kind: type) -> None:
    """Several observers are told of the same value."""
    fields = structs.fields(kind)
    event = kind(*(None for field in fields if field.required))

    with pytest.raises(AttributeError, match="immutable"):
        setattr(event, fields[0].name, None)
