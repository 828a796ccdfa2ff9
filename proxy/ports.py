"""What the services need from the world, as contracts. Adapters implement them; tests have in-memory ones.

`Store` and `Spool` are the disk, `Upstream` and `Reply` the network, `Observer` whoever counts, `Clock` the time.
Methods without `async` do no long work and may be called on the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from proxy.config.proxies import Proxy
from proxy.events import Event
from proxy.model import Ask, Blob, Digest, Entry, Part, Validator


class Clock(Protocol):
    """`now` is wall time in seconds since the epoch (may jump); `monotonic` never goes back: for limits."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class Observer(Protocol):
    """Is told of every event; never raises, never blocks."""

    def __call__(self, event: Event, /) -> None: ...


class Reply(Protocol):
    """An answer of upstream whose head has arrived: status is 200, 206, 304 or 416, never another.

    `url` is the address that answered, after redirects. `headers` has lower-case names. What they say of the body is
    parsed once: `part` is what a 206 has, and that is what was asked for; None for other answers. `size` is the length
    of the whole representation in bytes, as it is sent; None where upstream does not say it. `validator` tells versions
    of the representation apart.

    `chunks` gives the body as it comes, never decoded; it raises `UpstreamBroken` when the body ends before its framing
    says so and `UpstreamTimeout` when it stalls. Bytes are reported to the observer by the adapter as they arrive.
    """

    status: int
    url: str
    headers: dict[str, str]
    part: Part | None
    size: int | None
    validator: Validator

    def chunks(self) -> AsyncIterator[bytes]: ...

    async def readinto(self, buffer: memoryview) -> int:
        """The same body for who brings the memory: fill `buffer` with what arrives, soon. 0 at the end.

        A body is read by one of the two ways. Raises what `chunks` raises.
        """
        ...


class Credentials(Protocol):
    """Who the cache says it is to upstreams that want to know. No implementation shows any of it in its `repr`."""

    def authorization(self, mount: str, url: str) -> str | None:
        """What a request of `url` for this mount carries in `Authorization` (RFC 9110 §11.6.2); None: nothing."""
        ...

    async def renewed(self, mount: str, url: str, refused: str | None) -> str | None:
        """Look again, since upstream gave who said `refused` nothing. None: there is nothing else to say."""
        ...

    def hosts(self, mount: str) -> frozenset[str]:
        """The hosts (`host`, `host:port`) besides the base's that the settings name and that have credentials."""
        ...


class Proxies(Protocol):
    """Which requests go to upstream through a proxy."""

    def proxy(self, mount: str, url: str) -> Proxy | None:
        """The proxy for a request of `url` for this mount; None: it goes to upstream directly."""
        ...


class Upstream(Protocol):
    """The network."""

    def get(self, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Send one GET, following redirects. Leaving the context closes the connection unless the body was read out.

        Raises NotFound (404, 410), Withheld (403 to a stranger), Forwarded (`ask.own`, and a redirect that leads to
        another host), NotAllowed (an address that is refused: loopback, link-local, private, unless the
        settings name the host, or another port of a host that they name), UpstreamDenied (401, 403),
        UpstreamThrottled (429, 503), Crowded (too many requests of our own under way there: at once for what is
        `bulk`, else after a while), UpstreamUnreachable, UpstreamTimeout, UpstreamBroken. Failures are reported to
        the observer by the adapter, but for Crowded, which is none of upstream's.
        """
        ...

    def down(self, url: str, *, file: bool = False) -> bool:
        """Whether the host of `url` failed so lately that a kept copy should be served without waiting for it.

        `file`: at giving files; else at giving documents. A host that cannot be reached fails at both.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What must survive a kill for a download to go on: written beside the spool file. `size` is None if unknown."""

    size: int | None
    validator: Validator
    extents: tuple[tuple[int, int], ...]  # half-open byte ranges on disk, sorted, disjoint, never adjacent


class Spool(Protocol):
    """A file under construction, on the store's file system but outside its folder.

    `state` is what an earlier run left, or None. `fd` may be read with pread or sendfile by anybody who holds a
    `share()`; the file lives until the last share and the owner closed it, whether or not it was adopted since.
    """

    fd: int
    state: SpoolState | None

    async def write(self, offset: int, chunks: Sequence[bytes | memoryview]) -> None:
        """Write the chunks one after another at `offset`, off the event loop. Raises StoreFull, StoreBroken."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """Read back up to `size` bytes, off the event loop. Raises StoreBroken."""
        ...

    async def checkpoint(self, state: SpoolState) -> None:
        """Make `state` what a later run finds."""
        ...

    async def restart(self) -> None:
        """Forget all that was written: the file is empty again and `state` is None."""
        ...

    def share(self) -> AbstractContextManager[int]:
        """Hold the open file; gives its descriptor."""
        ...

    async def close(self, *, keep: bool) -> None:
        """The owner is done without adoption. `keep`: leave file and state for a later run to resume; else delete."""
        ...


class BlobReader(Protocol):
    """The disk, for those who only read blobs: bodies by sha256."""

    def blob(self, digest: Digest) -> Blob | None:
        """The blob with this sha256, and note its use; None for other algorithms or when it is not there."""
        ...

    def lease(self, blob: Blob) -> AbstractContextManager[int]:
        """Open a blob for reading and keep it from eviction meanwhile; gives a descriptor, closed at the end.

        Raises BlobDamaged when the file is missing, has another size or was touched since it was stored and no longer
        has its digest: the blob and all entries that name it are dropped then. StoreBroken when there is no
        descriptor left.
        """
        ...

    def recheck(self, blob: Blob) -> None:
        """Reading a leased blob failed or ended early: check it soon, and drop it as `lease` does if it is wrong."""
        ...


class Store(BlobReader, Protocol):
    """The disk: entries (what is known of an address) and blobs."""

    def find(self, key: str) -> Entry | None:
        """The entry of `key`; None too if its blob is gone."""
        ...

    def keys(self, prefix: str) -> Sequence[str]:
        """The keys of all entries that begin with `prefix`, sorted."""
        ...

    async def save(self, entry: Entry) -> bool:
        """Store an entry: it is found at once and written soon. A blob that no entry names any more is dropped then.

        False if the entry is not stored: its blob is gone, or the disk cannot be used. That is nobody's failure.
        """
        ...

    async def forget(self, key: str) -> None:
        """Drop an entry, and soon its blob if no other entry names it."""
        ...

    async def spool(self, name: str, size: int | None) -> Spool:
        """Begin, or take up again, the download called `name` (one owner at a time), reserving `size` bytes.

        Makes room by evicting the longest unused blobs that nobody leases. Raises StoreFull, StoreBroken.
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
