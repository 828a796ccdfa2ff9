"""The cache's side of the socket: requests of verbs, answered by the caretaker of the store.

Made by `app`, started when the store is open. A cache that cannot make the socket serves all the same; the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import msgspec
from aiohttp import web

from proxy.control.caretaker import Caretaker
from proxy.control.protocol import DEFAULT_LARGEST, Message, Refusal, Wish
from proxy.control.socket_file import ListeningSocket
from proxy.errors import StoreError
from proxy.metrics import Traffic
from proxy.ports import Clock
from proxy.storage.store import DiskStore

_log = logging.getLogger(__name__)

_LINES = "application/jsonl"
_JSON = "application/json"
_MOST = 1 << 16  # bytes of a request
_LARGEST = 10_000  # files in one answer
_DRAIN = 1.0  # seconds for the answers under way when the cache stops


class ControlServer:
    """Mutable state: the socket, while there is one."""

    def __init__(self, clock: Clock, traffic: Callable[[], Traffic]) -> None:
        self._clock = clock
        self._traffic = traffic
        self._since = clock.now()
        self._stack = AsyncExitStack()
        self._closed = False
        self._changing = asyncio.Lock()  # a store that is opened late may be so while the cache stops

    async def start(self, store: DiskStore) -> None:
        """Listen in the store's folder. Does nothing after `close`."""
        async with self._changing:
            if not self._closed:
                await self._start(store)

    async def _start(self, store: DiskStore) -> None:
        try:
            listening = ListeningSocket.open(store.folder)
        except OSError as error:
            _log.warning(
                "verbs such as stats cannot ask this cache: control.sock cannot be made in the data folder",
                extra={"reason": error.strerror or str(error)},
            )
            return
        self._stack.callback(listening.close)
        caretaker = Caretaker(store.inventory, store.folder, self._clock, self._traffic, self._since)
        self._stack.push_async_callback(caretaker.close)
        runner = web.AppRunner(_application(caretaker), handle_signals=False, access_log=None, shutdown_timeout=_DRAIN)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, listening.socket).start()

    async def close(self) -> None:
        """Break off what is under way, and listen no more."""
        async with self._changing:
            self._closed = True
            await self._stack.aclose()


def _application(caretaker: Caretaker) -> web.Application:
    application = web.Application(client_max_size=_MOST, middlewares=[_refusing])

    async def stats(request: web.Request) -> web.Response:
        count = request.query.get("largest", str(DEFAULT_LARGEST))
        if not count.isdecimal():
            raise _Wrong("largest: a number of files")
        return _answer(await caretaker.stats(min(int(count), _LARGEST)))

    async def plan(request: web.Request) -> web.Response:
        return _answer(await caretaker.plan(await _wish(request)))

    async def clean(request: web.Request) -> web.StreamResponse:
        return await _streamed(request, caretaker.clean(await _wish(request)))

    async def verify(request: web.Request) -> web.StreamResponse:
        return await _streamed(request, caretaker.verify())

    application.router.add_get("/stats", stats)
    application.router.add_post("/plan", plan)
    application.router.add_post("/clean", clean)
    application.router.add_post("/verify", verify)
    return application


class _Wrong(Exception):
    """The request cannot be understood."""


@web.middleware
async def _refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say why a request failed, in the form that verbs read."""
    try:
        return await handler(request)
    except _Wrong as error:
        return _answer(Refusal(str(error)), web.HTTPBadRequest.status_code)
    except StoreError as error:
        return _answer(Refusal(str(error)), web.HTTPServiceUnavailable.status_code)
    except web.HTTPException as error:
        return _answer(Refusal(f"this cache cannot do that ({error.reason}); is it of another version?"), error.status)


async def _wish(request: web.Request) -> Wish:
    try:
        wish = msgspec.json.decode(await request.read(), type=Wish)
    except msgspec.DecodeError as error:
        raise _Wrong(str(error)) from error
    if (wrong := wish.wrong()) is not None:
        raise _Wrong(wrong)
    return wish


def _answer(value: msgspec.Struct, status: int = web.HTTPOk.status_code) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=_JSON)


async def _streamed(request: web.Request, messages: AsyncGenerator[Message]) -> web.StreamResponse:
    """Send messages as they come, a line each. A client that is gone ends the work."""
    response = web.StreamResponse(headers={"Content-Type": _LINES})
    async with aclosing(messages):
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            try:
                async for message in messages:
                    await response.write(msgspec.json.encode(message) + b"\n")
            except StoreError as error:
                await response.write(msgspec.json.encode(Refusal(str(error))) + b"\n")
            await response.write_eof()
    return response
