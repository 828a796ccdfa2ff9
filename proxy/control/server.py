"""The cache's side of the socket: requests of verbs, answered by the caretaker of the store.

Made by `app`, started when the store is open. A cache that cannot make the socket serves all the same; the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.bundles.addresses import Learn
from proxy.bundles.importing import ImportWish
from proxy.bundles.manifest import BadBundle
from proxy.bundles.tar_writer import BrokenOff, TarOutlet
from proxy.control import export_wish
from proxy.control.actions import Actions
from proxy.control.answer_lines import streamed
from proxy.control.caretaker import Caretaker
from proxy.control.explainer import Explainer
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.export_wish import ExportWish
from proxy.control.exports import Export, Exports
from proxy.control.importer import Importer
from proxy.control.protocol import (
    DEFAULT_LARGEST,
    ActionEnd,
    ActionWish,
    ControlError,
    FoundFiles,
    Order,
    PulledFiles,
    PullWish,
    Refusal,
    Stats,
    Wish,
)
from proxy.control.socket_file import ListeningSocket
from proxy.errors import StoreError
from proxy.metrics import Traffic
from proxy.ports import Clock
from proxy.storage.store import DiskStore

W = TypeVar("W", Wish, PullWish, ExplainWish, ExportWish)
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_JSON = "application/json"
_TAR = "application/x-tar"
_MOST = 1 << 16  # bytes of a request
_LARGEST = 10_000  # files in one answer
_PIECE = 1 << 20  # bytes of a tar that are read at once
_DRAIN = 1.0  # seconds for the answers under way when the cache stops


async def _nothing() -> None:
    pass


class ControlServer:
    """Mutable state: the socket, while there is one, and who looks after the store, once that is open."""

    def __init__(  # noqa: PLR0913, PLR0917 - what verbs and the API ask
        self,
        clock: Clock,
        traffic: Callable[[], Traffic],
        flush: Callable[[], Awaitable[None]] | None = None,
        life: float = 0.0,
        forget: Callable[[], None] = lambda: None,
        explainer: Explainer | None = None,
        imported: Callable[[], None] = lambda: None,
        learn: Learn | None = None,
        settled: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """`traffic`: what clients got so far. `flush`: has the history written what it gathered.

        `life`, `forget`: as of `Actions`. `imported`, `learn`: as of `Importer`. `settled`: has the files stored that
        clients have: what is said here holds for them, too.
        """
        self._settled = settled
        self._life = life
        self._forget = forget
        self._actions: Actions | None = None
        self._flush = flush
        self._explainer = explainer
        self._imported = imported
        self._learn = learn
        self._clock = clock
        self._traffic = traffic
        self._since = clock.now()
        self._caretaker: Caretaker | None = None
        self._stack = AsyncExitStack()
        self._closed = False
        self._changing = asyncio.Lock()  # a store that is opened late may be so while the cache stops

    async def start(self, store: DiskStore) -> None:
        """Listen in the store's folder. Does nothing after `close`."""
        async with self._changing:
            if not self._closed:
                await self._start(store)

    async def _start(self, store: DiskStore) -> None:
        caretaker = Caretaker(
            store.inventory, store.folder, self._clock, self._traffic, self._since, self._flush, self._forget
        )
        self._stack.push_async_callback(caretaker.close)
        exports = Exports(store.inventory, self._clock)
        self._stack.push_async_callback(exports.close)
        self._caretaker = caretaker
        self._actions = Actions(store.inventory, self._clock, self._life, self._forget)
        try:
            listening = ListeningSocket.open(store.folder)
        except OSError as error:
            _log.warning(
                "verbs such as stats cannot ask this cache: control.sock cannot be made in the data folder",
                extra={"reason": error.strerror or str(error)},
            )
            return
        self._stack.callback(listening.close)
        importer = Importer(store, self._clock, self._forget, self._imported, self._learn)
        runner = web.AppRunner(
            _application(caretaker, exports, importer, self._explainer, self._settled),
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_DRAIN,
            read_bufsize=_PIECE,
            lingering_time=0.0,  # what is left of a tar that was refused is of no use
        )
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listening.socket).start()

    async def listing(self, text: str, order: Order, start: int, count: int) -> FoundFiles | None:
        """The stored files that have `text`; None where the store is not open. Raises StoreError."""
        if self._caretaker is None:
            return None
        await self._settled()
        return await self._caretaker.listing(text, order, start, count)

    async def explain(self, wish: ExplainWish) -> Explanation | None:
        """What would happen at an address; None where nothing tells what addresses mean."""
        return await self._explainer.explain(wish) if self._explainer is not None else None

    async def who(self, wish: PullWish) -> PulledFiles | None:
        """Who got what is looked for; None where the store is not open. Raises ControlError, StoreError."""
        return await self._caretaker.who(wish) if self._caretaker is not None else None

    async def stats(self, largest: int) -> Stats | None:
        """What is stored, and what that saved; None where the store is not open. Raises StoreError.

        Without the folder's path, which is no business of the network's.
        """
        caretaker = self._caretaker
        if caretaker is None:
            return None
        await self._settled()
        return msgspec.structs.replace(await caretaker.stats(largest), folder="")

    async def act(self, given: str, wish: ActionWish) -> ActionEnd | None:
        """Do what somebody with the admin token wishes; None where the store is not open.

        `given`: what is shown as the token. Raises TokenRefused, StoreError.
        """
        caretaker, actions = self._caretaker, self._actions
        if caretaker is None or actions is None:
            return None
        await caretaker.check_token(given)
        await self._settled()
        return await actions.carry_out(await caretaker.bodies(), wish)

    async def close(self) -> None:
        """Break off what is under way, and listen no more."""
        async with self._changing:
            self._closed = True
            self._caretaker = self._actions = None
            await self._stack.aclose()


def _application(
    caretaker: Caretaker,
    exports: Exports,
    importer: Importer,
    explainer: Explainer | None,
    settled: Callable[[], Awaitable[None]],
) -> web.Application:
    application = web.Application(client_max_size=_MOST, middlewares=[_refusing, _behind(settled)])

    async def stats(request: web.Request) -> web.Response:
        count = request.query.get("largest", str(DEFAULT_LARGEST))
        if not count.isdecimal():
            raise _Wrong("largest: a number of files")
        return _answer(await caretaker.stats(min(int(count), _LARGEST)))

    async def who(request: web.Request) -> web.Response:
        return _answer(await caretaker.who(await _wish(request, PullWish)))

    async def explain(request: web.Request) -> web.Response:
        wish = await _wish(request, ExplainWish)
        if explainer is None:
            raise ControlError("this cache explains nothing")
        return _answer(await explainer.explain(wish))

    async def plan(request: web.Request) -> web.Response:
        return _answer(await caretaker.plan(await _wish(request, Wish)))

    async def clean(request: web.Request) -> web.StreamResponse:
        return await streamed(request, caretaker.clean(await _wish(request, Wish)))

    async def verify(request: web.Request) -> web.StreamResponse:
        return await streamed(request, caretaker.verify())

    async def export(request: web.Request) -> web.StreamResponse:
        wide = request.clone(client_max_size=export_wish.MOST)
        async with exports.export(await _wish(wide, ExportWish)) as made:
            return await _packed(request, made)

    application.router.add_get("/stats", stats)
    application.router.add_post("/import", partial(_taken_in, importer))
    application.router.add_post("/who", who)
    application.router.add_post("/explain", explain)
    application.router.add_post("/plan", plan)
    application.router.add_post("/clean", clean)
    application.router.add_post("/verify", verify)
    application.router.add_post("/export", export)
    return application


class _Wrong(Exception):
    """The request cannot be understood."""


def _behind(settled: Callable[[], Awaitable[None]]) -> Middleware:
    """Have the files stored that clients have, before it is told what is stored."""

    @web.middleware
    async def settling(request: web.Request, handler: _Handler) -> web.StreamResponse:
        await settled()
        return await handler(request)

    return settling


@web.middleware
async def _refusing(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Say why a request failed, in the form that verbs read."""
    try:
        return await handler(request)
    except _Wrong as error:
        return _answer(Refusal(str(error)), web.HTTPBadRequest.status_code)
    except BadBundle as error:
        return _answer(Refusal(str(error)), web.HTTPUnprocessableEntity.status_code)
    except (StoreError, ControlError) as error:
        return _answer(Refusal(str(error)), web.HTTPServiceUnavailable.status_code)
    except web.HTTPException as error:
        return _answer(Refusal(f"this cache cannot do that ({error.reason}); is it of another version?"), error.status)


async def _wish(request: web.Request, kind: type[W]) -> W:
    try:
        wish = msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong(str(error)) from error
    if (wrong := wish.wrong()) is not None:
        raise _Wrong(wrong)
    return wish


def _answer(value: msgspec.Struct, status: int = web.HTTPOk.status_code) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=_JSON)


async def _taken_in(importer: Importer, request: web.Request) -> web.Response:
    """Take the body in as it comes."""
    wish = ImportWish("replace-newer" in request.query, "loose" in request.query)
    return _answer(await importer.take_in(request.content.iter_any(), wish))


async def _packed(request: web.Request, made: Export) -> web.StreamResponse:
    """Send a bundle, its bodies straight from their files to the socket. What cannot be sent whole is broken off."""
    response = web.StreamResponse(headers={"Content-Type": _TAR, "Connection": "close"})
    response.content_length = made.tar.size
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    with contextlib.suppress(ConnectionError):
        await response.write(b"")  # has the head leave
        while transport.get_write_buffer_size():
            await response.drain()
            await asyncio.sleep(0)
        with transport.get_extra_info("socket").dup() as sock:  # this one nobody else closes meanwhile
            try:
                await made.write(TarOutlet(sock.fileno()))
            except (StoreError, OSError, BrokenOff) as error:
                if not isinstance(error, ConnectionError):
                    _log.warning("an export was broken off", extra={"reason": str(error)})
                transport.abort()
    return response
