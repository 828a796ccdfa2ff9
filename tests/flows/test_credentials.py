"""Private indexes through the whole program: passwords that change, further hosts with their own; no word of them."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest

from proxy import app
from proxy.config.credentials import KnownCredentials
from proxy.config.loading import ConfigError, resolve
from proxy.config.proxy_selection import KnownProxies
from proxy.config.reference import listing
from proxy.config.settings import Settings
from tests import exchange
from tests.answers import Answer, Request
from tests.faults import redirect, status
from tests.flows.asking import Got, content, get
from tests.forward import Forward, answer
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

ONE, TWO = wheel("one", padding=2 << 20), wheel("two")


class Door:
    """Lets in who says one of these, and is 401 to others."""

    def __init__(self, *pairs: str) -> None:
        self.pairs = pairs

    def __call__(self, request: Request) -> Answer | None:
        """The refusal, or None."""
        given = request.headers.get("authorization")
        known = given in {f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in self.pairs}
        return None if known else Answer(401, (("WWW-Authenticate", 'Basic realm="x"'),))


@asynccontextmanager
async def start(folder: Path, toml: str, **environ: str) -> AsyncIterator[Running]:
    """The program with these settings and surroundings, as the command line starts it."""
    (folder / "pullthrough.toml").write_text(toml, encoding="utf-8")
    environ = {"HOME": str(folder)} | environ
    settings = resolve({"port": "0", "fetch.retries": "0", "fetch.connect_timeout": "300ms"}, environ, folder).settings
    found = KnownCredentials.find(settings, environ)
    running = await app.start(settings, credentials=found, proxies=KnownProxies.find(settings, environ))
    try:
        yield running
    finally:
        await running.close()


def entry(url: str, **more: str) -> str:
    """An upstream called `house`."""
    lines = [f"{key} = {value}" for key, value in {"mount": '"house"', "url": f'"{url}"', **more}.items()]
    return "\n".join(["[[upstream]]", *lines, ""])


async def test_token__renewed_while_the_cache_runs(tmp_path: Path, origin: Origin, http: aiohttp.ClientSession) -> None:
    """What was written into the file is used from the next refusal on, for pages, files and metadata."""
    (tmp_path / ".netrc").write_text("default login me password 0ld\n")
    door = origin.admit = Door("me:0ld")
    origin.publish(ONE, TWO, metadata=True)
    async with start(tmp_path, entry(origin.url, credentials='"netrc"', ttl='"0s"')) as running:
        assert 200 == (await get(http, f"{running.url}/house/simple/one/")).status
        door.pairs = ("me:n3w",)
        refused = await get(http, f"{running.url}/house/simple/two/")
        (tmp_path / ".netrc").write_text("default login me password n3w\n")
        got = [
            await get(http, f"{running.url}/house/{path}")
            for path in ("simple/two/", f"packages/{ONE.filename}", f"packages/{TWO.filename}.metadata")
        ]
    assert (502, [200] * 3) == (refused.status, [each.status for each in got])
    assert content(ONE.body) == got[1].body


async def test_hosts__with_passwords_of_their_own(tmp_path: Path, origin: Origin, http: aiohttp.ClientSession) -> None:
    """The files of an index, and pages that it redirects, are on hosts that each want another password."""
    origin.admit = Door("reader:index-s3cret")
    async with (
        Origin("127.0.0.2", admit=Door("reader:files-s3cret")) as files,
        Origin("127.0.0.4", admit=Door("other:pages-s3cret")) as pages,
    ):
        origin.publish(ONE, files=files)
        pages.publish(TWO, files=files)
        origin.page("/simple/two/", [])
        origin.misbehave("/simple/two/", redirect(f"{pages.url}/simple/two/"))
        (tmp_path / ".netrc").write_text(
            "machine 127.0.0.1 login reader password index-s3cret\n"
            "machine 127.0.0.2 login reader password files-s3cret\n"
            "machine 127.0.0.4 login other password pages-s3cret\n"
        )
        hosts = f'["127.0.0.2:{files.port}", "127.0.0.4:{pages.port}"]'
        async with start(tmp_path, entry(origin.url, hosts=hosts, credentials='"netrc"')) as running:
            for package in (ONE, TWO):
                assert 200 == (await get(http, f"{running.url}/house/simple/{package.project}/")).status
                at = f"{running.url}/house/~files/127.0.0.2:{files.port}/packages/{package.filename}"
                got = [await get(http, at), await get(http, f"{at}.metadata")]
                assert ([200, 200], content(package.body)) == ([each.status for each in got], got[0].body)


async def test_hosts__of_variables(tmp_path: Path, origin: Origin, http: aiohttp.ClientSession) -> None:
    """Without a file, each further host has a variable of its own."""
    origin.admit = Door("reader:index-s3cret")
    async with Origin("127.0.0.2", admit=Door("reader:files-s3cret")) as files:
        origin.publish(ONE, files=files)
        more = {
            "hosts": f'["127.0.0.2:{files.port}"]',
            "credentials": '"env:INDEX"',
            "host_credentials": f'{{"127.0.0.2:{files.port}" = "env:FILES"}}',
        }
        environ = {"INDEX": "reader:index-s3cret", "FILES": "reader:files-s3cret"}
        async with start(tmp_path, entry(origin.url, **more), **environ) as running:
            assert 200 == (await get(http, f"{running.url}/house/simple/one/")).status
            at = f"{running.url}/house/~files/127.0.0.2:{files.port}/packages/{ONE.filename}"
            assert content(ONE.body) == (await get(http, at)).body


# Nothing of it anywhere

_WORDS = ("index-s3cret", "files-s3cret", "pr0xy-s3cret", "env-s3cret")


def forms(*pairs: str) -> set[str]:
    """A password, and what one can read it out of."""
    found = set(_WORDS)
    for pair in pairs:
        user, _, password = pair.partition(":")
        found |= {base64.b64encode(pair.encode()).decode(), quote(password, safe=""), quote(f"{user}:{password}")}
    return found


async def everything(http: aiohttp.ClientSession, running: Running, files: Origin) -> list[Got | exchange.Exchange]:
    """Requests of every kind, those that go well and those that fail."""
    paths = [
        "",
        "metrics",
        "healthz",
        "house/simple/",
        "house/simple/one/",
        "house/simple/missing/",
        "house/simple/denied/",
        "house/simple/sent-on/",
        "house/simple/broken/",
        "open/simple/one/",
        f"house/~files/127.0.0.2:{files.port}/packages/{ONE.filename}",
        f"house/~files/127.0.0.2:{files.port}/packages/{ONE.filename}.metadata",
        "127.0.0.1/debian/dists/stable/InRelease",
        "deb.invalid/debian/dists/stable/InRelease",
        "metrics",
    ]
    got: list[Got | exchange.Exchange] = [await get(http, f"{running.url}/{path}") for path in paths]
    got += [
        await exchange.send(running.url, f"{line}\r\nHost: files.invalid\r\nConnection: close\r\n\r\n".encode())
        for line in (
            "CONNECT files.invalid:443 HTTP/1.1",
            "GET http://user:client-s3cret@deb.invalid/debian/dists/stable/InRelease HTTP/1.1",
            "GET /HTTPS///user:client-s3cret@deb.invalid/debian/dists/stable/InRelease HTTP/1.1",
            "GET /user:client-s3cret@deb.invalid/debian/dists/stable/InRelease HTTP/1.1",
            "GET /http://user:client-s3cret@deb.invalid/debian/dists/stable/InRelease HTTP/1.1",
            "GET /house/~files/user:client-s3cret@deb.invalid/a.whl HTTP/1.1",
            "GET /house/https://user:client-s3cret@deb.invalid/a.whl HTTP/1.1",
            "GET /?url=https%3A%2F%2Fuser%3Aclient-s3cret%40deb.invalid%2F HTTP/1.1",
        )
    ]
    got += [await get(http, f"{running.url}/{path}", accept="text/html") for path in ("", "api/v1/now")]
    return got


@pytest.mark.parametrize("proxied", [None, "well", "refused", "tunnel refused", "down"])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
async def test_secrets__are_nowhere(
    tmp_path: Path,
    origin: Origin,
    http: aiohttp.ClientSession,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    proxied: str | None,
    right: bool,
) -> None:
    """No password, in no form, is in an answer, the log, a metric, or what upstream or a proxy hears of each other."""
    caplog.set_level(logging.DEBUG)
    pairs = ["a:index-s3cret", "b:files-s3cret", "c:env-s3cret", "d:pr0xy-s3cret"]
    origin.admit = Door("a:index-s3cret" if right else "x:y", "c:env-s3cret")
    door = Door("b:files-s3cret" if right else "x:y")
    async with Origin("127.0.0.2", admit=door) as files, Forward(pair="d:pr0xy-s3cret") as forward:
        origin.publish(ONE, files=files)
        for name, fault in (
            ("denied", status(403)),
            ("sent-on", redirect("http://user:pass@elsewhere.invalid/")),
            ("broken", status(500)),
        ):
            origin.page(f"/simple/{name}/", [])
            origin.misbehave(f"/simple/{name}/", fault)
        if proxied == "refused":
            forward.pair = "d:another"
        elif proxied == "tunnel refused":
            forward.instead = lambda passed: answer(403) if passed.method == "CONNECT" else None
        way = f"http://d:pr0xy-s3cret@127.0.0.3:{1 if proxied == 'down' else forward.port}"
        (tmp_path / ".netrc").write_text(
            "machine 127.0.0.1 login a password index-s3cret\nmachine 127.0.0.2 login b password files-s3cret\n"
        )
        hosts = f'["127.0.0.2:{files.port}"]'
        toml = (
            'apt = {tunnels = ["files.invalid"]}\n'
            + (f'proxy = "{way}"\n' if proxied else "")
            + entry(origin.url, hosts=hosts, credentials='"netrc"', ttl='"0s"')
            + entry(origin.url, credentials='"env:OPEN"').replace('"house"', '"open"')
        )
        async with start(tmp_path, toml, OPEN="c:env-s3cret") as running:
            got = [each for _ in range(2) for each in await everything(http, running, files)]
        heard = [request.headers for server in (origin, files) for request in server.requests]
        told = [value for fields in heard for name, value in fields.items() if name != "authorization"]
        tunnels = [passed.headers for passed in forward.requests if passed.method == "CONNECT"]
        told += [fields["authorization"] for fields in tunnels if "authorization" in fields]
    file = got[10]
    assert isinstance(file, Got)
    assert (right and proxied not in {"refused", "down"}) == (content(ONE.body) == file.body)
    logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    said = f"{got!r}{''.join(capfd.readouterr())}{logged}{told}"
    assert not [form for form in forms(*pairs) | {"client-s3cret"} if form in said]


def test_secrets__of_the_settings_are_not_shown(tmp_path: Path) -> None:
    """Neither objects, nor listings, nor complaints show what stands in the settings or behind them."""
    environ = {"HOME": str(tmp_path), "INDEX": "a:index-s3cret", "HTTPS_PROXY": "http://d:pr0xy-s3cret@p.example:1"}
    (tmp_path / ".netrc").write_text("machine files.example login b password files-s3cret\n")
    toml = (
        'proxy = "http://d:pr0xy-s3cret@q.example:1"\n'
        + entry("https://i.example/", credentials='"env:INDEX"', host_credentials='{"files.example" = "netrc"}')
        + 'proxy = "http://d:pr0xy-s3cret@r.example:1"\n'
    )
    (tmp_path / "pullthrough.toml").write_text(toml)
    resolved = resolve({}, environ, tmp_path)
    known, proxies = KnownCredentials.find(resolved.settings, environ), KnownProxies.find(resolved.settings, environ)

    objects: list[Any] = [resolved.settings, resolved.settings.sites(), known, proxies, known.__dict__["_netrc"]]
    objects += [proxies.proxy(mount, "https://x.example/") for mount in ("house", "pypi")]
    shown = [f"{each!r} {each}" for each in objects] + [listing(resolved, proxies)]

    secrets = forms("a:index-s3cret", "b:files-s3cret", "d:pr0xy-s3cret")
    assert not [secret for secret in secrets for text in shown if secret in text]


@pytest.mark.parametrize(
    "toml",
    [
        'proxy = "http://d:pr0xy-s3cret@q.example:1/x"',
        'proxy = "gopher://d:pr0xy-s3cret@q.example"',
        'proxy = "d:pr0xy-s3cret@"',
        'proxy = ["http://d:pr0xy-s3cret@q.example"]',
        'prxy = "http://d:pr0xy-s3cret@q.example:1"',
        entry("https://a:index-s3cret@i.example/"),
        entry("https://i.example/", siblings='["https://a:index-s3cret@j.example/"]'),
        entry("https://i.example/", hosts='["a:index-s3cret@j.example"]'),
        entry("https://i.example/", page_hosts='["https://a:index-s3cret@j.example"]'),
        entry("https://i.example/", credentials='"a:index-s3cret"'),
        entry("https://i.example/", credentials='"env:a:index-s3cret"'),
        entry("https://i.example/", host_credentials='{"files.example" = "a:files-s3cret"}'),
        entry("https://i.example/", host_credentials='{"b:files-s3cret@files.example" = "netrc"}'),
        entry("https://i.example/", host_credentials='{"b:files-s3cret@files.example" = 7}'),
        entry("https://i.example/", host_credentials='"b:files-s3cret"'),
        entry("https://i.example/", proxy='"http://d:pr0xy-s3cret@q.example:1/x"'),
        entry("https://i.example/", proxy='{"http://d:pr0xy-s3cret@q.example:1" = 1}'),
        'apt = {hosts = ["a:index-s3cret@j.example"]}',
        'apt = {tunnels = ["a:index-s3cret@j.example"]}',
        'host = "a:index-s3cret@j.example"',
    ],
)
def test_secrets__in_the_wrong_place(tmp_path: Path, toml: str) -> None:
    """A password where none may stand is refused, by the name of the setting, and not shown."""
    (tmp_path / "pullthrough.toml").write_text(toml)
    with pytest.raises(ConfigError) as caught:
        resolve({}, {"HOME": str(tmp_path)}, tmp_path)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.errors}"
    assert caught.value.__suppress_context__


def test_secrets__of_settings_that_are_built_directly() -> None:
    """The library's own words hold nothing either."""
    for more in (
        {"proxy": "gopher://d:pr0xy-s3cret@q"},
        {"upstreams": [{"mount": "x", "url": "https://a:index-s3cret@i"}]},
    ):
        with pytest.raises(ValueError, match="validation error") as caught:
            Settings(data=Path("/data"), **more)
        assert "s3cret" not in f"{caught.value}"
