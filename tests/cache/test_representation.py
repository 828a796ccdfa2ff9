"""What an answer says of a file."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from proxy.cache.flight import Flight
from proxy.cache.passthrough import Passthrough
from proxy.cache.representation import LASTING, Representation, last_modified_of, sha256_of
from proxy.events import Event
from proxy.model import Blob, Digest, Kind, Outcome, Source, Validator
from tests.cache.conftest import BODY, DATE, sha256, wanted
from tests.memory_upstream import MemoryUpstream

SHA = Digest("sha256", "ab" * 32)
BLOB = Blob(sha256(BODY), len(BODY), "/nowhere")


def of_file(
    *,
    digest: Digest | None = None,
    outcome: Outcome | None = None,
    last_modified: str | None = None,
    dated: bool = False,
    source: Source = Source.CACHE,
) -> Representation:
    """A wheel."""
    return Representation.of_file(
        BLOB,
        kind=Kind.FILE,
        mount="pypi",
        source=source,
        digest=digest,
        cache_control=LASTING,
        outcome=outcome,
        last_modified=last_modified,
        dated=dated,
    )


def test_of_file__digest_is_its_etag() -> None:
    """In whatever algorithm it is known; without one there is no ETag."""
    assert ['"md5:00"', None] == [of_file(digest=digest).etag for digest in (Digest("md5", "00"), None)]


@pytest.mark.parametrize(
    ("source", "outcome"),
    [(Source.CACHE, Outcome.HIT), (Source.SHARED, Outcome.SHARED), (Source.UPSTREAM, Outcome.MISS)],
)
def test_of_file__outcome(source: Source, outcome: Outcome) -> None:
    """Where the bytes come from tells how the answer came about, unless more is known."""
    assert outcome is of_file(source=source).outcome
    assert Outcome.STALE is of_file(source=source, outcome=Outcome.STALE).outcome


@pytest.mark.parametrize(
    ("last_modified", "dated", "expected"),
    [
        (DATE, True, (DATE, True)),
        (DATE, False, (DATE, False)),
        ("soon", True, (None, False)),
        (None, True, (None, False)),
    ],
)
def test_of_file__date(last_modified: str | None, dated: bool, expected: tuple[str | None, bool]) -> None:
    """A date that cannot be sent stands for nothing."""
    shown = of_file(last_modified=last_modified, dated=dated)
    assert expected == (shown.last_modified, shown.dated)


@pytest.mark.parametrize(
    ("promised", "expected"),
    [(SHA, SHA), (Digest("sha512", "cd" * 64), None), (Digest("md5", "00"), None), (None, None)],
)
async def test_sha256_of(promised: Digest | None, expected: Digest | None) -> None:
    """What is stored has it; of what is on its way, an index may have promised it."""
    assert expected == sha256_of(Flight(wanted()), promised)
    assert BLOB.digest == sha256_of(BLOB, promised)


async def test_last_modified_of__each_kind_of_body(upstream: MemoryUpstream) -> None:
    """What upstream just said comes before what was stored."""
    flight, passthrough = Flight(wanted()), Passthrough(upstream, wanted(), list[Event]().append)
    flight.validator, passthrough.last_modified = Validator(None, "of the flight"), "of the passthrough"
    bodies = (flight, passthrough, BLOB)
    assert ["of the flight", "of the passthrough", DATE] == [last_modified_of(body, DATE) for body in bodies]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, sha256(BODY).value),
        ({"body": b"page"}, None),
        ({"body": b"whole", "etag": f'"sha256:{SHA.value}"'}, SHA.value),
        ({"body": b"whole", "etag": '"md5:00"'}, None),
        ({"body": b"page", "etag": f'"sha256:{SHA.value}"', "kind": Kind.PAGE}, None),
    ],
)
def test_sha256(changes: dict[str, Any], expected: str | None) -> None:
    """That of a stored file, or the one that is promised of a file on its way."""
    assert expected == structs.replace(of_file(), **changes).sha256
