"""What can go wrong, as one tree of exceptions.

No HTTP status is named here: one table of `proxy.web` turns a type into a status. Messages are for people: they say
what to do, and never repeat text that came with the request.
"""

from __future__ import annotations

from typing import Self


class PullthroughError(Exception):
    """The root of all that this program raises on purpose."""

    def again(self) -> Self:
        """The same failure as a new exception, to be remembered or raised a second time.

        The exception that was raised holds its traceback, and so the frames and bodies of the work that failed.
        """
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        return copy


class BadTarget(PullthroughError):
    """The address, or a header of the request, is malformed."""


class NotAllowed(PullthroughError):
    """The address is well formed, but the settings do not allow it."""


class NotFound(PullthroughError):
    """Upstream has no such project or file."""


class NotHere(NotFound):
    """The cache is offline and does not have it. Upstream may."""


class Withheld(NotFound):
    """Upstream answers 403 to a request without credentials. S3-like stores do so for missing keys; others mean it."""


class Forwarded(Withheld):
    """An index redirects a page to another host, whose pages do not count as its own.

    Some registries do so for projects that they do not have.
    """


class RangeNotSatisfiable(PullthroughError):
    """The requested range begins behind the end of the representation (RFC 9110 §14.1.2)."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes; the requested range begins behind its end.")
        self.size = size


class UpstreamError(PullthroughError):
    """Upstream could not be used. `reason` is a label of the metrics, from a closed set."""

    reason = "broken"


class UpstreamDenied(UpstreamError):
    """Upstream requires credentials, or refuses those of the request."""

    reason = "denied"


class ClientDenied(UpstreamDenied):
    """Upstream requires the client's own credentials, or refuses them."""


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, reset before an answer, name unknown, certificate not trusted."""

    reason = "unreachable"


class Offline(UpstreamUnreachable):
    """The setting `offline`: upstream is not asked. Not a failure of upstream, and counted as none."""


class ParentOffline(Offline):
    """The parent cache is offline, and does not have it."""


class NoDescriptor(UpstreamUnreachable):
    """The cache itself has no file descriptor left for a connection. The host has not failed."""


class UpstreamTimeout(UpstreamError):
    """Upstream accepted the request and then sent nothing for longer than the limit."""

    reason = "timeout"


class UpstreamThrottled(UpstreamError):
    """Upstream asks to be left alone for a while (429 or 503). `retry_after`: seconds, if it sent a usable header."""

    reason = "throttled"

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Crowded(UpstreamThrottled):
    """The cache itself has too many requests under way to a host. The host has not failed."""


class UpstreamBroken(UpstreamError):
    """A response that cannot be used: another 5xx, bad framing, a body cut short, too many redirects."""

    reason = "broken"


class Coded(UpstreamBroken):
    """A file came in a content coding that the request did not accept."""


# What is said of an upstream, and not of one address there.
TROUBLE = (UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable, UpstreamBroken)


class WrongBytes(UpstreamError):
    """The bytes that arrived do not have the digest of the index, or the length of the headers."""

    reason = "wrong_bytes"


class DigestDiffers(WrongBytes):
    """All bytes arrived, and their digest is not the one of the index."""


class Unsettled(UpstreamError):
    """Upstream is between two states of an apt suite: a file is not the one that the Release file lists."""

    reason = "unsettled"


class SnapshotForgotten(Unsettled):
    """The Release file that an apt client has is not known here any more. Only the client can help, by a new one."""


class TooLarge(UpstreamError):
    """An index page or metadata file is larger than the limit. Package files have no limit."""

    reason = "too_large"


class TooLargeAhead(UpstreamError):
    """A file is far larger than its page says, and no client waits for it yet. A client that asks gets it."""

    reason = "too_large"


class StoreError(PullthroughError):
    """The disk cannot be used for this. No client gets this error: the file is passed through instead."""


class StoreFull(StoreError):
    """No room within the setting `disk` or on the file system, and nothing that may be evicted."""


class TooManyDownloads(StoreError):
    """So many downloads are under way that one more got no place in time."""


class StoreBroken(StoreError):
    """Reading or writing failed: a read-only file system, an input/output error, a damaged index."""


class StoreRefused(StoreBroken):
    """The data folder cannot be used, and only a person can change that: no rights, in use, not a folder."""


class BlobDamaged(StoreError):
    """A stored file is missing or was changed. It has been dropped and may be fetched again."""


class WrongUsage(PullthroughError):
    """What was written on the command line cannot be meant. The text says what can."""
