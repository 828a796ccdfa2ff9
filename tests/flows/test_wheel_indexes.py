"""The program in front of indexes that answer as those of wheels do: spellings, dead links, signatures, passwords."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
HTML = {"accept": "text/html"}


async def _started(make_proxy: MakeProxy, index: pytorch.PyTorch) -> Running:
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

    mount = UpstreamSettings(mount="pytorch", url=f"{index.origin.url}/", index="whl/", hosts=HOSTS)
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


async def test_release__signature_expires_in_between(make_proxy: MakeProxy, http: aiohttp.ClientSession) -> None:
    """A transfer that breaks goes on with a new signature; the file is kept under the address before the redirect."""
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

    package = wheel("flashinfer-jit-cache", "0.5.0+cu126", padding=400_000)
    async with releases.serving() as index:
        path = index.add(package)
        mount = UpstreamSettings(mount="fi", url=f"{index.pages.url}/", index="whl/", hosts=HOSTS)
        running = await make_proxy(index.pages.url, upstreams=(mount,), fetch={"retries": 2})
        await get(http, f"{running.url}/fi/whl/cu126/flashinfer-jit-cache/")
        address = f"{running.url}/fi/~files/127.0.0.2:{index.forge.port}{path}"

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
    from proxy.config.credentials import KnownCredentials  # noqa: PLC0415
    from proxy.config.settings import Settings  # noqa: PLC0415
    from proxy.config.upstreams import UpstreamSettings  # noqa: PLC0415

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
        pair = {"CORP_INDEX": f"{private.USER}:{private.PASSWORD}"}
        running = await app.start(settings, credentials=KnownCredentials.find(settings, pair))
        try:
            got = [
                await get(http, f"{running.url}/private/simple/{package.project}/")
                for package in (inside, linked, moved)
            ]
            got += [
                await get(http, f"{running.url}/private/packages/{inside.filename}"),
                await get(http, f"{running.url}/private/~files/127.0.0.2:{other.port}/d/{linked.filename}"),
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
