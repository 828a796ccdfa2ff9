"""The program's own pages. Real clients read them in the flows."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.control.admin_token import TokenRefused
from proxy.control.protocol import ActionEnd, ActionWish, FoundFiles, NamedFile, Order, StoredFile
from proxy.status import Now
from proxy.web.api import Api
from proxy.web.own_pages import OwnPages, detecting_script, usage
from tests.web.posting import posted

INDEXES = {"pypi": "simple/", "bare": ""}


class Transport:
    """A connection to port 3142 of an IPv6 address."""

    def get_extra_info(self, name: str) -> tuple[str, int, int, int] | None:
        return ("fd00::7", 3142, 0, 0) if name == "sockname" else None


def request(**headers: str) -> web.BaseRequest:
    """A request with these headers."""
    return make_mocked_request("GET", "/", headers=headers, transport=Transport())


def text(answer: web.Response) -> str:
    """The text of an answer."""
    assert answer.text is not None
    return answer.text


def test_usage__indexes() -> None:
    """All of them, in order, each with the path below its mount."""
    said = text(usage(request(Host="cache.example:3142"), INDEXES))
    assert "Indexes:\n  http://cache.example:3142/bare/\n  http://cache.example:3142/pypi/simple/\n" in said


def test_usage__no_pypi() -> None:
    """The lines for clients are those of an index that is there."""
    assert "PIP_INDEX_URL=http://a/other/\n" in text(usage(request(Host="a"), {"other": ""}))


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("Cache.example", "https://cache.example"),
        ("cache.example:3142", "http://cache.example:3142"),
        ("10.0.0.1:3142", "http://10.0.0.1:3142"),
    ],
)
async def test_usage__behind_a_server_with_tls(host: str, base: str) -> None:
    """The lines for clients have the scheme that the settings name for this host."""
    pages = operations(names={"cache.example"}, public_url="https://cache.example")
    for path, headers in (("/", {}), ("/", {"Accept": "text/html"}), ("/api/apt-proxy-detect", {})):
        answer = await pages.answer(path, request(Host=host, **headers))
        assert answer is not None
        said = answer.body.decode() if isinstance(answer.body, bytes) else text(answer)
        assert base in said
        assert (f"http://{host.lower()}" in said) is base.startswith("http:")


@pytest.mark.parametrize(
    ("accept", "status"), [("text/html", 200), ("a/b, text/html;q=0.5", 200), ("text/*", 406), ("*/*", 406), ("", 406)]
)
async def test_front__page_or_usage(accept: str, status: int) -> None:
    """Only a client that accepts HTML gets the page, and Vary says so."""
    answer = await operations().answer("/", request(Host="localhost", Accept=accept))
    assert answer is not None
    assert (status, "Accept") == (answer.status, answer.headers["Vary"])


async def test_front__page_is_shut_in() -> None:
    """It loads nothing from elsewhere, and no other page shows it in a frame."""
    answer = await operations().answer("/", request(Host="localhost", Accept="text/html"))
    assert answer is not None
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "http://localhost/pypi/simple/" in text(answer)


async def test_front__the_living_part() -> None:
    """What the page's script fetches anew is a part of the page, and no page."""
    own = operations()
    fields = {"Host": "localhost", "Accept": "text/html"}
    part = await own.answer("/", make_mocked_request("GET", "/?view=live", headers=fields, transport=Transport()))
    whole = await own.answer("/", make_mocked_request("GET", "/", headers=fields, transport=Transport()))
    assert part is not None
    assert whole is not None
    assert 'id="downloads"' in text(part)
    assert "<body>" not in text(part)
    assert text(part).strip() in text(whole)


async def test_front__the_living_part_that_one_has() -> None:
    """Who sends its validator gets it again only if it changed."""
    own = operations()
    fields = {"Host": "localhost", "Accept": "text/html"}

    async def ask(tag: str) -> web.Response:
        sent = make_mocked_request("GET", "/?view=live", headers=fields | {"If-None-Match": tag}, transport=Transport())
        answer = await own.answer("/", sent)
        assert answer is not None
        return answer

    first = await ask("")
    again = await ask(first.headers["ETag"])

    assert (200, 304, 200) == (first.status, again.status, (await ask('"another"')).status)
    assert first.headers["ETag"] == again.headers["ETag"]
    assert again.body is None


async def test_front__filters() -> None:
    """What a person typed is a text to look for, and stands in the form again."""
    asked = make_mocked_request("GET", "/?client=10.0.0.7&path=%3Cb%3E", headers={"Host": "a", "Accept": "text/html"})
    answer = await operations(names={"a"}).answer("/", asked)
    assert answer is not None
    assert 'name="client" value="10.0.0.7"' in text(answer)
    assert 'name="path" value="&lt;b&gt;"' in text(answer)


@pytest.mark.parametrize("path", ["/", "/api/v1/now", "/api/v1/openapi.json", "/api/v1/none"])
@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:3142", True),
        ("[fd00::7]", True),
        ("localhost:3142", True),
        ("cache.lan", True),
        ("evil.example", False),
        ("cache.lan.evil.example", False),
        ("a b", False),
        ("", False),
    ],
)
async def test_answer__host_of_a_page_elsewhere(path: str, host: str, own: bool) -> None:
    """A page whose name leads to this cache cannot read what it says (DNS rebinding)."""
    asked = make_mocked_request("GET", path, headers={"Host": host, "Accept": "text/html"}, transport=Transport())
    answer = await operations(names={"cache.lan"}).answer(path, asked)
    assert answer is not None
    assert own == (answer.status != 403)


async def _stored(query: str) -> web.Response:
    asked = make_mocked_request("GET", f"/?view=stored{query}", headers={"Host": "localhost", "Accept": "text/html"})
    answer = await operations().answer("/", asked)
    assert answer is not None
    return answer


async def test_stored__a_row_and_the_next_part() -> None:
    """Each file with its digest; where there are more, a link leads to them and keeps what was typed."""
    page = text(await _stored("&q=%22torch%22&order=age&start=100"))

    for part in (
        "250 files, 1.0 GB; shown from 101 to 101.",
        " torch-2.7.1.whl</label> <strong>pinned</strong></th>",
        '<td class="number">7</td>',
        "821.2 MB",
        "1970-01-01 00:01:00 UTC",
        "ab" * 32,
        'value="&#34;torch&#34;"',
        '<option value="age" selected>',
        'href="/?view=stored&amp;q=%22torch%22&amp;order=age&amp;start=200" rel="next"',
        'href="/?view=stored&amp;q=%22torch%22&amp;order=age&amp;start=0" rel="prev"',
    ):
        assert part in page, part


_FILES = "&".join(f"file={digest}" for digest in ("ab" * 32, "cd" * 32))


async def _sent(form: str, query: str = "?view=stored&q=torch&start=100", **headers: str) -> web.Response:
    fields = {"Host": "localhost", "Content-Type": "application/x-www-form-urlencoded"} | headers
    answer = await operations().answer("/", posted(f"/{query}", form.encode(), fields))
    assert answer is not None
    return answer


async def test_action__done() -> None:
    """What was done is said above the list that was looked at; the token is nowhere on the page."""
    answer = await _sent(f"token=right&do=delete&{_FILES}")
    page = text(answer)

    assert 200 == answer.status
    assert '<p role="status">Deleted: 2 files, 2.0 kB. 1 file: not stored any more.</p>' in page
    assert "250 files, 1.0 GB; shown from 101 to 101." in page
    assert 'action="/?view=stored&amp;q=torch&amp;order=size&amp;start=100"' in page
    assert ("right" in page, "checked" in page) == (False, False)


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        (f"token=wrong&do=delete&{_FILES}", 403, "This is not the admin token of this cache."),
        (f"do=delete&{_FILES}", 403, "This is not the admin token of this cache."),
        (f"token=closed&do=delete&{_FILES}", 503, "The data folder is not open yet"),
        ("token=right&do=delete", 400, "Choose at least one file."),
        (f"token=right&do=burn&{_FILES}", 400, "Choose at least one file."),
        ("token=right&do=delete&file=../../etc/passwd", 400, "Choose at least one file."),
    ],
)
async def test_action__refused(form: str, status: int, words: str) -> None:
    """Why is said, a screen reader says it, and what was chosen stays chosen."""
    answer = await _sent(form)
    page = text(answer)

    assert status == answer.status
    assert f'role="alert" id="problem">{words}' in page
    assert ("ab" * 32 in form) == (" checked" in page)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Length": "200000"}, 413),
    ],
)
async def test_action__never_read(headers: dict[str, str], status: int) -> None:
    """What is refused by its head ends the connection."""
    answer = await _sent(f"token=right&do=delete&{_FILES}", **headers)

    assert (status, False) == (answer.status, answer.keep_alive)


async def test_front__a_browser_says_where_a_form_comes_from() -> None:
    """With no-referrer, the page's own forms would have no origin."""
    answer = await operations().answer("/", request(Host="localhost", Accept="text/html"))
    assert answer is not None
    assert "same-origin" == answer.headers["Referrer-Policy"]


async def test_stored__not_open() -> None:
    """A data folder that cannot be used yet is said."""
    assert "The data folder is not open yet." in text(await _stored("&q=closed"))


@pytest.mark.parametrize("query", ["&order=x", "&start=-1", "&start=9999999999", "&count=%D9%A1"])
async def test_stored__wrong_query(query: str) -> None:
    """What cannot be understood is said, and nothing else happens."""
    assert 400 == (await _stored(query)).status


async def test_answer__page_files() -> None:
    """The page's own files are of their types."""
    for path, content_type in (("/api/page.css", "text/css"), ("/api/page.js", "text/javascript")):
        answer = await operations().answer(path, make_mocked_request("GET", path))
        assert answer is not None
        assert (200, content_type) == (answer.status, answer.content_type)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("cache.example", "http://cache.example"),
        ("10.0.0.7:3142", "http://10.0.0.7:3142"),
        ("[fd00::8]:80", "http://[fd00::8]:80"),
        ("a'b", "http://[fd00::7]:3142"),
        ("", "http://[fd00::7]:3142"),
    ],
)
def test_detecting_script__address(host: str, expected: str) -> None:
    """The one that the client used, if it is plain, else the one that it reached."""
    assert f"\ncache={expected}\n" in text(detecting_script(request(Host=host)))


async def now() -> Now:
    """A cache that has just been started."""
    return Now("1", 0.0, 0, 0, 0, 0, 0, 100, None)


async def stored(text: str, order: Order, start: int, count: int) -> FoundFiles | None:
    """One file, whatever is asked for; the store is not open for those who look for "closed"."""
    file = NamedFile("torch-2.7.1.whl", "pypi", "file", 821_200_000, "torch", "2.7.1", 60.0)
    return (
        None if text == "closed" else FoundFiles(250, 10**9, (StoredFile("ab" * 32, file, 0, pinned=True, requests=7),))
    )


async def act(token: str, wish: ActionWish) -> ActionEnd | None:
    """Done, if the token is "right"; the store is not open for those who show "closed"."""
    if token == "closed":
        return None
    if token != "right":
        raise TokenRefused("This is not the admin token of this cache.")
    return ActionEnd(wish.do, len(wish.files), 2000, 1)


def operations(trouble: str | None = None, names: AbstractSet[str] = frozenset(), public_url: str = "") -> OwnPages:
    """The pages of a program with two mounts."""
    unasked: Any = None
    api = Api(now, stored, act, unasked)
    return OwnPages(lambda: (b"figures", "text/plain"), lambda: trouble, api, INDEXES, names, public_url)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 406),
        ("/api/apt-proxy-detect", 200),
        ("/metrics", 200),
        ("/healthz", 200),
        ("/readyz", 200),
        ("/api/x", 404),
        ("/pypi/", None),
        ("/x", None),
    ],
)
async def test_answer(path: str, status: int | None) -> None:
    """Reserved addresses are answered here, all others are not."""
    answer = await operations().answer(path, make_mocked_request("GET", path))
    assert status == (None if answer is None else answer.status)


async def test_health__says_what_is_wrong() -> None:
    """A cache whose disk fails is alive: it serves past it."""
    answer = await operations("the disk fails").answer("/healthz", make_mocked_request("GET", "/healthz"))
    assert answer is not None
    assert (200, "degraded: the disk fails\n") == (answer.status, answer.text)
