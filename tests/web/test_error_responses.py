"""Which status an error has."""

from __future__ import annotations

import pytest

from proxy import errors
from proxy.web.error_responses import STATUSES, error_response


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BadTarget("x"), 400),
        (errors.NotAllowed("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.RangeNotSatisfiable(7), 416),
        (errors.UpstreamDenied("x"), 502),
        (errors.WrongBytes("x"), 502),
        (errors.TooLarge("x"), 502),
        (errors.UpstreamUnreachable("x"), 502),
        (errors.UpstreamBroken("x"), 502),
        (errors.UpstreamThrottled("x"), 503),
        (errors.Unsettled("x"), 503),
        (errors.UpstreamTimeout("x"), 504),
        (errors.StoreFull("x"), 503),
    ],
)
def test_error_response(error: errors.PullthroughError, status: int) -> None:
    """Each error has its status, and a short text that is not cached."""
    answer = error_response(error)
    assert (status, "no-store", f"{error}\n") == (answer.status, answer.headers["Cache-Control"], answer.text)


def test_status_of__knows_every_error() -> None:
    """All errors of the tree have a status, but its root, and what only the command line raises."""
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    without = [kind for kind in kinds if not any(base in STATUSES for base in kind.__mro__)]
    assert {errors.PullthroughError, errors.WrongUsage} == set(without)


def test_error_response__helps_a_program() -> None:
    """416 has the size, and 503 the time for the next attempt."""
    assert error_response(errors.RangeNotSatisfiable(7)).headers["Content-Range"] == "bytes */7"
    assert error_response(errors.UpstreamThrottled("x", 17)).headers["Retry-After"] == "17"
    assert int(error_response(errors.UpstreamThrottled("x")).headers["Retry-After"]) > 0


def test_error_response__offline() -> None:
    """A cache that asks this one is told that upstream was not asked (RFC 9211)."""
    assert "pullthrough; detail=offline" == error_response(errors.NotHere("x")).headers["Cache-Status"]
    assert "Cache-Status" not in error_response(errors.NotFound("x")).headers


@pytest.mark.parametrize(
    "error", [errors.UpstreamBroken("x"), errors.UpstreamThrottled("x"), errors.UpstreamTimeout("x")]
)
def test_error_response__final(error: errors.PullthroughError) -> None:
    """apt goes on after a 5xx with a body, so there is none: the text is in a header, and in the status line."""
    answer = error_response(error, in_status_line=True, final=True)

    assert (None, "x", True) == (answer.body, answer.headers["X-Error"], answer.reason.endswith(" (x)"))


def test_error_response__final_all_the_same() -> None:
    """apt fails after any 4xx, so it keeps its body."""
    answer = error_response(errors.NotFound("x"), in_status_line=True, final=True)

    assert ("x\n", "Not Found (x)") == (answer.text, answer.reason)


def test_error_response__one_line() -> None:
    """The reason phrase is short, and one line of ASCII."""
    answer = error_response(errors.NotAllowed("a\nb § " + "c" * 1000), in_status_line=True)

    assert answer.reason.isascii()
    assert answer.reason.startswith("Forbidden (a b ? c")
    assert len(answer.reason) < 300
