"""The program in front of indexes that answer as those of wheels do: what is missing, changes, expires, is down."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest

from tests import faults
from tests.conftest import MakeProxy
from tests.flows.asking import get, until_kept
from tests.indexes import private, pytorch, releases
from tests.indexes.hrefs import Form, Plus
from tests.origin import Origin
from tests.wheels import wheel

if TYPE_CHECKING:
    from proxy.app import Running

HOSTS = frozenset({"127.0.0.1", "127.0.0.2", "127.0.0.3"})
TORCH = wheel("torch", "2.9.0+cu126", requires=("sympy",), padding=200_000)
NIGHTLY = wheel("torch", "2.10.0.dev1+cu128", padding=100_000, seed=1)
AGAIN = wheel("torch", "2.10.0.dev1+cu128", padding=100_000, seed=2)
HTML = {"accept": "text/html"}


async def _started(make_proxy: MakeProxy, index: pytorch.PyTorch, **more: Any) -> Running:
    from proxy.config import UpstreamSettings  # noqa: PLC0415

    given: dict[str, Any] = {"hosts": HOSTS, "volatile": ("whl/nightly/",), "ttl": 0.0} | more
    mount = UpstreamSettings(
        mount="pytorch",
        url=f"{index.origin.url}/",
        index="whl/",
        siblings=(f"{index.sibling.url}/",),
        **given,
    )
    return await make_proxy(index.origin.url, upstreams=(mount,))


@pytest.mark.parametrize("plus", Plus)
@pytest.mark.parametrize("form", [Form.ROOTED, Form.ABSOLUTE, Form.BESIDE])
async def test_page__each_spelling(form: Form, plus: Plus, make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """However a page writes a link, the file is at the same address of the cache."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        index.add("cu126", TORCH, form=form, plus=plus)
        page = await get(http, f"{running.url}/pytorch/whl/cu126/torch/", **HTML)
        file = await get(http, f"{running.url}/pytorch/whl/cu126/{TORCH.filename.replace('+', '%2B')}")

        assert f'href="../{TORCH.filename.replace("+", "%2B")}#sha256={TORCH.sha256}"' in page.body.decode()
        assert TORCH.sha256 == file.sha256


async def test_page__made_anew(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A page whose last line changed and whose links did not keeps its validator: clients are answered 304."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        index.add("cu126", TORCH)
        address = f"{running.url}/pytorch/whl/cu126/torch/"
        before = await get(http, address, **HTML)
        index.regenerate()
        after = await get(http, address, **HTML)
        asked = await get(http, address, if_none_match=before.headers["etag"], **HTML)

        assert before.headers["etag"] == after.headers["etag"]
        assert 304 == asked.status
        assert index.origin.count("/whl/cu126/torch/") >= 2


@pytest.mark.parametrize("path", ["whl/cu126/absent/", "whl/cu126/absent-1.0-py3-none-any.whl"])
async def test_missing__is_not_found(path: str, make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """What upstream forbids because it is not there is not found; what fails is never that."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        missing = await get(http, f"{running.url}/pytorch/{path}")
        index.origin.misbehave(None, faults.status(500))
        broken = await get(http, f"{running.url}/pytorch/{path.replace('absent', 'other')}")

        assert 404 == missing.status
        assert 502 == broken.status


async def test_file__dangling(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A link that leads nowhere is not found, and neither is its metadata; other files of the page are."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        gone = wheel("torch", "2.9.1+cu126")
        index.add("cu126", TORCH)
        index.add("cu126", gone, there=False)
        base = f"{running.url}/pytorch/whl/cu126"
        await get(http, f"{base}/torch/")

        assert 404 == (await get(http, f"{base}/{gone.filename}")).status
        assert 404 == (await get(http, f"{base}/{gone.filename}.metadata")).status
        assert TORCH.sha256 == (await get(http, f"{base}/{TORCH.filename}")).sha256


async def test_file__uploaded_again(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A nightly that was replaced under its name is fetched again; one that was not is confirmed without its bytes."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        path = index.add("nightly/cu128", NIGHTLY, hashed=False, no_store=True)
        address = f"{running.url}/pytorch{path}"
        await get(http, f"{running.url}/pytorch/whl/nightly/cu128/torch/")
        first = await get(http, address)
        await _until_confirmed(http, address)
        sent = index.origin.sent_body_bytes(_asked(path))
        second = await get(http, address)
        confirmed = index.origin.sent_body_bytes(_asked(path)) - sent
        index.put(path, AGAIN.body, no_store=True)
        third = await get(http, address)

        assert [NIGHTLY.sha256, NIGHTLY.sha256, AGAIN.sha256] == [first.sha256, second.sha256, third.sha256]
        assert confirmed <= 1


async def test_file__hash_appears(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A hash that appears later and is another one's makes the file be fetched again, wherever it lies."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        path = index.add("cu128", NIGHTLY, hashed=False, metadata=False)
        page, address = f"{running.url}/pytorch/whl/cu128/torch/", f"{running.url}/pytorch{path}"
        await get(http, page)
        await get(http, address)
        await until_kept(http, address)
        shown = await get(http, page, **HTML)
        index.add("cu128", AGAIN, hashed=True, metadata=False)
        changed = await get(http, page, **HTML)
        again = await get(http, address)

        assert f"#sha256={NIGHTLY.sha256}" in shown.body.decode()
        assert f"#sha256={AGAIN.sha256}" in changed.body.decode()
        assert AGAIN.sha256 == again.sha256


@pytest.mark.parametrize("at_sibling", [False, True])
async def test_file__other_host(at_sibling: bool, make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """While the host that a page names is down a file with a hash comes from the host that has the same paths."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index, ttl=600.0)
        path = index.add("cu126", TORCH, at_sibling=at_sibling)
        page = await get(http, f"{running.url}/pytorch/whl/cu126/torch/", **HTML)
        down, up = (index.sibling, index.origin) if at_sibling else (index.origin, index.sibling)
        await down.stop()
        link = page.body.decode().partition('href="')[2].partition("#")[0]
        got = await get(http, f"{running.url}/pytorch/whl/cu126/torch/{link}")

        assert TORCH.sha256 == got.sha256
        assert TORCH.body.size <= up.sent_body_bytes(_asked(path))


async def test_project__withdrawn(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A project that is gone as a whole is still listed with what is kept of it, as yanked."""
    async with pytorch.serving() as index:
        running = await _started(make_proxy, index)
        path = index.add("cu126", TORCH)
        page = f"{running.url}/pytorch/whl/cu126/torch/"
        await get(http, page)
        await get(http, f"{running.url}/pytorch{path}")
        await until_kept(http, f"{running.url}/pytorch{path}")
        index.origin.remove("/whl/cu126/torch/")
        index.origin.remove(path)
        left = await get(http, page, **HTML)

        assert 200 == left.status
        assert (True, True) == (TORCH.filename in left.body.decode(), "data-yanked=" in left.body.decode())
        assert TORCH.sha256 == (await get(http, f"{running.url}/pytorch{path}")).sha256


async def test_release__signature_expires_in_between(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A transfer that breaks goes on with a new signature; the file is kept under the address before the redirect."""
    from proxy.config import UpstreamSettings  # noqa: PLC0415

    package = wheel("flashinfer-jit-cache", "0.5.0+cu126", padding=400_000)
    async with releases.serving() as index:
        path = index.add(package)
        mount = UpstreamSettings(mount="fi", url=f"{index.pages.url}/", index="whl/", hosts=HOSTS)
        running = await make_proxy(index.pages.url, upstreams=(mount,), fetch={"retries": 2})
        await get(http, f"{running.url}/fi/whl/cu126/flashinfer-jit-cache/")
        address = f"{running.url}/fi/+files/127.0.0.2:{index.forge.port}{path}"

        def expiring(request: Any, answer: Any) -> Any:
            index.expire()
            return faults.cut(100_000)(request, answer)

        index.store.misbehave(None, expiring, times=1)
        first = await get(http, address)
        again = first if not first.broken else await get(http, address)
        await until_kept(http, address)
        asked = index.forge.count()

        assert package.sha256 == again.sha256
        assert package.sha256 == (await get(http, address)).sha256
        assert asked == index.forge.count()
        assert index.store.sent_body_bytes() <= package.body.size + 100_000


async def test_private__password_stays(http: aiohttp.ClientSession, data_folder: Path) -> None:
    """The password goes to its index alone: not where its pages link to or it redirects to, and not to clients."""
    from proxy import app  # noqa: PLC0415
    from proxy.config import Settings, UpstreamSettings  # noqa: PLC0415

    told = "Basic " + base64.b64encode(f"{private.USER}:{private.PASSWORD}".encode()).decode()
    inside, linked, moved = wheel("inside"), wheel("linked"), wheel("moved")
    async with private.serving() as index, Origin("127.0.0.2") as other:
        index.add(inside)
        for package in (linked, moved):
            other.file(f"/d/{package.filename}", package.body)
        index.origin.page("/simple/linked/", [linked.link(f"{other.url}/d/{linked.filename}")])
        index.origin.page("/simple/moved/", [moved.link(f"/packages/{moved.filename}")])
        index.origin.file(f"/packages/{moved.filename}", b"")
        index.origin.misbehave(
            f"/packages/{moved.filename}",
            faults.redirect(f"{other.url}/d/{moved.filename}"),
        )
        mount = UpstreamSettings(mount="private", url=index.origin.url, hosts=HOSTS, credentials="env:CORP_INDEX")
        settings = Settings(port=0, data=data_folder, upstreams=(mount,), fetch={"retries": 0})
        running = await app.start(settings, authorizations={"private": told})
        try:
            got = [
                await get(http, f"{running.url}/private/simple/{package.project}/")
                for package in (inside, linked, moved)
            ]
            got += [
                await get(http, f"{running.url}/private/packages/{inside.filename}"),
                await get(http, f"{running.url}/private/+files/127.0.0.2:{other.port}/d/{linked.filename}"),
                await get(http, f"{running.url}/private/packages/{moved.filename}"),
                await get(http, f"{running.url}/metrics"),
                await get(http, f"{running.url}/"),
            ]
        finally:
            await running.close()

        assert [200] * 7 == [answer.status for answer in got[:7]]
        assert {told} == {request.headers.get("authorization") for request in index.origin.requests}
        assert [None, None] == [request.headers.get("authorization") for request in other.requests]
    for secret in (private.PASSWORD, told.partition(" ")[2], "authorization"):
        assert not any(secret in f"{answer.headers}{answer.body!r}".lower() for answer in got)


def _asked(path: str) -> str:
    """A path as the program asks for it."""
    return quote(path)


async def _until_confirmed(http: aiohttp.ClientSession, url: str) -> None:
    """Ask until the file comes from the disk, after no more than a question whether it is still the one."""
    while (await get(http, url)).headers["x-cache"] not in {"hit", "revalidated"}:
        pass
