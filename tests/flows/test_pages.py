"""Index pages, from upstream to the client, when all goes well."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Literal

import aiohttp
import pytest

from tests import faults, pages
from tests.conftest import MakeProxy
from tests.flows.asking import address, content, until_kept
from tests.flows.reading import get
from tests.gates import Gate
from tests.origin import Origin
from tests.wheels import sdist, wheel

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.app import Running

PAGE = "/pypi/simple/demo/"
FORMS = (pages.JSON, pages.HTML, "text/html")


@pytest.mark.parametrize("wanted", FORMS)
@pytest.mark.parametrize("upstream", ["html", "json", "both"])
async def test_page__every_form_out_of_every_form(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, upstream: Literal["html", "json", "both"], wanted: str
) -> None:
    """JSON, HTML and `text/html` come out of an upstream that has only one of them, and name the file and its hash."""
    package = wheel()
    origin.publish(package, fmt=upstream)
    got = await get(http, proxy.url + PAGE, accept=wanted)
    assert (200, wanted) == (got.status, got.headers["content-type"].partition(";")[0])
    assert package.filename.encode() in got.body
    assert package.sha256.encode() in got.body


async def test_page__says_what_clients_act_on(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page may be kept for ten minutes, and varies with what was negotiated."""
    origin.publish(wheel())
    got = await get(http, proxy.url + PAGE)
    assert got.headers["cache-control"] == "max-age=600, public"
    assert got.headers["vary"] == "Accept, Accept-Encoding"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in got.headers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("application/vnd.pypi.simple.v1%2Bjson", pages.JSON),
        ("application/vnd.pypi.simple.v1+json", pages.JSON),
        ("application/vnd.pypi.simple.latest%2Bhtml", pages.HTML),
        ("text/html", "text/html; charset=utf-8"),
    ],
)
async def test_format__wins_over_accept(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, query: str, expected: str
) -> None:
    """`?format=` decides (PEP 691), whatever Accept prefers; `latest` is answered with the version's own type."""
    origin.publish(wheel())
    got = await get(http, f"{proxy.url}{PAGE}?format={query}", accept=f"{pages.JSON}, {pages.HTML};q=0.9")
    assert expected == got.headers["content-type"]


async def test_format__that_is_unknown(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A format that is none leaves the choice to Accept."""
    origin.publish(wheel())
    got = await get(http, f"{proxy.url}{PAGE}?format=application/pdf", accept=pages.JSON)
    assert pages.JSON == got.headers["content-type"]


async def test_links__lead_to_the_file_below_the_mount(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A link is a whole address, without query, and leads to the file's bytes through the cache."""
    package = wheel(version="1.0+cu126")
    origin.publish(package)
    page = await get(http, proxy.url + PAGE, accept=pages.JSON)
    (file,) = page.json["files"]
    assert file["url"] == f"{proxy.url}/pypi/packages/demo-1.0%2Bcu126-py3-none-any.whl"
    got = await get(http, file["url"])
    assert package.body.read(0, package.body.size) == got.body


async def test_links__relative_where_the_address_is_not_certain(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Under a name or another port links are relative; under the host of `public_url` they begin with it."""
    package = wheel()
    origin.publish(package)
    running = await make_proxy(origin.url, public_url="https://cache.example")
    path, found = f"packages/{package.filename}", {}
    for host in ("cache.lan:3142", "127.0.0.1:1", "cache.example"):
        page = await get(http, running.url + PAGE, accept=pages.JSON, host=host)
        found[host] = page.json["files"][0]["url"]
    public = f"https://cache.example/pypi/{path}"
    assert found == {"cache.lan:3142": f"../../{path}", "127.0.0.1:1": f"../../{path}", "cache.example": public}
    in_html = await get(http, running.url + PAGE, accept=pages.HTML)
    assert f'href="../../{path}#'.encode() in in_html.body


async def test_links__to_another_host(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A file on another host is below `~files/<host>/`, and is fetched from there."""
    running = await make_proxy(origin.url, hosts=frozenset({other_origin.host}))
    package = wheel()
    origin.publish(package, files=other_origin)
    page = await get(http, running.url + PAGE, accept=pages.JSON)
    (file,) = page.json["files"]
    path = f"~files/{other_origin.host}:{other_origin.port}/packages/{package.filename}"
    assert file["url"] == f"{running.url}/pypi/{path}"
    got = await get(http, file["url"])
    assert package.body.read(0, package.body.size) == got.body
    assert other_origin.count(f"/packages/{package.filename}") == 1


async def test_links__resolve_against_the_address_after_redirects(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """A relative link belongs to the page where upstream's redirect ended."""
    origin.page("/elsewhere/demo/", [pages.Link("demo-1.0-py3-none-any.whl", "demo-1.0-py3-none-any.whl")])
    origin.resource("/simple/demo/", "")
    origin.misbehave("/simple/demo/", faults.redirect("/elsewhere/demo/"))
    page = await get(http, proxy.url + PAGE, accept=pages.JSON)
    assert [file["url"] for file in page.json["files"]] == [
        f"{proxy.url}/pypi/elsewhere/demo/demo-1.0-py3-none-any.whl"
    ]


async def test_unknown_keys__survive(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What a later standard adds to JSON passes through, at every level."""
    top = {
        "meta": {"api-version": "1.4", "_last-serial": 7, "tracks": ["a"]},
        "name": "demo",
        "versions": ["1.0"],
        "future": {"deep": [1]},
        "files": [{"filename": "demo-1.0.tar.gz", "url": "d/demo-1.0.tar.gz", "hashes": {}, "size": 3, "newer": "yes"}],
    }
    origin.resource("/simple/demo/", json.dumps(top), content_type=pages.JSON)
    made = (await get(http, proxy.url + PAGE, accept=pages.JSON)).json
    assert (made["future"], made["meta"]["tracks"]) == ({"deep": [1]}, ["a"])
    assert (made["files"][0]["newer"], made["versions"]) == ("yes", ["1.0"])


# Validators and coding


async def test_etag__is_strong_and_differs_by_form_and_coding(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Each form and coding has a strong ETag of its own; asked again it is the same."""
    origin.publish(wheel())
    asked = [(form, coding) for form in FORMS for coding in ("identity", "gzip")]
    first = [await get(http, proxy.url + PAGE, accept=form, accept_encoding=coding) for form, coding in asked]
    again = [await get(http, proxy.url + PAGE, accept=form, accept_encoding=coding) for form, coding in asked]
    tags = [got.headers["etag"] for got in first]
    by_body = {got.body: got.headers["etag"] for got in first}
    assert len(by_body) == len(set(tags))
    assert all(tag.startswith('"') for tag in tags)
    assert tags == [got.headers["etag"] for got in again]


@pytest.mark.parametrize("shape", ["{}", "W/{}", '"other", {}', "*"])
async def test_if_none_match__is_answered_304(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, shape: str
) -> None:
    """A client that has the page gets 304 with the ETag and no body (RFC 9110 §13.1.2, §15.4.5)."""
    origin.publish(wheel())
    tag = (await get(http, proxy.url + PAGE)).headers["etag"]
    got = await get(http, proxy.url + PAGE, if_none_match=shape.format(tag))
    assert (304, b"", tag) == (got.status, got.body, got.headers["etag"])
    assert got.headers["cache-control"] == "max-age=600, public"


async def test_if_none_match__of_another_form(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The ETag of the JSON page does not stand for the HTML page."""
    origin.publish(wheel())
    tag = (await get(http, proxy.url + PAGE, accept=pages.JSON)).headers["etag"]
    got = await get(http, proxy.url + PAGE, accept="text/html", if_none_match=tag)
    assert got.status == 200


async def test_gzip__when_the_client_takes_it(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The coded page unpacks to the plain one, and says so."""
    origin.publish(*(wheel(version=f"1.{number}") for number in range(50)))
    plain = await get(http, proxy.url + PAGE, accept=pages.JSON, accept_encoding="identity")
    coded = await get(http, proxy.url + PAGE, accept=pages.JSON, accept_encoding="gzip, deflate")
    assert (plain.headers.get("content-encoding"), coded.headers["content-encoding"]) == (None, "gzip")
    assert plain.body == gzip.decompress(coded.body)
    assert int(coded.headers["content-length"]) == len(coded.body) < len(plain.body)


async def test_gzip__from_upstream(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page that upstream sends gzip coded is unpacked; a client without gzip gets it plain."""
    package = wheel()
    origin.publish(package)
    origin.misbehave("/simple/demo/", faults.gzipped())
    got = await get(http, proxy.url + PAGE, accept_encoding="identity")
    assert package.filename.encode() in got.body
    assert "content-encoding" not in got.headers


@pytest.mark.parametrize("warm", [False, True])
async def test_head__is_get_without_the_body(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, *, warm: bool
) -> None:
    """HEAD is answered with 200 and the head of GET, never with a redirect or an error."""
    origin.publish(wheel())
    if warm:
        await get(http, proxy.url + PAGE)
    head = await get(http, proxy.url + PAGE, "HEAD")
    whole = await get(http, proxy.url + PAGE)
    alike = ("content-length", "content-type", "etag", "cache-control", "vary")
    assert (200, b"") == (head.status, head.body)
    assert [whole.headers[name] for name in alike] == [head.headers[name] for name in alike]


# Redirects


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/pypi/simple/demo", "demo/"),
        ("/pypi/simple/De.Mo_x", "De.Mo_x/"),
        ("/pypi/simple", "simple/"),
        ("/pypi/simple/demo?format=text/html", "demo/?format=text/html"),
        ("/pypi/simple/demo?format=application/vnd.pypi.simple.latest%2Bjson&x=1", f"demo/?format={pages.JSON}"),
        ("/pypi/simple/demo?next=//evil.example/", "demo/"),
    ],
)
async def test_redirect__to_where_a_page_is(
    proxy: Running, origin: Origin, http: aiohttp.ClientSession, asked: str, location: str
) -> None:
    """A 302, which no client keeps, leads to a relative address made of known parts only."""
    got = await get(http, proxy.url + asked)
    assert (302, location) == (got.status, got.headers["location"].replace("%2B", "+"))
    assert got.headers["cache-control"] == "no-store"
    assert origin.count() == 0


async def test_redirect__to_the_normalised_name(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A project's name is normalised; upstream is asked first whether it has the name as it is written."""
    got = await get(http, f"{proxy.url}/pypi/simple/De.Mo_x/?next=//evil.example/")
    assert (302, "../de-mo-x/") == (got.status, got.headers["location"])
    assert ["/simple/De.Mo_x/"] == [request.path for request in origin.requests]


async def test_redirect__leads_to_the_page(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Followed, it ends at the page of the normalised name."""
    origin.publish(wheel("de-mo"))
    async with http.get(f"{proxy.url}/pypi/simple/De_Mo") as answer:
        assert (200, "/pypi/simple/de-mo/") == (answer.status, answer.url.path)


# Freshness


async def test_fresh_page__is_not_asked_for_again(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Within its life a page costs upstream one request, whatever form is asked for."""
    origin.publish(wheel(), fmt="both")
    outcomes = [(await get(http, proxy.url + PAGE, accept=form)).cache for form in FORMS]
    assert outcomes == ["miss", "hit", "hit"]
    assert origin.count() == 1


async def test_max_age_0__does_not_reach_upstream(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Old pips send `max-age=0` with every page: that alone revalidates nothing."""
    origin.publish(wheel())
    await get(http, proxy.url + PAGE)
    got = await get(http, proxy.url + PAGE, cache_control="max-age=0")
    assert ("hit", 1) == (got.cache, origin.count())


@pytest.mark.parametrize(
    ("etag", "last_modified", "condition"),
    [
        ('"strong"', None, {"if-none-match": '"strong"'}),
        ('W/"weak"', None, {"if-none-match": 'W/"weak"'}),
        (None, "Wed, 01 Jan 2025 00:00:00 GMT", {"if-modified-since": "Wed, 01 Jan 2025 00:00:00 GMT"}),
    ],
)
async def test_stale_page__is_revalidated_by_what_upstream_gave(
    make_proxy: MakeProxy,
    origin: Origin,
    http: aiohttp.ClientSession,
    etag: str | None,
    last_modified: str | None,
    condition: dict[str, str],
) -> None:
    """A page past its life is confirmed by 304, and its body is not sent again."""
    running = await make_proxy(origin.url, ttl=0)
    body = pages.as_html("demo", [wheel().link("/packages/x.whl")])
    origin.resource("/simple/demo/", body, content_type="text/html", etag=etag, last_modified=last_modified)
    first = await get(http, running.url + PAGE)
    again = await get(http, running.url + PAGE)
    assert ("miss", "revalidated") == (first.cache, again.cache)
    assert first.body == again.body
    assert condition.items() <= origin.requests[1].headers.items()
    assert origin.sent_body_bytes() == len(body)


async def test_stale_page__that_changed(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page past its life that changed upstream is replaced."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel(version="1.0"))
    await get(http, running.url + PAGE)
    origin.publish(wheel(version="1.0"), wheel(version="2.0"))
    got = await get(http, running.url + PAGE)
    assert got.cache == "miss"
    assert wheel(version="2.0").filename.encode() in got.body


async def test_stale_page__of_an_upstream_without_validators(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession
) -> None:
    """Without validators the page comes again, unconditionally; the same bytes count as revalidated."""
    running = await make_proxy(origin.url, ttl=0)
    origin.publish(wheel())
    origin.misbehave("/simple/demo/", faults.without_headers("ETag", "Last-Modified"))
    await get(http, running.url + PAGE)
    got = await get(http, running.url + PAGE)
    assert (200, "revalidated") == (got.status, got.cache)
    assert not {"if-none-match", "if-modified-since"} & origin.requests[1].headers.keys()


async def test_page__after_a_restart(make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession) -> None:
    """A page survives a restart; fresh, it needs no upstream (row 24 of the faults)."""
    running = await make_proxy(origin.url)
    origin.publish(wheel())
    before = await get(http, running.url + PAGE)
    await running.close()
    await origin.stop()
    running = await make_proxy(origin.url)
    after = await get(http, running.url + PAGE)
    assert ("hit", before.body, before.headers["etag"]) == (after.cache, after.body, after.headers["etag"])


async def test_page__long_after_a_restart(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, data_folder: Path
) -> None:
    """What was made of a long page lies beside it: the form is the same, and a file of it is found."""
    running = await make_proxy(origin.url)
    packages = [sdist("demo", f"1.{number}") for number in range(200)]
    origin.publish(*packages)
    asked = {"accept": pages.JSON, "accept_encoding": "gzip", "host": "cache.example"}  # not the port, which changes
    before = await get(http, running.url + PAGE, **asked)
    await get(http, address(running, packages[50]))
    await until_kept(http, address(running, packages[50]))
    await running.close()
    await origin.stop()
    kept = {path.name for path in (data_folder / "index" / "sha256").rglob("*") if path.is_file()}
    running = await make_proxy(origin.url)
    after = await get(http, running.url + PAGE, **asked)
    file = await get(http, address(running, packages[50]))

    assert ("hit", before.body, before.headers["etag"]) == (after.cache, after.body, after.headers["etag"])
    assert ("hit", content(packages[50].body)) == (file.cache, file.body)
    assert 4 == len(kept)  # the page, its outline, its form, the file


# Single flight


async def test_herd__is_one_request_upstream(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Forty clients who ask for a cold page at once, in three forms, cost upstream one request (row 15)."""
    origin.publish(wheel())
    gate = Gate()
    origin.misbehave("/simple/demo/", faults.hold_head(gate))
    asking = [asyncio.create_task(get(http, proxy.url + PAGE, accept=FORMS[number % 3])) for number in range(40)]
    await gate.reached.wait()
    await _all_waiting(proxy, 40)
    gate.open()
    got = await asyncio.gather(*asking)
    assert {answer.status for answer in got} == {200}
    assert sorted({answer.cache for answer in got}) == ["miss", "shared"]
    assert [answer.cache for answer in got].count("miss") == 1
    assert origin.count() == 1


async def test_first_asker__goes_away(proxy: Running, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The work goes on for the others when the client that began it leaves (row 17)."""
    origin.publish(wheel())
    gate = Gate()
    origin.misbehave("/simple/demo/", faults.hold_head(gate))
    first = asyncio.create_task(get(http, proxy.url + PAGE))
    await gate.reached.wait()
    second = asyncio.create_task(get(http, proxy.url + PAGE))
    await _all_waiting(proxy, 2)
    first.cancel()
    await asyncio.wait([first])
    gate.open()
    assert ((await second).status, origin.count()) == (200, 1)


async def _all_waiting(running: Running, count: int) -> None:
    """Until `count` clients are connected: all of them have sent their request by then, or are about to."""
    while len(running_connections(running)) < count:
        await asyncio.sleep(0)


def running_connections(running: Running) -> list[object]:
    """The server's open connections."""
    return [task for task in asyncio.all_tasks() if "RequestHandler.start" in repr(task.get_coro())]
