"""Which address a request goes to next, with which headers, and with which credentials."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from proxy.config.credentials import KnownCredentials
from proxy.config.proxy_selection import KnownProxies
from proxy.config.settings import Settings
from proxy.config.upstreams import UpstreamSettings
from proxy.errors import NotAllowed, NotFound, PullthroughError, UpstreamBroken, UpstreamDenied, UpstreamError
from proxy.model import UpstreamRequest
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.hops import follow, headers_for, parse
from tests.answers import Answer, Request
from tests.forward import Forward
from tests.origin import Origin
from tests.upstream.conftest import Make
from tests.upstream.scripted import Line, Then, scripted

HERE = parse("https://index.example/simple/demo/")
OLD, NEW = ("me:0ld-s3cret", "me:n3w-s3cret")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://files.example/a%2Bb/c%20d?sig=%2F#sha256=00", "https://files.example/a%2Bb/c%20d?sig=%2F"),
        ("http://files.example/a b/ü", "http://files.example/a%20b/%C3%BC"),
        ("http://127.0.0.1:8080/a+b~c", "http://127.0.0.1:8080/a+b~c"),
        ("http://[::1]:81/x", "http://[::1]:81/x"),
    ],
)
def test_parse__kept_as_written(text: str, expected: str) -> None:
    """The percent-encoding of an address is upstream's business; only what may not stand in one is encoded."""
    assert expected == str(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "ftp://files.example/x",
        "file:///etc/passwd",
        "//files.example/x",
        "/x",
        "http:///x",
        "http://user:secret@files.example/x",
        "http://index.example\\@files.example/",
        "http://files.example:99999/",
        "http://files.example:0/",
        "http://files.example/\r\nX: 1",
        "http://files.example/\x00",
        "http://[fe80::1%25eth0]/",
        "http://fil%65s.example/",
    ],
)
def test_parse__address_that_is_not_asked(text: str) -> None:
    """Other schemes, credentials, control characters and disguised hosts are refused."""
    with pytest.raises(NotAllowed):
        parse(text)


@given(st.text())
def test_parse__any_text(text: str) -> None:
    """Whatever text comes, it is an http address in ASCII or refused."""
    try:
        url = parse("http://files.example/" + text)
    except NotAllowed:
        return
    assert url.raw_host == "files.example"
    assert str(url).isascii()
    assert all(character > " " for character in str(url))


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://cdn.example/x?sig=a%2Bb", "https://cdn.example/x?sig=a%2Bb"),
        ("/other/", "https://index.example/other/"),
        ("../six/", "https://index.example/simple/six/"),
        ("//cdn.example/y", "https://cdn.example/y"),
        ("?page=2", "https://index.example/simple/demo/?page=2"),
        ("/\xc3\xbc", "https://index.example/%C3%BC"),
    ],
)
def test_follow__location(location: str, expected: str) -> None:
    """Absolute and relative references are resolved against the address that redirected (RFC 3986 §5.2)."""
    assert expected == str(follow(HERE, location))


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://index.example/",
        "javascript:alert(1)",
        "ftp://cdn.example/",
        "https://user@cdn.example/",
        "https://cdn.example/\x0bx",
        "https://cdn.example:bad/",
    ],
)
def test_follow__location_that_is_not_followed(location: str | None) -> None:
    """From https only to https, and never to what is no plain address."""
    with pytest.raises(UpstreamBroken):
        follow(HERE, location)


def test_follow__from_http_to_https() -> None:
    """The way to more safety is open."""
    assert str(follow(URL("http://index.example/"), "https://index.example/x")) == "https://index.example/x"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("https://index.example/x", {"Authorization", "Cookie", "Range"}),
        ("https://INDEX.example:443/x", {"Authorization", "Cookie", "Range"}),
        ("https://index.example:444/x", {"Range"}),
        ("https://cdn.example/x", {"Range"}),
    ],
)
def test_headers_for__credentials(target: str, names: set[str]) -> None:
    """Credentials stay with the origin that they were given for."""
    headers = {"Authorization": "Basic x", "Cookie": "a=b", "Range": "bytes=0-1"}
    assert names == set(headers_for(parse(target), HERE, headers))


# Credentials


def basic(pair: str) -> str:
    """The header's value (RFC 7617)."""
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def upstream(url: str, *hosts: str, **more: object) -> UpstreamSettings:
    """An index with a password, and other hosts."""
    return UpstreamSettings.model_validate({"mount": "demo", "url": url, "hosts": hosts, "credentials": "netrc"} | more)


class House:
    """Credentials of one upstream in a file, and the client's requests for it."""

    def __init__(self, make: Make, folder: Path, entry: UpstreamSettings, text: str, **more: object) -> None:
        self._file = folder / "netrc"
        self.write(text)
        settings = Settings(data=folder, upstreams=(entry,))
        self.known = KnownCredentials.find(settings, {"NETRC": str(self._file)})
        self.site = next(site for site in settings.sites(self.known.hosts) if site.mount == "demo")
        self.client: AiohttpUpstream = make(credentials=self.known, **more)

    def write(self, text: str) -> None:
        """Renew the file."""
        self._file.write_text(text, encoding="utf-8")

    async def get(self, url: str) -> bytes:
        """Ask, and read the body out."""
        async with self.client.get(UpstreamRequest(url, self.site)) as reply:
            return b"".join([chunk async for chunk in reply.chunks()])


def seen(origin: Origin) -> list[str | None]:
    """The credentials of the requests."""
    return [request.headers.get("authorization") for request in origin.requests]


class Door:
    """Lets in who says this, and answers others with `status`."""

    def __init__(self, pair: str, status: int = 401, *headers: tuple[str, str]) -> None:
        self.pair = pair
        self.refusal = Answer(status, headers)

    def __call__(self, request: Request) -> Answer | None:
        """The refusal, or None."""
        return None if request.headers.get("authorization") == basic(self.pair) else self.refusal


# Redirects


def redirect(location: str) -> Answer:
    """To somewhere else."""
    return Answer(302, (("Location", location),))


async def test_redirect__each_host_is_told_its_own(origin: Origin, make: Make, tmp_path: Path) -> None:
    """A hop to a host of the settings carries the file's credentials for that host, and not those of the last one."""
    async with Origin("127.0.0.2") as files, Origin("127.0.0.4") as plain:
        origin.route("/a", lambda _: redirect(f"{files.url}/b"))
        files.route("/b", lambda _: redirect(f"{plain.url}/c"))
        plain.route("/c", lambda _: redirect(f"{origin.url}/d"))
        origin.file("/d", b"there")
        hosts = (f"127.0.0.2:{files.port}", f"127.0.0.4:{plain.port}")
        text = "machine 127.0.0.1 login a password index-s3cret\nmachine 127.0.0.2 login b password files-s3cret\n"
        house = House(make, tmp_path, upstream(origin.url, *hosts), text)

        assert b"there" == await house.get(f"{origin.url}/a")

        index = basic("a:index-s3cret")
        assert ([index, index], [basic("b:files-s3cret")], [None]) == (seen(origin), seen(files), seen(plain))


async def test_redirect__from_an_open_index(origin: Origin, make: Make, tmp_path: Path) -> None:
    """An index without a password may send on to one that has one."""
    async with Origin("127.0.0.2", admit=Door("b:files-s3cret")) as files:
        origin.route("/a", lambda _: redirect(f"{files.url}/b"))
        files.file("/b", b"there")
        entry = upstream(origin.url, f"127.0.0.2:{files.port}")
        house = House(make, tmp_path, entry, "machine 127.0.0.2 login b password files-s3cret\n")

        assert b"there" == await house.get(f"{origin.url}/a")
        assert [None] == seen(origin)


async def test_redirect__by_a_host_that_nobody_named(origin: Origin, make: Make, tmp_path: Path) -> None:
    """A host that only a redirect or a link names gets no credentials, and cannot send one back with a password."""
    async with Forward(names={"index.invalid:80": origin.port, "other.invalid:80": origin.port}) as forward:
        origin.route("/a", lambda _: redirect("http://other.invalid/b"))
        origin.route("/b", lambda _: redirect("http://index.invalid/c"))
        origin.file("/c", b"there")
        proxies = KnownProxies.find(Settings(data=tmp_path, proxy=forward.url), {})
        text = "machine index.invalid login a password s3cret\nmachine other.invalid login b password s3cret\n"
        house = House(make, tmp_path, upstream("http://index.invalid/"), text, proxies=proxies)

        for start, expected in (
            ("index.invalid/a", [basic("a:s3cret"), None, None]),
            ("other.invalid/b", [None, None]),
        ):
            origin.forget()
            assert b"there" == await house.get(f"http://{start}")
            assert expected == seen(origin)


# Renewal


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_renewed__and_asked_once_more(origin: Origin, make: Make, tmp_path: Path, status: int) -> None:
    """A token that was renewed in the file is used without a restart, from the first refusal on."""
    door = Door(OLD, status, ("WWW-Authenticate", "Basic"))
    origin.admit = door
    origin.file("/x", b"there")
    house = House(make, tmp_path, upstream(origin.url), "default login me password 0ld-s3cret\n")
    assert b"there" == await house.get(f"{origin.url}/x")
    door.pair = NEW
    house.write("default login me password n3w-s3cret\n")

    assert [b"there"] * 2 == [await house.get(f"{origin.url}/x") for _ in range(2)]

    assert [basic(OLD), basic(OLD), basic(NEW), basic(NEW)] == seen(origin)


@pytest.mark.parametrize("target", ["/sign-in", "http://elsewhere.invalid/simple/x/"])
async def test_renewed__where_strangers_are_sent_away(origin: Origin, make: Make, tmp_path: Path, target: str) -> None:
    """A registry that redirects without credentials, to sign in or to a public index, is asked again with new ones."""
    door = Door(OLD, 302, ("Location", target))
    origin.admit = door
    origin.file("/x", b"there")
    house = House(make, tmp_path, upstream(origin.url), "default login me password 0ld-s3cret\n")
    door.pair = NEW
    house.write("default login me password n3w-s3cret\n")

    assert b"there" == await house.get(f"{origin.url}/x")
    assert [basic(OLD), basic(NEW)] == seen(origin)


@pytest.mark.parametrize(("status", "error"), [(401, UpstreamDenied), (403, UpstreamDenied), (404, NotFound)])
async def test_refused__nothing_new(
    origin: Origin, make: Make, tmp_path: Path, status: int, error: type[PullthroughError]
) -> None:
    """A refusal of what still stands there is one request, however many ask."""
    origin.admit = Door(NEW, status)
    house = House(make, tmp_path, upstream(origin.url), "default login me password 0ld-s3cret\n")
    for _ in range(2):
        with pytest.raises(error) as caught:
            await house.get(f"{origin.url}/x")
        assert "s3cret" not in f"{caught.value!r}"
    assert [basic(OLD)] * 2 == seen(origin)


async def test_refused__also_what_is_new(origin: Origin, make: Make, tmp_path: Path) -> None:
    """There is one more request, and not a third."""
    origin.admit = Door("somebody:else")
    house = House(make, tmp_path, upstream(origin.url), "default login me password 0ld-s3cret\n")
    house.write("default login me password n3w-s3cret\n")
    with pytest.raises(UpstreamError):
        await house.get(f"{origin.url}/x")
    assert [basic(OLD), basic(NEW)] == seen(origin)


async def test_renewed__many_at_once(origin: Origin, make: Make, tmp_path: Path) -> None:
    """A herd that is refused together gets through together, with one more request each."""
    origin.admit = Door(NEW)
    origin.file("/x", b"there")
    house = House(make, tmp_path, upstream(origin.url), "default login me password 0ld-s3cret\n")
    house.write("default login me password n3w-s3cret\n")

    assert [b"there"] * 30 == await asyncio.gather(*(house.get(f"{origin.url}/x") for _ in range(30)))

    assert seen(origin).count(basic(NEW)) == 30
    assert seen(origin).count(basic(OLD)) <= 30


async def test_renewed__at_a_later_hop(origin: Origin, make: Make, tmp_path: Path) -> None:
    """The host that refuses is asked again, not those before it; a range is asked for as before."""
    async with Origin("127.0.0.2") as files:
        origin.route("/a", lambda _: redirect(f"{files.url}/b"))
        files.file("/b", b"there")
        text = "machine 127.0.0.1 login a password index\nmachine 127.0.0.2 login b password {}\n"
        house = House(make, tmp_path, upstream(origin.url, f"127.0.0.2:{files.port}"), text.format("0ld"))
        door = Door("b:n3w")

        def renewed_meanwhile(request: Request) -> Answer | None:
            # Between the two hops: the first one looks, too, since it is sent on.
            house.write(text.format("n3w"))
            return door(request)

        files.admit = renewed_meanwhile
        ask = UpstreamRequest(f"{origin.url}/a", house.site, {"Range": "bytes=1-2"})
        async with house.client.get(ask) as reply:
            assert (206, b"he") == (reply.status, b"".join([chunk async for chunk in reply.chunks()]))

        assert ([basic("a:index")], [basic("b:0ld"), basic("b:n3w")]) == (seen(origin), seen(files))
        assert ["bytes=1-2"] * 2 == [request.headers["range"] for request in files.requests]


async def test_no_credentials__nothing_is_asked_twice(origin: Origin, make: Make, tmp_path: Path) -> None:
    """A mount without credentials is refused once."""
    origin.admit = Door(NEW)
    house = House(make, tmp_path, upstream(origin.url, credentials=""), "default login me password n3w-s3cret\n")
    with pytest.raises(UpstreamDenied):
        await house.get(f"{origin.url}/x")
    assert [None] == seen(origin)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 what\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""])
async def test_failure__holds_no_password(make: Make, tmp_path: Path, answer: bytes) -> None:
    """Neither a failure nor its cause holds the credentials, which a log would show."""
    async with scripted() as server:
        server.on("/x", Line(answer, Then.CLOSE))
        house = House(make, tmp_path, upstream(server.base), "default login me password 0ld-s3cret\n")
        with pytest.raises(PullthroughError) as caught:
            await house.get(f"{server.base}x")
    assert basic(OLD) == server.seen[0].headers["authorization"]
    link: BaseException | None = caught.value
    while link is not None:
        assert not [form for form in ("s3cret", basic(OLD)[6:]) if form in f"{link!r} {link} {link.__dict__}"]
        link = link.__cause__ or link.__context__
