"""What the services need from the outside, as contracts. Adapters implement them; tests have in-memory ones.

`Store` and `Spool` are the disk, `Upstream` and `Reply` the network, `Observer` the metrics and the access log, `Clock`
the time. Methods without `async` are short and may be called on the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from proxy.config.proxies import Proxy
from proxy.events import Event, Served
from proxy.model import Blob, Digest, Entry, Part, UpstreamRequest, Validator
from proxy.user_agent import UserAgent


class Clock(Protocol):
    """`now` is wall time, in seconds since the epoch, and may jump. `monotonic` never goes back: for durations.

    What is stored, sent or counted has its times from here. Limits of sockets and threads are those of the event loop
    and the operating system.
    """

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class Observer(Protocol):
    """Gets every event. It never raises, and never blocks."""

    def __call__(self, event: Event, /) -> None: ...


P = TypeVar("P")


class AnswerObserver(Observer, Protocol[P]):
    """An observer that is told in short of an answer that the cache gives again and again.

    What is the same each time is worked out once. It comes to the same as an event each time, which has the client,
    the seconds and the program that are told.
    """

    def prepare(self, event: Served) -> P:
        """What is the same whenever this answer is sent again, in as few objects as can be (ADR 33).

        All of such an answer comes from the cache and leaves at once: its first byte is its last.
        """
        ...

    def again(self, prepared: P, when: float, client: str, seconds: float, agent: UserAgent, /) -> None:
        """It was sent again. `when`: seconds since the epoch."""
        ...


class Reply(Protocol):
    """A response of upstream whose head has arrived: status is 200, 206, 304 or 416, never another.

    `url` is the address that answered, after redirects. `headers` has lower-case names. What they say of the body is
    parsed once: `part` is the range of a 206, and the one that was asked for; None for other statuses. `size` is the
    length of the whole representation in bytes, as it is sent; None where upstream does not say it. `validator` tells
    versions of the representation apart.

    `chunks` gives the body as it comes, never decoded. It raises `UpstreamBroken` when the body ends before its framing
    says so, and `UpstreamTimeout` when it stalls. The adapter reports bytes to the observer as they arrive.
    """

    status: int
    url: str
    headers: dict[str, str]
    part: Part | None
    size: int | None
    validator: Validator

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes of the body into `buffer`, as soon as any arrive. 0 at the end.

        A body is read either by `chunks` or by this. Raises what `chunks` raises.
        """
        ...


class Credentials(Protocol):
    """The cache's own credentials for upstreams. No implementation shows any in its `repr`."""

    def authorization(self, mount: str, url: str) -> str | None:
        """The `Authorization` of a request of `url` for this mount (RFC 9110 §11.6.2); None: it has none."""
        ...

    async def renewed(self, mount: str, url: str, refused: str | None) -> str | None:
        """Look for other credentials, since upstream refused these. None: there are no others."""
        ...

    def hosts(self, mount: str) -> frozenset[str]:
        """The hosts (`host`, `host:port`), other than the base's, that the settings name and that have credentials."""
        ...


class Proxies(Protocol):
    """Which requests go to upstream through a proxy."""

    def proxy(self, mount: str, url: str) -> Proxy | None:
        """The proxy for a request of `url` for this mount; None: it goes to upstream directly."""
        ...


class Upstream(Protocol):
    """The network. `offline`: the settings say that nothing is asked; `get` raises Offline."""

    @property
    def offline(self) -> bool: ...

    def get(self, request: UpstreamRequest) -> AbstractAsyncContextManager[Reply]:
        """Send one GET, following redirects. Leaving the context closes the connection, unless the body was read out.

        Raises NotFound (404, 410), Withheld (403 to a request without credentials), Forwarded (a redirect to another
        host, with `request.own`), NotAllowed (a loopback, link-local or private address, unless the settings name the
        host; another port of a host that they name), UpstreamDenied (401, 403), UpstreamThrottled (429, 503), Crowded
        (this cache has too many requests under way there: at once with `bulk`, else after a while),
        UpstreamUnreachable, UpstreamTimeout, UpstreamBroken. The adapter reports failures to the observer, except
        Crowded, which is not upstream's.
        """
        ...

    def down(self, url: str, *, file: bool = False) -> bool:
        """Whether the host of `url` failed so recently that a cached copy should be served without asking it.

        `file`: whether it failed at files; else at pages. A host that cannot be reached fails at both.
        """
        ...

    def reaches(self, url: str) -> bool:
        """Whether the host of `url` can be connected to, as far as is known."""
        ...

    def heard(self, url: str) -> bool:
        """Whether the host of `url` responded within the last minute, and has not failed to since."""
        ...


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What a download needs to be resumed after a kill, stored beside the spool file. `size` is None if unknown."""

    size: int | None
    validator: Validator
    extents: tuple[tuple[int, int], ...]  # half-open byte ranges on disk, sorted, disjoint, never adjacent


class Spool(Protocol):
    """A partial file, on the store's file system but outside its folder.

    `state` is what an earlier run left, or None. Anybody who holds a `share()` may read `fd` with pread or sendfile.
    The file lives until the owner and the last share have closed it, even if it was adopted meanwhile.
    `in_memory`: it is until it is closed, so that writing waits for no disk, and a kill leaves nothing of it.
    """

    in_memory: bool
    fd: int
    state: SpoolState | None

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        """Write the chunks one after another at `offset`, off the event loop. Raises StoreFull, StoreBroken."""
        ...

    async def write_from(self, offset: int, size: int, read: Callable[[memoryview, int], int]) -> None:
        """As `write`, with what `read` fills a buffer with, from a place in this file on, in the thread that writes.

        It gives how many bytes it had for there, one at least. Raises what it raises, too.
        """
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Read back up to `size` bytes, off the event loop. Raises StoreBroken."""
        ...

    async def checkpoint(self, state: SpoolState) -> None:
        """Store `state` for a later run."""
        ...

    async def restart(self) -> None:
        """Drop all that was written: the file is empty again and `state` is None."""
        ...

    def share(self) -> AbstractContextManager[int]:
        """Keep the file open; gives its descriptor."""
        ...

    async def close(self, *, keep: bool) -> None:
        """End the owner's use without adoption. `keep`: a later run can resume it; else file and state are deleted."""
        ...


class BlobReader(Protocol):
    """The disk, for those who only read blobs: bodies by sha256."""

    def blob(self, digest: Digest) -> Blob | None:
        """The blob with this sha256, whose use is noted. None if it is not stored, and for other algorithms."""
        ...

    def has(self, digest: Digest) -> bool:
        """Whether `blob` gives one. No use is noted."""
        ...

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        """Open a blob for reading, and protect it from eviction meanwhile; gives a descriptor, closed at the end.

        Raises BlobDamaged when the file is missing, has another size, or was modified and no longer has its digest: the
        blob and all entries that name it are dropped then. So it is where nothing can be read of the whole store, which
        counts as empty until it can be. Raises StoreBroken when no file descriptor is left.
        """
        ...

    def recheck(self, blob: Blob) -> None:
        """Reading a leased blob failed or ended early: check it soon, and drop it as `lease` does if it is wrong."""
        ...


class Store(BlobReader, Protocol):
    """The disk: entries (what is known of an address) and blobs."""

    def find(self, key: str) -> Entry | None:
        """The entry of `key`, if there is one and its blob is stored."""
        ...

    def stands(self, entry: Entry) -> bool:
        """Whether `find` still gives for its key what it gave: the same body, from the same address."""
        ...

    def keys(self, prefix: str) -> Sequence[str]:
        """The keys of all entries that begin with `prefix`, sorted."""
        ...

    async def save(self, entry: Entry) -> bool:
        """Store an entry: `find` gives it at once, and it is written soon. A blob without entries is dropped then.

        False if the entry is not stored: its blob is gone, or the disk cannot be used. Callers go on without it.
        """
        ...

    async def forget(self, key: str) -> None:
        """Drop an entry, and soon its blob if no other entry names it."""
        ...

    async def spool(self, name: str, size: int | None, *, brief: bool = False) -> Spool:
        """Begin or resume the download called `name`, which has one owner at a time, and reserve `size` bytes.

        `brief`: a short one need not survive a kill, so it may be in memory.
        Makes room by evicting the longest unused blobs that are not leased. Raises StoreFull, StoreBroken.
        """
        ...

    async def adopt(self, spool: Spool, digest: Digest, size: int) -> Blob | None:
        """Make a finished spool file the blob `digest` (sha256): fsync, then rename. The caller checked the digest.

        If the blob exists already the spool file is dropped. Ends the owner's use of the spool. None if the disk
        cannot be used.
        """
        ...

    async def put(self, body: bytes) -> Blob | None:
        """Store a small body under its sha256. None if there is no room for it, or the disk cannot be used."""
        ...

    async def put_all(self, bodies: Sequence[tuple[str, bytes]]) -> bool:
        """Store small bodies, each with its sha256, which the caller has checked; in one go. It counts as no use.

        False if there is no room for all of them, or the disk cannot be used: then some may be stored.
        """
        ...
