"""What each kind of file says of itself."""

from __future__ import annotations

from proxy.apt import answers
from proxy.apt.answers import Dated
from proxy.model import Blob, Digest, Kind, Outcome, Source

SHA = Digest("sha256", "ab" * 32)
BLOB = Blob(SHA, 5, "/nowhere")
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_whole() -> None:
    """A Release file is to be asked for anew each time, and is never remembered."""
    shown = answers.whole(BLOB, SHA, Dated(DATE, only=True), Kind.RELEASE, Outcome.STALE, Source.CACHE)

    assert ("no-cache", DATE, True, 0.0, "apt") == (
        shown.cache_control,
        shown.last_modified,
        shown.dated,
        shown.fresh_until,
        shown.mount,
    )
    assert f'"sha256:{SHA.value}"' == shown.etag


def test_file() -> None:
    """A package lasts, and its date stands for it."""
    shown = answers.file(BLOB, None, Dated(DATE, only=True), Kind.FILE, Source.SHARED, lasting=True, fresh_until=5.0)

    assert "immutable" in shown.cache_control
    assert (Outcome.SHARED, f'"sha256:{SHA.value}"', True) == (shown.outcome, shown.etag, shown.dated)


def test_file__nothing_is_known_of_it() -> None:
    """Without a digest there is no tag; a date that cannot be sent stands for nothing."""
    dated = Dated("soon", only=True)
    shown = answers.file(b"", None, dated, Kind.INDEX, Source.UPSTREAM, lasting=False)  # type: ignore[arg-type]

    assert (None, None, False, "no-cache") == (shown.etag, shown.last_modified, shown.dated, shown.cache_control)
