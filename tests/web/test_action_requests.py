"""Requests that change what is stored."""

from __future__ import annotations

import json
import logging

import pytest

from proxy.control.admin_token import TokenRefused
from proxy.control.protocol import Action, ActionEnd, ActionWish
from proxy.errors import StoreBroken
from proxy.web import action_requests
from proxy.web.action_requests import FORM, JSON, MOST, ActionRefused, Form, check_origin, from_api, read_form
from tests.web.posting import posted

_DIGEST = "ab" * 32
_PIN = ActionWish(Action.PIN, (_DIGEST,))


class Acts:
    """Does what whoever shows "right" wishes, and remembers it."""

    def __init__(self) -> None:
        self.wishes: list[ActionWish] = []

    async def __call__(self, token: str, wish: ActionWish) -> ActionEnd | None:
        if token == "closed":
            return None
        if token == "full":
            raise StoreBroken("the disk fails")
        if token != "right":
            raise TokenRefused("not the token")
        self.wishes.append(wish)
        return ActionEnd(wish.do, len(wish.files), 5, 0)


def _wish(do: str = "delete", *files: str) -> bytes:
    return json.dumps({"do": do, "files": files or [_DIGEST]}).encode()


async def _refused(body: bytes, **headers: str) -> tuple[int, str]:
    fields = {"Host": "cache:3142", "Content-Type": JSON, "Authorization": "Bearer right"} | headers
    acts = Acts()
    with pytest.raises(ActionRefused) as caught:
        await from_api(acts, posted("/api/v1/stored", body, fields))
    assert [] == acts.wishes
    return caught.value.status, str(caught.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_from_api__done(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is done, and the log says so, without the token."""
    acts = Acts()
    fields = {"Host": "cache", "Content-Type": f"{JSON}; charset=utf-8", "Authorization": f"{scheme} right"}
    with caplog.at_level(logging.INFO):
        end = await from_api(acts, posted("/api/v1/stored", _wish("pin"), fields))

    assert (Action.PIN, 1) == (end.do, end.files)
    assert [ActionWish(Action.PIN, (_DIGEST,))] == acts.wishes
    (record,) = caplog.records
    assert ("pin", 1) == (record.__dict__["action"], record.__dict__["files"])
    assert "right" not in str(record.__dict__)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Basic cmlnaHQ="}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer "}, 403),
        ({"Authorization": "Bearer closed"}, 503),
        ({"Authorization": "Bearer full"}, 503),
        ({"Content-Type": FORM}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": f"{MOST + 1}"}, 413),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_from_api__refused_by_the_head(headers: dict[str, str], status: int) -> None:
    """Nothing is done, whatever the body says."""
    assert status == (await _refused(_wish(), **headers))[0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b'{"do": "delete"}',
        b"\xff\xfe",
        _wish("burn"),
        _wish("delete", "../etc/passwd"),
        _wish("delete", "AB" * 32),
        _wish("delete", f"{_DIGEST}\n"),
        _wish("delete", *[_DIGEST] * 1001),
        b'{"do": "delete", "files": []}',
        b'{"do": "delete", "files": ["' + _DIGEST.encode() + b'"], "all": true}',
        b"[" * 50_000,
    ],
)
async def test_from_api__bad_body(body: bytes) -> None:
    """What is wrong is said; a field that is not known is no wish that may be guessed."""
    status, text = await _refused(body)
    assert (400, "The body is no wish: ") == (status, text[:21])


async def test_from_api__long_body_without_a_length() -> None:
    """It is read up to the bound, and no further."""
    assert 413 == (await _refused(bytes(MOST + 1)))[0]


async def test_from_api__body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr(action_requests, "_SECONDS", 0.01)
    fields = {"Host": "cache", "Content-Type": JSON, "Authorization": "Bearer right"}
    with pytest.raises(ActionRefused) as caught:
        await from_api(Acts(), posted("/api/v1/stored", b"{", fields, ended=False))
    assert 408 == caught.value.status


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (
            f"token=+a%20&do=pin&file={_DIGEST}&file={_DIGEST}",
            Form("a", ActionWish(Action.PIN, (_DIGEST,)), (_DIGEST,)),
        ),
        (f"do=pin&file={_DIGEST}", Form("", ActionWish(Action.PIN, (_DIGEST,)), (_DIGEST,))),
        ("token=a&do=pin", Form("a", None, ())),
        ("token=a&do=pin&file=x", Form("a", None, ("x",))),
        (f"token=a&file={_DIGEST}", Form("a", None, (_DIGEST,))),
        ("", Form("", None, ())),
    ],
)
async def test_read_form(body: str, form: Form) -> None:
    """The token, and what is wished, if that makes sense."""
    assert form == await read_form(posted("/", body.encode(), {"Host": "cache", "Content-Type": FORM}))


@pytest.mark.parametrize("body", ["a&" * 3000, "\N{SNOWMAN}"])
async def test_read_form__bad_body(body: str) -> None:
    """What no browser sends is refused."""
    with pytest.raises(ActionRefused, match="cannot be read"):
        await read_form(posted("/", body.encode(), {"Host": "cache", "Content-Type": FORM}))


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Origin": "http://cache:3142"}, True),
        ({"Origin": "https://CACHE:3142"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://cache:3142"}, True),
        ({"Origin": "http://cache"}, False),
        ({"Origin": "http://cache:3142.evil.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://[evil"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://cache:3142"}, False),
    ],
)
async def test_check_origin(headers: dict[str, str], passes: bool) -> None:
    """A browser says for which page it sends; other clients need not."""
    request = posted("/", b"", {"Host": "cache:3142"} | headers)
    if passes:
        check_origin(request)
    else:
        with pytest.raises(ActionRefused, match="another site"):
            check_origin(request)
