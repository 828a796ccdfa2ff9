"""Indexes with something to install on them, and the settings by which the program stands in front of each.

Used by the end-to-end tests. A stand knows what a user would write down: tables of settings, an address, a requirement.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.indexes import nvidia, private, pytorch, releases
from tests.indexes.above import Above
from tests.indexes.flat import FindLinks, Listing
from tests.indexes.hrefs import Form, Plus
from tests.origin import Origin
from tests.wheels import Package, wheel

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]  # loopback is only asked where the settings name it
_PADDING = 300_000  # bytes: more than what is read of a wheel for its metadata


@dataclass(frozen=True, slots=True)
class Stand:
    """An index with two versions of a project, of which the newer one needs something else."""

    origins: tuple[Origin, ...]
    upstream: Mapping[str, Any]  # the [[upstream]] table
    index: str  # path on the cache
    wanted: str  # the newer version, as an exact requirement
    left: str  # the version that is left when the newer one is gone
    files: tuple[Package, ...]  # what installing `wanted` takes
    drop: Callable[[], None]  # take the newer version from the index
    flat: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)  # of the server

    def fetched(self) -> int:
        """Bytes of bodies that the origins sent."""
        return sum(origin.sent_body_bytes() for origin in self.origins)

    async def stop(self) -> None:
        """Let nothing of the index answer any more."""
        for origin in self.origins:
            await origin.stop()

    async def start(self) -> None:
        """Let it answer again, at the same addresses."""
        for origin in self.origins:
            await origin.start()


MakeStand = Callable[[ssl.SSLContext], AbstractAsyncContextManager[Stand]]


def settings(path: Path, *upstreams: Mapping[str, Any], groups: tuple[Mapping[str, Any], ...] = ()) -> Path:
    """Write a settings file for these upstreams. Nothing is tried twice: what is down is known to be at once."""
    lines = ["[fetch]", "retries = 0", "connect_timeout = 5"]
    for name, tables in (("upstream", upstreams), ("group", groups)):
        for table in tables:
            lines += ["", f"[[{name}]]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    path.write_text("\n".join([*lines, ""]), "utf-8")
    return path


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@contextlib.asynccontextmanager
async def like_pytorch(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """A channel whose dependencies lie at the root, on the other host, and on another index."""
    cublas = wheel("nvidia-cublas-cu12", "12.6.4.1", padding=_PADDING, seed=1)
    filelock = wheel("filelock", "3.20.0", padding=_PADDING, seed=2)
    networkx = wheel("networkx", "3.5", padding=_PADDING, seed=3)
    torch = wheel(
        "torch", "2.9.0+cu126", requires=("nvidia-cublas-cu12", "filelock", "networkx"), padding=_PADDING, seed=4
    )
    older = wheel("torch", "2.8.0+cu126")
    async with pytorch.serving(tls) as index, nvidia.serving(tls, "127.0.0.3") as other:
        index.add("cu126", torch, at_sibling=True, no_store=True)
        index.add("cu126", older, plus=Plus.ENTITY)
        index.add("cu126", filelock, at_root=True, hashed=False, metadata=False, no_store=True)
        index.add("cu126", networkx, hashed=False)
        index.copy("cu126", cublas, other.origin.url + other.add(cublas))
        index.add("cu126", wheel("torchvision", "0.24.0+cu126"), there=False)
        yield Stand(
            (index.origin, index.sibling, other.origin),
            {"mount": "pytorch", "url": f"{index.origin.url}/", "index": "whl/", "hosts": HOSTS,
             "siblings": [f"{index.sibling.url}/"], "volatile": ["whl/nightly/", "whl/test/"]},
            "pytorch/whl/cu126/",
            "torch==2.9.0+cu126",
            "torch==2.8.0+cu126",
            (torch, filelock, networkx, cublas),
            lambda: index.drop("cu126", torch),
        )  # fmt: skip


@contextlib.asynccontextmanager
async def like_nvidia(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """Two projects, of which one needs the other."""
    cublas = wheel("nvidia-cublas-cu12", "12.6.4.1", padding=_PADDING, seed=1)
    cudnn = wheel("nvidia-cudnn-cu12", "9.10.2.21", requires=("nvidia-cublas-cu12",), padding=_PADDING, seed=2)
    older = wheel("nvidia-cudnn-cu12", "9.9.0.52")
    async with nvidia.serving(tls) as index:
        for package in (cublas, cudnn, older):
            index.add(package)
        yield Stand(
            (index.origin,),
            {"mount": "nvidia", "url": f"{index.origin.url}/", "index": ""},
            "nvidia/",
            "nvidia-cudnn-cu12==9.10.2.21",
            "nvidia-cudnn-cu12==9.9.0.52",
            (cudnn, cublas),
            lambda: index.drop(cudnn),
        )


def _scatter() -> tuple[Package, Package, Package]:
    """A project's newer version, what that needs, and its older version."""
    needed = wheel("pyg-lib", "0.5.0+pt29cu126", padding=_PADDING, seed=1)
    newer = wheel("torch-scatter", "2.1.2+pt29cu126", requires=("pyg-lib",), padding=_PADDING, seed=2)
    return newer, needed, wheel("torch-scatter", "2.1.1+pt29cu126")


@contextlib.asynccontextmanager
async def flat_page(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """One page with links beside it, above it, and to another host without a scheme."""
    newer, needed, older = _scatter()
    async with Origin(tls=tls) as origin, Origin("127.0.0.2", tls) as files:
        page = FindLinks(origin, "/whl/torch-2.9.0+cu126.html")
        page.add(newer)
        page.add(older, f"/{older.filename}", plus=Plus.BARE)
        page.add(needed, f"/d/{needed.filename}", files=files, form=Form.SCHEMELESS)
        yield Stand(
            (origin, files),
            {"mount": "pyg", "url": f"{origin.url}/", "index": "", "kind": "flat", "hosts": HOSTS},
            "pyg/whl/torch-2.9.0+cu126.html",
            "torch-scatter==2.1.2+pt29cu126",
            "torch-scatter==2.1.1+pt29cu126",
            (newer, needed),
            lambda: page.drop(newer),
            flat=True,
        )


@contextlib.asynccontextmanager
async def listing(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """A folder that Apache shows."""
    newer, needed, older = _scatter()
    async with Origin(tls=tls) as origin:
        folder = Listing(origin)
        for package in (newer, needed, older):
            folder.add(package)
        yield Stand(
            (origin,),
            {"mount": "rocm", "url": f"{origin.url}/", "index": "", "kind": "flat"},
            "rocm/rocm/manylinux/rocm-rel-7.2/",
            "torch-scatter==2.1.2+pt29cu126",
            "torch-scatter==2.1.1+pt29cu126",
            (newer, needed),
            lambda: folder.drop(newer),
            flat=True,
        )


@contextlib.asynccontextmanager
async def files_above(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """Pages whose files lie one folder above them."""
    newer, needed, older = _scatter()
    async with Origin(tls=tls) as origin:
        index = Above(origin)
        for package in (newer, needed, older):
            index.add(package)
        yield Stand(
            (origin,),
            {"mount": "amd", "url": f"{origin.url}/rocm/", "index": "whl-multi-arch/"},
            "amd/whl-multi-arch/",
            "torch-scatter==2.1.2+pt29cu126",
            "torch-scatter==2.1.1+pt29cu126",
            (newer, needed),
            lambda: index.drop(newer),
        )


@contextlib.asynccontextmanager
async def signed(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """Pages whose links are redirected to addresses that are good once."""
    newer, needed, older = _scatter()
    async with releases.serving(tls) as index:
        for package in (newer, needed, older):
            index.add(package)
        yield Stand(
            (index.pages, index.forge, index.store),
            {"mount": "flashinfer", "url": f"{index.pages.url}/", "index": "whl/", "hosts": HOSTS},
            "flashinfer/whl/cu126/",
            "torch-scatter==2.1.2+pt29cu126",
            "torch-scatter==2.1.1+pt29cu126",
            (newer, needed),
            lambda: index.drop(newer),
        )


@contextlib.asynccontextmanager
async def behind_password(tls: ssl.SSLContext) -> AsyncIterator[Stand]:
    """A private index, whose password only the server knows."""
    newer, needed, older = _scatter()
    async with private.serving(tls) as index:
        index.add(newer, needed, older)
        yield Stand(
            (index.origin,),
            {"mount": "private", "url": f"{index.origin.url}/", "index": "simple/", "credentials": "env:CORP_INDEX"},
            "private/simple/",
            "torch-scatter==2.1.2+pt29cu126",
            "torch-scatter==2.1.1+pt29cu126",
            (newer, needed),
            lambda: index.drop(newer),
            environment={"CORP_INDEX": f"{private.USER}:{private.PASSWORD}"},
        )


STANDS: tuple[MakeStand, ...] = (
    like_pytorch, like_nvidia, flat_page, listing, files_above, signed, behind_password,
)  # fmt: skip
