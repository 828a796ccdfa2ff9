"""The API below `/api/v1/`: the facts of the page as JSON, with their description (OpenAPI 3.1).

Called by `own_pages`. The description is made from the types of the answers. A client may rely on what it says; fields
may be added.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import web

from proxy import version
from proxy.control.protocol import ActionEnd, ActionWish, ControlError, FoundFiles, Order
from proxy.errors import StoreError
from proxy.status import Now
from proxy.web import action_requests, questions
from proxy.web.action_requests import Act, ActionRefused
from proxy.web.error_responses import OWN_HEADERS, text_response
from proxy.web.questions import Questions
from proxy.web.shared_facts import SharedAnswer, SharedFacts, tag_of

PREFIX = "/api/v1/"
# Lists stored files: a text to look for, the order, which is the first, how many; None where the store is not open.
Lister: TypeAlias = Callable[[str, Order, int, int], Awaitable[FoundFiles | None]]
_COUNT, _MOST = 100, 1000  # files in one answer
_DIGITS = 9
_REFERENCE = "#/components/schemas/{name}"
_JSON = {**OWN_HEADERS, "Cache-Control": "no-cache", "Content-Type": "application/json"}
_encode = msgspec.json.Encoder().encode
_NOT_OPEN = "The data folder is not open yet; ask again in a moment."


class Api:
    """Answers the addresses below `PREFIX`. `now` gives the facts, `stored` lists stored files, `act` changes them."""

    def __init__(self, now: Callable[[], Awaitable[Now]], stored: Lister, act: Act, questions: Questions) -> None:
        self.facts = SharedFacts(now)
        self.stored = stored
        self.act = act
        self._questions = questions

    async def answer(self, path: str, request: web.BaseRequest) -> web.Response:
        """The answer to any address below `PREFIX`."""
        match path.removeprefix(PREFIX):
            case "now":
                facts = await self.facts.get()
                return SharedAnswer.of(request, facts.body, facts.tag, _JSON, partial(self.facts.are, facts))
            case "stored" if request.method == "POST":
                return await self._action(request)
            case "stored":
                return await self._listing(request)
            case name if name in questions.NAMES:
                return await self._question(name, request)
            case "openapi.json":
                return _json(request, description())
        return text_response(404, f"The API has nothing at this address; {PREFIX}openapi.json describes it.")

    async def _listing(self, request: web.BaseRequest) -> web.Response:
        try:
            asked = Asked.read(request.raw_path)
        except ValueError as error:
            return text_response(400, str(error))
        try:
            listing = await self.stored(asked.text, asked.order, asked.start, asked.count)
        except (ControlError, StoreError) as error:
            return text_response(503, str(error))
        return text_response(503, _NOT_OPEN) if listing is None else _json(request, _encode(listing))

    async def _question(self, name: str, request: web.BaseRequest) -> web.Response:
        try:
            found = await self._questions.answer(name, single_values(request.raw_path))
        except ValueError as error:
            return text_response(400, str(error))
        except (ControlError, StoreError) as error:
            return text_response(503, str(error))
        return text_response(503, _NOT_OPEN) if found is None else _json(request, _encode(found))

    async def _action(self, request: web.BaseRequest) -> web.Response:
        try:
            end = await action_requests.from_api(self.act, request)
        except ActionRefused as refused:
            headers = {"WWW-Authenticate": "Bearer"} if refused.status == HTTPStatus.UNAUTHORIZED else {}
            answer = text_response(refused.status, str(refused), headers)
            answer.force_close()  # some of the body may not have been read
            return answer
        return web.Response(body=_encode(end), content_type="application/json", headers=OWN_HEADERS)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which stored files are asked for, and in which order."""

    text: str
    order: Order
    start: int
    count: int

    @classmethod
    def read(cls, target: str) -> Self:
        """Read the query of a request. Raises ValueError, whose text says what is wrong."""
        query = single_values(target)
        order = query.get("order", Order.SIZE.value)
        if order not in {one.value for one in Order}:
            raise ValueError(f"order: one of {', '.join(one.value for one in Order)}")
        numbers = [query.get("start", "0"), query.get("count", str(_COUNT))]
        if not all(number.isascii() and number.isdecimal() and len(number) <= _DIGITS for number in numbers):
            raise ValueError("start and count: numbers of files")
        start, count = map(int, numbers)
        return cls(query.get("q", ""), Order(order), start, min(count, _MOST))


def single_values(target: str) -> dict[str, str]:
    """The fields of a request's query, the first of each name; also those without a value."""
    fields = parse_qs(urlsplit(target).query, keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _json(request: web.BaseRequest, body: bytes) -> web.Response:
    """A JSON answer with a validator (RFC 9110 §8.8.3): who asks again is told so if nothing changed."""
    return SharedAnswer.of(request, body, tag_of(body), _JSON, lambda: False)


@cache
def description() -> bytes:
    """The OpenAPI document as JSON."""
    (now, listing, wish, end, *answers_to_questions), schemas = msgspec.json.schema_components(
        [Now, FoundFiles, ActionWish, ActionEnd, *questions.ANSWERS], ref_template=_REFERENCE
    )
    validator = {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"}}
    number = {"type": "integer", "minimum": 0, "maximum": 10**_DIGITS - 1}

    def asked(name: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "in": "query", "required": False, "schema": schema}

    def getting(name: str, summary: str, schema: dict[str, Any], *query: dict[str, Any]) -> dict[str, Any]:
        answers: dict[str, Any] = {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            "304": {"description": "Nothing changed since the answer with that ETag."},
            "403": {"description": "The Host is none of this cache's names.", "content": {"text/plain": {}}},
        }
        if query:
            answers["400"] = {"description": "What is wrong with the query.", "content": {"text/plain": {}}}
            answers["503"] = {"description": "The data folder is not open.", "content": {"text/plain": {}}}
        parameters = [validator, *query]
        return {"get": {"operationId": name, "summary": summary, "parameters": parameters, "responses": answers}}

    acting: dict[str, Any] = {
        "operationId": "act",
        "summary": "Delete, refresh, pin or unpin stored files.",
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": wish}}},
        "responses": {
            "200": {"description": "What was done.", "content": {"application/json": {"schema": end}}},
            **{
                status: {"description": text, "content": {"text/plain": {}}}
                for status, text in {
                    "400": "What is wrong with the body.",
                    "401": "No token was sent.",
                    "403": "The token is not that of this cache, the Host is none of its names, or a page of another "
                    "site sent this.",
                    "408": "The body did not come in time.",
                    "413": f"The body has more than {action_requests.MOST} bytes.",
                    "415": "The body is of another type.",
                    "503": "The data folder is not open, or its disk fails.",
                }.items()
            },
        },
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "pullthrough", "version": version(), "summary": "What the cache does and what it saved."},
        "paths": {
            f"{PREFIX}now": getting("now", "What goes on now, and what was saved since the start.", now),
            f"{PREFIX}stored": getting(
                "stored",
                "The stored files that have a text in a name, a project, an index or a digest.",
                listing,
                asked("q", {"type": "string"}),
                asked("order", {"enum": [one.value for one in Order], "default": Order.SIZE.value}),
                asked("start", number | {"default": 0}),
                asked("count", number | {"default": _COUNT}),
            )
            | {"post": acting},
            **{
                f"{PREFIX}{name}": getting(name, text, schema, *fields)
                for (name, (text, fields)), schema in zip(
                    questions.described().items(), answers_to_questions, strict=True
                )
            },
            f"{PREFIX}openapi.json": getting("description", "This document.", {"type": "object"}),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "The admin token."}},
        },
    }
    return msgspec.json.encode(document)
