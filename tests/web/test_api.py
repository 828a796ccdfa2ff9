"""The API below /api/v1/."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.cache.forecast import Forecast, Verdict
from proxy.control.admin_token import TokenRefused
from proxy.control.explanation import ExplainWish, Explanation
from proxy.control.protocol import (
    ActionEnd,
    ActionWish,
    ControlError,
    FoundFiles,
    NamedFile,
    Order,
    PulledFile,
    PulledFiles,
    PullWish,
    Stats,
    StoredFile,
)
from proxy.status import DownloadStatus, Now
from proxy.web.api import Api, description
from proxy.web.questions import Questions
from tests.web.posting import posted

_NOW = Now(
    version="1",
    since=12.0,
    sent=100,
    fetched=25,
    saved=75,
    files=3,
    size=50,
    limit=1000,
    free=None,
    downloads=(DownloadStatus("pypi", "a.whl", 10, None, 2),),
)


async def _now() -> Now:
    return _NOW


async def _stored(text: str, order: Order, start: int, count: int) -> FoundFiles | None:
    if text == "closed":
        return None
    if text == "broken":
        raise ControlError("the history cannot be read")
    file = NamedFile(f"{text} {order.value} {start} {count}", "pypi", "file", 5)
    return FoundFiles(1, 5, (StoredFile("ab" * 32, file, 0),))


async def _asked(path: str, **headers: str) -> web.Response:
    return await _api().answer(path.partition("?")[0], make_mocked_request("GET", path, headers=headers))


async def _act(token: str, wish: ActionWish) -> ActionEnd | None:
    if token != "right":
        raise TokenRefused("not the token")
    return ActionEnd(wish.do, len(wish.files), 5, 0)


async def _who(wish: PullWish) -> PulledFiles | None:
    if wish.wanted == "closed":
        return None
    if wish.wanted == "broken":
        raise ControlError("the history cannot be read")
    return PulledFiles((PulledFile("pypi", wish.wanted, "10.0.0.1", 1, 5, 1.0, 2.0, kept=True),), more=False)


async def _stats(largest: int) -> Stats | None:
    return Stats("1", "", None, largest, 0, 1, None, 0, (), ())


async def _explain(wish: ExplainWish) -> Explanation | None:
    return Explanation(Forecast(kind="own", verdict=Verdict.OWN, why=(wish.url,)))


def _api() -> Api:
    return Api(_now, _stored, _act, Questions(_who, _stats, _explain))


async def _posted(body: bytes, **headers: str) -> web.Response:
    fields = {"Host": "a", "Content-Type": "application/json"} | headers
    return await _api().answer("/api/v1/stored", posted("/api/v1/stored", body, fields))


async def test_act__with_the_token() -> None:
    """What is wished is done, and said."""
    wish = b'{"do": "pin", "files": ["' + b"ab" * 32 + b'"]}'
    answer = await _posted(wish, Authorization="Bearer right")

    assert isinstance(answer.body, bytes)
    end = {"do": "pin", "files": 1, "size": 5, "left": 0, "undeleted": 0, "reason": None}
    assert end == json.loads(answer.body)


async def test_act__without() -> None:
    """A program is told what it has to send; nothing more is read on that connection."""
    answer = await _posted(b"{}")

    assert (401, "Bearer") == (answer.status, answer.headers["WWW-Authenticate"])
    assert answer.keep_alive is False


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("who?what=six", {"rows": [{"name": "six"}]}),
        ("stats?largest=7", {"files": 7}),
        ("explain?url=/pypi/simple/six/", {"forecast": {"why": ["/pypi/simple/six/"]}}),
    ],
)
async def test_question__answered(path: str, expected: dict[str, object]) -> None:
    """As JSON, with a validator."""
    answer = await _asked(f"/api/v1/{path}")
    assert isinstance(answer.body, bytes)
    found = json.loads(answer.body)
    assert "ETag" in answer.headers
    match expected:
        case {"rows": [{"name": str(name)}]}:
            assert [name] == [row["name"] for row in found["rows"]]
        case {"files": int(files)}:
            assert files == found["files"]
        case {"forecast": {"why": list(why)}}:
            assert why == found["forecast"]["why"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("who", 400, "name a project"),
        ("who?what=closed", 503, "not open"),
        ("who?what=broken", 503, "the history cannot be read"),
        ("stats?largest=x", 400, "largest"),
        ("explain?url=", 400, "url"),
    ],
)
async def test_question__refused(path: str, status: int, words: str) -> None:
    """A person is told what is wrong."""
    answer = await _asked(f"/api/v1/{path}")
    assert (status, True) == (answer.status, words in str(answer.text))


async def test_now__facts_and_validator() -> None:
    """The facts as JSON; who has them already is told so."""
    first = await _asked("/api/v1/now")
    again = await _asked("/api/v1/now", **{"If-None-Match": first.headers["ETag"]})
    other = await _asked("/api/v1/now", **{"If-None-Match": '"other"'})

    assert isinstance(first.body, bytes)
    facts = json.loads(first.body)
    assert (75, None) == (facts["saved"], facts["free"])
    assert [{"upstream": "pypi", "name": "a.whl", "received": 10, "size": None, "followers": 2}] == facts["downloads"]
    assert (200, 304, 200) == (first.status, again.status, other.status)
    assert again.body is None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", " size 0 100"),
        ("?q=torch&order=unused&start=7&count=3", "torch unused 7 3"),
        ("?count=999999999", " size 0 1000"),
    ],
)
async def test_stored__what_is_asked_for(query: str, name: str) -> None:
    """Text, order, and which part; no answer is longer than a thousand files."""
    answer = await _asked(f"/api/v1/stored{query}")

    assert isinstance(answer.body, bytes)
    assert name == json.loads(answer.body)["shown"][0]["file"]["name"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?order=x", 400),
        ("?start=-1", 400),
        ("?start=", 400),
        ("?count=", 400),
        ("?order=", 400),
        ("?q=closed", 503),
        ("?q=broken", 503),
    ],
)
async def test_stored__refused(query: str, status: int) -> None:
    """What is wrong is said."""
    assert status == (await _asked(f"/api/v1/stored{query}")).status


async def test_unknown__is_said() -> None:
    """Where to look is said."""
    answer = await _asked("/api/v1/x")

    assert 404 == answer.status
    assert "/api/v1/openapi.json" in str(answer.text)


async def test_description__has_each_field() -> None:
    """It is made of the types: no field is missing, and each reference leads somewhere."""
    document = json.loads(description())

    schemas = document["components"]["schemas"]
    assert set(Now.__struct_fields__) == set(schemas["Now"]["properties"])
    assert {f"/api/v1/{name}" for name in ("now", "stored", "who", "stats", "explain", "openapi.json")} == set(
        document["paths"]
    )
    for path, methods in document["paths"].items():
        required = [field["name"] for field in methods["get"]["parameters"] if field["required"]]
        query = "&".join(f"{name}=x" for name in required)
        assert 200 == (await _asked(f"{path}?{query}")).status
        if required:
            assert 400 == (await _asked(path)).status
    referred = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert referred == set(schemas)
