"""The tests' upstream is right by default, and wrong only when a test asked for it."""

from __future__ import annotations

import hashlib
import ssl

import aiohttp
import pytest
import trustme

from tests import faults, wheels
from tests.answers import LONG_AGO, Answer
from tests.bodies import Plain
from tests.exchange import ask
from tests.gates import Gate
from tests.origin import Limit, Origin

_PATH = "/packages/demo-1.0-py3-none-any.whl"
_BODY = bytes(range(256)) * 4


async def test_file__whole(origin: Origin, http: aiohttp.ClientSession) -> None:
    """A file has its length and its validators, and the origin knows what it sent."""
    origin.file(_PATH, _BODY)

    async with http.get(origin.url + _PATH) as answer:
        assert _BODY == await answer.read()

    assert (200, str(len(_BODY)), LONG_AGO) == (
        answer.status,
        answer.headers["Content-Length"],
        answer.headers["Last-Modified"],
    )
    assert f'"{hashlib.sha256(_BODY).hexdigest()[:32]}"' == answer.headers["ETag"]
    assert (1, len(_BODY), len(_BODY)) == (
        origin.count(_PATH),
        origin.sent_body_bytes(_PATH),
        origin.sent_body_bytes(),
    )


async def test_file__head(origin: Origin) -> None:
    """HEAD says what GET would say, and sends no body."""
    origin.file(_PATH, _BODY)

    answer = await ask(origin.url + _PATH, method="HEAD")

    assert f"Content-Length: {len(_BODY)}" in answer.head
    assert (b"", 0) == (answer.rest, origin.sent_body_bytes())


async def test_file__keeps_connection(origin: Origin, http: aiohttp.ClientSession) -> None:
    """Requests one after another share a connection."""
    origin.file(_PATH, _BODY)

    for _ in range(3):
        async with http.get(origin.url + _PATH) as answer:
            await answer.read()

    assert (3, 1, 1) == (origin.count(), origin.accepted, origin.open_connections)


async def test_file__no_ranges_no_length(origin: Origin) -> None:
    """An upstream that cannot do ranges ignores them, and one without lengths sends chunks."""
    origin.file(_PATH, b"abc", ranges=False, length=False)

    answer = await ask(origin.url + _PATH, Range="bytes=1-")

    assert ("200", b"3\r\nabc\r\n0\r\n\r\n") == (answer.status, answer.rest)
    assert "content-length" not in answer.head.lower()
    assert "accept-ranges" not in answer.head.lower()


async def test_file__encoded_path(origin: Origin) -> None:
    """A plus sign in a path is found as it is, and percent-encoded."""
    origin.file("/demo-1.0+cu126.whl", b"abc")

    assert ["200", "200"] == [
        (await ask(origin.url + path)).status for path in ("/demo-1.0+cu126.whl", "/demo-1.0%2Bcu126.whl")
    ]


async def test_origin__unknown_path(origin: Origin) -> None:
    """What no test put there is 404."""
    assert "404" == (await ask(origin.url + "/other")).status


async def test_publish__files_elsewhere(origin: Origin, other_origin: Origin) -> None:
    """Files may lie on another host than their pages; wheels have their metadata beside them."""
    package = wheels.wheel("demo", requires=("other>=1",))

    origin.publish(package, wheels.sdist("demo", "0.9"), metadata=True, files=other_origin)

    page = (await ask(origin.url + "/simple/demo/")).rest.decode()
    assert f'href="{other_origin.url}{_PATH}#sha256={package.sha256}"' in page
    assert 1 == page.count("data-core-metadata")
    assert package.metadata == (await ask(other_origin.url + f"{_PATH}.metadata")).rest
    assert "404" == (await ask(origin.url + _PATH, _PATH)).status


async def test_origin__tls(secure_origin: Origin, authority: trustme.CA, http: aiohttp.ClientSession) -> None:
    """Over TLS only those who know the private authority get through."""
    secure_origin.file(_PATH, _BODY)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async with http.get(secure_origin.url + _PATH, ssl=trusting) as answer:
        assert _BODY == await answer.read()
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await http.get(secure_origin.url + _PATH, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def test_origin__stopped_and_started(origin: Origin) -> None:
    """A stopped origin refuses connections; started again it is where it was."""
    origin.file(_PATH, _BODY)
    await origin.stop()
    with pytest.raises(ConnectionRefusedError):
        await ask(origin.url + _PATH)

    await origin.start()

    assert _BODY == (await ask(origin.url + _PATH)).rest


async def test_misbehave__in_turn(origin: Origin) -> None:
    """Misbehaviours take effect one after another, for as many requests as was said, then all is well."""
    origin.file(_PATH, _BODY)
    origin.misbehave(_PATH, faults.status(503, retry_after="7"), times=2)
    origin.misbehave(_PATH, faults.status(404), times=1)

    answers = [await ask(origin.url + _PATH) for _ in range(4)]

    assert ["503", "503", "404", "200"] == [answer.status for answer in answers]
    assert "Retry-After: 7" in answers[0].head


async def test_misbehave__only_when(origin: Origin) -> None:
    """A misbehaviour may be for some requests only, and for any path, until the test takes it back."""
    origin.file(_PATH, _BODY)
    origin.misbehave(None, faults.status(500), when=lambda request: "range" in request.headers)

    before = [(await ask(origin.url + _PATH)).status, (await ask(origin.url + _PATH, Range="bytes=1-")).status]
    origin.behave()

    assert ["200", "500"] == before
    assert "206" == (await ask(origin.url + _PATH, Range="bytes=1-")).status


async def test_route__handler(origin: Origin) -> None:
    """A test may answer by a function of its own."""
    origin.route("/own", lambda request: Answer(body=Plain(request.method.encode())))

    assert b"GET" == (await ask(origin.url + "/own")).rest


async def test_twin__same_paths(origin: Origin) -> None:
    """Another address of the same server has what was put at the first, before and after, and counts for itself."""
    origin.file(_PATH, _BODY)
    async with origin.twin("127.0.0.2") as twin:
        origin.file("/later", b"abc")

        assert ["200", "200", "404"] == [(await ask(twin.url + path)).status for path in (_PATH, "/later", "/never")]
        assert (0, 3) == (origin.count(), twin.count())


async def test_admit__before_anything(origin: Origin) -> None:
    """Who is not admitted gets the answer of the door, whatever is behind it; the others what is there."""
    origin.file(_PATH, _BODY)
    origin.admit = lambda request: None if "cookie" in request.headers else Answer(401)

    assert ["401", "401", "200"] == [
        (await ask(origin.url + path, **headers)).status
        for path, headers in ((_PATH, {}), ("/never", {}), (_PATH, {"cookie": "a=b"}))
    ]


async def test_limit__further_answers_are_spoilt(origin: Origin, http: aiohttp.ClientSession) -> None:
    """Only so many answers are under way at once; one that was refused takes no place."""
    gate = Gate()
    origin.file(_PATH, _BODY)
    origin.limit = Limit(2, faults.status(503))
    origin.misbehave(_PATH, faults.hold_body(0, gate), times=2)
    held = [await http.get(origin.url + _PATH) for _ in range(2)]
    refused = [await http.get(origin.url + _PATH) for _ in range(3)]
    gate.open()
    bodies = [await answer.read() for answer in (*held, *refused)]
    async with http.get(origin.url + _PATH) as after:
        assert 200 == after.status
    assert ([200, 200, 503, 503, 503], 3) == ([answer.status for answer in (*held, *refused)], origin.refused)
    assert [_BODY, _BODY] == bodies[:2]


async def test_limit__resets_the_oldest(origin: Origin, http: aiohttp.ClientSession) -> None:
    """Without a fault the oldest answer breaks off, and the new one comes."""
    gate = Gate()
    origin.file(_PATH, _BODY)
    origin.limit = Limit(1)
    origin.misbehave(_PATH, faults.hold_body(10, gate), times=1)
    oldest = await http.get(origin.url + _PATH)
    async with http.get(origin.url + _PATH) as newest:
        assert _BODY == await newest.read()
    with pytest.raises(aiohttp.ClientError):
        await oldest.read()
    assert 1 == origin.refused
