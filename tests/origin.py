"""The upstream of the tests: a real HTTP/1.1 server that misbehaves on request and counts what it sends.

It speaks over raw streams, so that it can break the framing, and shares no code with the program. Nothing but what a
test put there is served: anything else is 404, unless `missing` says otherwise. Paths are matched as they were sent,
then decoded. `tests.indexes` builds whole indexes on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, Self
from urllib.parse import unquote

from tests import pages
from tests.answers import AUTO, LONG_AGO, Answer, Framing, Request, Resource, strong_etag
from tests.bodies import Body, Plain, as_body
from tests.faults import Fault
from tests.gates import Watch
from tests.pages import Link
from tests.system import require_address
from tests.wheels import Package
from tests.wire import Wire, protocol

Handler = Callable[[Request], Answer]


def not_found(_: Request) -> Answer:
    """What a plain server says of a path that it does not have."""
    return Answer(404, (("Content-Type", "text/plain"),), Plain(b"No such path.\n"))


@dataclass(slots=True)
class _Misbehaviour:
    faults: tuple[Fault, ...]
    times: int | None
    when: Callable[[Request], bool]


@dataclass(frozen=True, slots=True)
class Limit:
    """Who gives each address few connections: at most `most` answers at once, and `fault` to more.

    Without a `fault` the oldest is reset, and the new one gets its answer.
    """

    most: int
    fault: Fault | None = None


@dataclass(slots=True, eq=False, repr=False)
class Origin:
    """`async with Origin() as origin:`; `host` may be any loopback address, so that two origins differ by name.

    `requests` lists what arrived, in order. Counters begin at zero and may be reset with `forget()`.
    """

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    name: str | None = None  # what the address says in place of `host`, such as localhost
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    missing: Handler = not_found  # answers for paths that nothing was put at
    admit: Callable[[Request], Answer | None] | None = None  # an answer in place of the right one: who may not come in
    limit: Limit | None = None
    refused: int = 0  # answers beyond the limit, since the start
    _routes: dict[str, Handler] = field(default_factory=dict)
    _misbehaviours: dict[str | None, list[_Misbehaviour]] = field(default_factory=dict)
    _sent: dict[str, int] = field(default_factory=dict)
    _wires: dict[Wire, asyncio.Task[None]] = field(default_factory=dict)
    _answering: list[Wire] = field(default_factory=list)  # within the limit, oldest first
    _server: asyncio.Server | None = None
    _watch: Watch = field(default_factory=Watch)
    accepted: int = 0  # connections since the start

    def __repr__(self) -> str:
        return f"<Origin {self.url} [{len(self.requests)} requests, {self.open_connections} connections]>"

    # What is served

    def route(self, path: str, handler: Handler) -> None:
        """Let `handler` answer each request for `path`."""
        self._routes[path] = handler

    def resource(
        self,
        path: str,
        body: Body | bytes | str,
        *,
        content_type: str | None = "application/octet-stream",
        etag: str | None = AUTO,
        last_modified: str | None = None,
        ranges: bool = True,
        length: bool = True,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Resource:
        """Put `body` at `path`. `etag` AUTO is strong and follows the bytes; without `length` it goes out in chunks."""
        content = as_body(body)
        resource = Resource(
            body=content,
            content_type=content_type,
            etag=strong_etag(content) if etag == AUTO else etag,
            last_modified=last_modified,
            ranges=ranges,
            framing=Framing.LENGTH if length else Framing.CHUNKED,
            headers=tuple(headers),
        )
        self.route(path, resource.answer)
        return resource

    def file(
        self,
        path: str,
        body: Body | bytes | str,
        *,
        etag: str | None = AUTO,
        last_modified: str | None = LONG_AGO,
        ranges: bool = True,
        length: bool = True,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Resource:
        """Put a file at `path`; `bodies.Noise(size, seed)` makes a large one in bounded memory."""
        return self.resource(
            path, body, etag=etag, last_modified=last_modified, ranges=ranges, length=length, headers=headers
        )

    def page(
        self,
        path: str,
        files: Iterable[Link],
        *,
        fmt: Literal["html", "json", "both"] = "html",
        etag: str | None = AUTO,
        max_age: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Put a project page at `path`; `both` chooses by Accept, as PyPI does."""
        name = path.strip("/").rpartition("/")[2]
        links = tuple(files)
        more = list(headers)
        if max_age is not None:
            more.append(("Cache-Control", f"max-age={max_age}, public"))
        if fmt == "both":
            more.append(("Vary", "Accept"))
        put = functools.partial(self.resource, path, etag=etag, ranges=False, headers=more)
        as_html = put(pages.as_html(name, links), content_type=pages.TEXT_HTML if fmt == "html" else pages.HTML)
        as_json = put(pages.as_json(name, links), content_type=pages.JSON)

        def handler(request: Request) -> Answer:
            chosen = as_json if fmt == "json" or "+json" in request.headers.get("accept", "") else as_html
            return (as_html if fmt == "html" else chosen).answer(request)

        self.route(path, handler)

    def publish(
        self,
        *packages: Package,
        index: str = "/simple/",
        folder: str = "/packages/",
        fmt: Literal["html", "json", "both"] = "html",
        metadata: bool = False,
        files: Origin | None = None,
    ) -> None:
        """Put packages at `folder`, of `files` if that is another origin, and one page for each project at `index`.

        With `metadata` the pages advertise a `.metadata` file beside each wheel, and it is there (PEP 658).
        """
        store = self if files is None else files
        links: dict[str, list[Link]] = {}
        for package in packages:
            path = folder + package.filename
            store.file(path, package.body)
            has_metadata = metadata and package.metadata is not None
            if has_metadata:
                store.file(f"{path}.metadata", package.metadata or b"")
            link = package.link(path if files is None else files.url + path)
            links.setdefault(package.project, []).append(link if has_metadata else replace(link, metadata=None))
        for project, listed in links.items():
            self.page(f"{index}{project}/", listed, fmt=fmt)

    def twin(self, host: str) -> Origin:
        """Another origin with what this one has and will have, at another address; it counts for itself."""
        return Origin(host, self.tls, missing=self.missing, admit=self.admit, _routes=self._routes)

    def remove(self, path: str) -> None:
        """Take away what was at `path`: it is 404 from now on."""
        del self._routes[path]

    # How it misbehaves

    def misbehave(
        self,
        path: str | None,
        *faults: Fault,
        times: int | None = None,
        when: Callable[[Request], bool] = lambda _: True,
    ) -> None:
        """Spoil the next `times` answers for `path` (None: any path) for which `when` holds; without `times`, all.

        Several calls for one path take effect one after another: the second begins when the first is used up.
        """
        self._misbehaviours.setdefault(path, []).append(_Misbehaviour(faults, times, when))

    def behave(self, path: str | None = None) -> None:
        """Forget misbehaviours: those of `path`, or all."""
        if path is None:
            self._misbehaviours.clear()
        else:
            self._misbehaviours.pop(path, None)

    # What happened

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{'http' if self.tls is None else 'https'}://{self.name or self.host}:{self.port}"

    def count(self, path: str | None = None, method: str | None = None) -> int:
        """How many requests arrived: for `path`, or in all."""
        return sum(1 for asked in self.requests if path in {None, asked.path} and method in {None, asked.method})

    def sent_body_bytes(self, path: str | None = None) -> int:
        """How many bytes of bodies were handed to the operating system: for `path`, or in all; no framing."""
        return sum(self._sent.values()) if path is None else self._sent.get(path, 0)

    def forget(self) -> None:
        """Set the counters to zero."""
        self.requests.clear()
        self._sent.clear()
        self.accepted = self.refused = 0

    @property
    def open_connections(self) -> int:
        return len(self._wires)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at whenever a request arrives, body bytes leave or a connection ends."""
        await self._watch.until(condition)

    # Its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after `stop()`, on the same port again."""
        require_address(self.host)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on and break those that are open."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        wires = dict(self._wires)
        for wire, task in wires.items():
            wire.abort()
            task.cancel()
        await asyncio.gather(*wires.values(), return_exceptions=True)
        await server.wait_closed()

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return protocol(self._accept)

    def _accept(self, wire: Wire) -> None:
        self.accepted += 1
        self._wires[wire] = asyncio.get_running_loop().create_task(self._converse(wire), name="origin")

    async def _converse(self, wire: Wire) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError):
                while (request := await wire.receive()) is not None:
                    self.requests.append(request)
                    self._watch.changed()
                    answer = self._limited(wire, request)
                    if not await wire.send(request, answer, functools.partial(self._count, request.path)):
                        break
                    self._ended(wire)
        finally:
            self._ended(wire)
            await wire.close()
            del self._wires[wire]
            self._watch.changed()

    def _count(self, path: str, size: int) -> None:
        self._sent[path] = self._sent.get(path, 0) + size
        self._watch.changed()

    def _limited(self, wire: Wire, request: Request) -> Answer:
        answer = self._answer(request)
        if self.limit is not None and len(self._answering) >= self.limit.most:
            self.refused += 1
            if self.limit.fault is not None:
                return self.limit.fault(request, answer)
            self._answering.pop(0).abort()
        self._answering.append(wire)
        return answer

    def _ended(self, wire: Wire) -> None:
        if wire in self._answering:
            self._answering.remove(wire)

    def _answer(self, request: Request) -> Answer:
        handler = self._routes.get(request.path) or self._routes.get(unquote(request.path)) or self.missing
        refused = self.admit(request) if self.admit is not None else None
        answer = handler(request) if refused is None else refused
        for listed in (self._misbehaviours.get(request.path, []), self._misbehaviours.get(None, [])):
            for misbehaviour in listed:
                if misbehaviour.times == 0 or not misbehaviour.when(request):
                    continue
                if misbehaviour.times is not None:
                    misbehaviour.times -= 1
                for fault in misbehaviour.faults:
                    answer = fault(request, answer)
                break
        return answer
