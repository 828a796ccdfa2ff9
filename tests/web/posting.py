"""Requests with a body, as the server hands them to those who answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict


def posted(path: str, body: bytes, headers: Mapping[str, str], *, ended: bool = True) -> web.BaseRequest:
    """A POST. Not `ended`: more of the body may come."""
    protocol = cast("Any", _Quiet())
    payload = StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    payload.feed_data(body)
    if ended:
        payload.feed_eof()
    return make_mocked_request("POST", path, CIMultiDict(headers), payload=payload)


class _Quiet:
    """A connection that need not be slowed down."""

    _reading_paused = False
    connected = True

    def pause_reading(self, **_: object) -> None: ...
    def resume_reading(self, **_: object) -> None: ...
