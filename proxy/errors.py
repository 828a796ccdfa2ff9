"""What can go wrong, as one tree of exceptions.

No HTTP status is named here: `proxy.web` turns a type into a status by one table, so that the rules below it stay
free of the protocol of the edge. Messages are for the person who reads them: they say what to do, and they never
repeat text that came with the request.
"""

from __future__ import annotations

from typing import Self


class PullthroughError(Exception):
    """Root of everything this program raises on purpose."""

    def again(self) -> Self:
        """The same failure as a new exception, to be kept or raised a second time.

        The one that was raised holds its traceback, and with it the frames and bodies of the work that failed.
        """
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        return copy


class BadTarget(PullthroughError):
    """The address, or a header of the request, is malformed."""


class NotAllowed(PullthroughError):
    """The address is well formed, but the settings do not open it."""


class NotFound(PullthroughError):
    """Upstream says that there is no such project or file."""


class Withheld(NotFound):
    """Upstream refuses (403) a stranger something. Stores of objects say so of what is not there; others mean it."""


class Forwarded(Withheld):
    """An index sends a page's reader on to another host, whose word is not its own. It says so of strangers, too."""


class RangeNotSatisfiable(PullthroughError):
    """The range asked for begins behind the end of the representation (RFC 9110 §14.1.2)."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes; the range asked for begins behind its end.")
        self.size = size


class UpstreamError(PullthroughError):
    """Upstream could not be used. `reason` is a short word of a closed set, for the metrics."""

    reason = "broken"


class UpstreamDenied(UpstreamError):
    """Upstream wants credentials, or refuses those it was given."""

    reason = "denied"


class ClientDenied(UpstreamDenied):
    """The same of what a client itself said of who it is, or did not say."""


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, reset before an answer, name unknown, certificate not trusted."""

    reason = "unreachable"


class UpstreamTimeout(UpstreamError):
    """Upstream accepted the request and then said nothing for longer than the limit."""

    reason = "timeout"


class UpstreamThrottled(UpstreamError):
    """Upstream asks to come back later (429 or 503). `retry_after` is upstream's header, if it sent a usable one."""

    reason = "throttled"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crowded(UpstreamThrottled):
    """The cache itself has too many requests under way to a host. It says nothing of that host."""


class UpstreamBroken(UpstreamError):
    """An answer that cannot be used: another 5xx, bad framing, a body cut short, too many redirects."""

    reason = "broken"


class Coded(UpstreamBroken):
    """A file came in a content coding that was not asked for."""


class WrongBytes(UpstreamError):
    """The bytes that arrived are not those that the index or the headers promised."""

    reason = "wrong_bytes"


class Unsettled(UpstreamError):
    """Upstream is between two states of an apt suite: what it sends is not what its Release file lists."""

    reason = "unsettled"


class TooLarge(UpstreamError):
    """An index page or metadata file beyond the bound; files of packages have none."""

    reason = "too_large"


class StoreError(PullthroughError):
    """The disk cannot be used for this. Never an answer to a client: the file is served past the store."""


class StoreFull(StoreError):
    """No room below the bound, or on the file system, and nothing that may be evicted."""


class NoPlace(StoreError):
    """So many downloads are under way that one more found no place in time."""


class StoreBroken(StoreError):
    """Reading or writing failed: read-only file system, input/output error, damaged index."""


class StoreRefused(StoreBroken):
    """The data folder cannot be used as it is, and only a person can change that: no rights, in use, a file there."""


class BlobDamaged(StoreError):
    """A stored file is missing, or is not what was stored. It has been dropped and may be fetched again."""
