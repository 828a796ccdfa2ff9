"""The lines that a verb gets while a cache works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.control import answer_lines
from proxy.control.protocol import CleanEnd, Message, Progress
from proxy.errors import StoreBroken


async def test_streamed__step_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last progress is said again and again, from before the first one on, so that no verb gives the cache up."""
    monkeypatch.setattr(answer_lines, "_SIGN_OF_LIFE", 0.01)
    counted, removed = asyncio.Event(), asyncio.Event()

    async def messages() -> AsyncGenerator[Message]:
        await counted.wait()
        yield Progress(1, 2)
        await removed.wait()
        yield CleanEnd(1, 2, 0)

    async with _served(messages()) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as answer:
        for done, of in ((0, 0), (1, 2)):
            while [done, of] != [(line := json.loads(await answer.content.readline()))["done"], line["of"]]:
                pass
            for _ in range(3):
                assert {"type": "Progress", "done": done, "of": of} == json.loads(await answer.content.readline())
            (removed if done else counted).set()
        rest = [json.loads(line) for line in (await answer.text()).splitlines()]

    assert "CleanEnd" == rest[-1]["type"]
    assert {"Progress"} >= {line["type"] for line in rest[:-1]}


async def test_streamed__disk_that_fails() -> None:
    """The reason is the last line."""

    async def messages() -> AsyncGenerator[Message]:
        yield Progress(1, 2)
        raise StoreBroken("The disk is gone.")

    async with _served(messages()) as server, aiohttp.ClientSession() as http, http.get(server.make_url("/")) as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]

    assert [{"type": "Progress", "done": 1, "of": 2}, {"type": "Refusal", "reason": "The disk is gone."}] == lines


def _served(messages: AsyncGenerator[Message]) -> TestServer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await answer_lines.streamed(request, messages)

    application = web.Application()
    application.router.add_get("/", answer)
    return TestServer(application)
