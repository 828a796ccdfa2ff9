"""A fresh cache that is asked for a file by the address that a lock file has, end to end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from proxy.model import Digest
from tests.conftest import MakeProxy
from tests.flows.asking import content, get, until_kept
from tests.origin import Origin
from tests.pages import Link
from tests.wheels import wheel

PACKAGE, CUDA = wheel("acme-jit"), wheel("acme-jit", "1.0+cu129")
FORGE = "/acme/releases/download/v1/"


@pytest.mark.parametrize(
    ("index", "kind", "page", "package", "learnt"),
    [
        ("simple/", "projects", "simple/acme-jit/", PACKAGE, True),
        ("whl/", "projects", "whl/acme-jit/", PACKAGE, True),
        ("whl/", "projects", "whl/cu129/acme-jit/", CUDA, True),
        ("", "projects", "acme-jit/", PACKAGE, True),
        # No address of the file tells where these are; the settings name the forge
        ("whl/", "projects", "whl/cu129/acme-jit/", PACKAGE, False),
        ("", "flat", "whl/torch-2.8.html", PACKAGE, False),
    ],
)
async def test_file__on_a_forge(
    make_proxy: MakeProxy,
    origin: Origin,
    other_origin: Origin,
    http: aiohttp.ClientSession,
    index: str,
    kind: str,
    page: str,
    package: Any,
    learnt: bool,
) -> None:
    """It comes from a host that speaks plain http at a port, as the page says, or by trying; with its digest."""
    other_origin.file(FORGE + package.filename, package.body)
    origin.page(f"/{page}", [replace(package.link(other_origin.url + FORGE + package.filename), metadata=None)])
    forge = f"{other_origin.host}:{other_origin.port}"
    hosts = [f"{origin.host}:{origin.port}", forge]
    mount = {"mount": "m", "url": f"{origin.url}/", "index": index, "kind": kind, "hosts": hosts}
    running = await make_proxy(origin.url, upstreams=(mount,), fetch={"retries": 0})
    address = f"{running.url}/m/~files/{forge}{FORGE}{package.filename}"
    got = await get(http, address)
    assert (200, content(package.body)) == (got.status, got.body)
    await until_kept(http, address)
    (key,) = running.store.keys("file:")
    entry = running.store.find(key)
    assert entry is not None
    assert (Digest("sha256", package.sha256) if learnt else None) == entry.promised


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ("root/internal/+simple/acme-jit/", "root/internal/+f/ab/cdef/"),
        ("repository/internal/simple/acme-jit/", "repository/internal/packages/acme-jit/1.0/"),
        ("api/v4/projects/1/packages/pypi/simple/acme-jit/", "api/v4/projects/1/packages/pypi/files/0123/"),
        ("acme-jit/", "acme-jit/1.0/"),
    ],
)
async def test_file__of_a_registry(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, page: str, path: str
) -> None:
    """Where the settings do not say where pages are, those of the usual registries are found."""
    path = f"{path}{PACKAGE.filename}"
    origin.file(f"/{path}", PACKAGE.body)
    origin.page(f"/{page}", [Link(PACKAGE.filename, f"/{path}", sha256=PACKAGE.sha256)])
    running = await make_proxy(origin.url, index="")
    got = await get(http, f"{running.url}/pypi/{path}")
    assert (200, f'"sha256:{PACKAGE.sha256}"') == (got.status, got.headers["etag"])


@pytest.mark.parametrize("page", ["whl/torch-2.8/", "whl/torch-2.8.html", "whl/torch-2.8/index.html", ""])
@pytest.mark.parametrize("name", [PACKAGE.filename, "1.0.tar.gz"])
async def test_file__of_a_flat_page(
    make_proxy: MakeProxy, origin: Origin, http: aiohttp.ClientSession, page: str, name: str
) -> None:
    """Where the settings say no more than that pages are flat, and the file's name not whose it is, too."""
    path = f"whl/torch-2.8/{name}"
    origin.file(f"/{path}", PACKAGE.body)
    origin.page(f"/{page}", [Link(name, f"/{path}", sha256=PACKAGE.sha256)])
    running = await make_proxy(origin.url, upstreams=({"mount": "m", "url": origin.url, "kind": "flat"},))
    got = await get(http, f"{running.url}/m/{path}")
    assert (200, f'"sha256:{PACKAGE.sha256}"') == (got.status, got.headers["etag"])


async def test_file__beside_that_of_another_project(
    make_proxy: MakeProxy, origin: Origin, other_origin: Origin, http: aiohttp.ClientSession
) -> None:
    """The first page of a channel that somebody asks for tells where the others are; after a restart, too."""
    other = wheel("other")
    forge = f"{other_origin.host}:{other_origin.port}"
    mount = {
        "mount": "m", "url": f"{origin.url}/", "index": "whl/", "hosts": [f"{origin.host}:{origin.port}", forge]
    }  # fmt: skip
    for package in (PACKAGE, other):
        other_origin.file(FORGE + package.filename, package.body)
        link = replace(package.link(other_origin.url + FORGE + package.filename), metadata=None)
        origin.page(f"/whl/cu129/{package.project}/", [link])
    for restarted in (False, True):
        running = await make_proxy(origin.url, upstreams=(mount,))
        if not restarted:
            await get(http, f"{running.url}/m/whl/cu129/other/")
        got = await get(http, f"{running.url}/m/~files/{forge}{FORGE}{PACKAGE.filename}")
        assert (200, f'"sha256:{PACKAGE.sha256}"') == (got.status, got.headers["etag"])
        for key in (*running.store.keys("file:"), *running.store.keys("page:m:acme-jit:")):
            await running.store.forget(key)
        await running.close()
