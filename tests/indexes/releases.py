"""An index whose links are redirected to signed addresses that expire, as those that lead to releases of a forge.

Three hosts: the pages', the forge's, whose addresses are for ever, and that of its store, whose are not.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.answers import Answer, Request, Resource, strong_etag
from tests.bodies import Plain
from tests.indexes.hrefs import Form, Plus, anchor, href
from tests.indexes.storage import denied
from tests.origin import Origin
from tests.wheels import Package

_TAG = "/forge/project/releases/download/v1/"


@dataclass(slots=True)
class Releases:
    """`async with serving() as index:`. A signature is good until `expire()`, and each redirect gives another one."""

    pages: Origin
    forge: Origin
    store: Origin
    base: str = "/whl/cu126/"
    _rows: dict[str, dict[str, str]] = field(default_factory=dict)
    _signatures: set[str] = field(default_factory=set)
    _given: int = 0

    def add(self, package: Package) -> str:
        """List a file; gives its path at the forge."""
        page, path = f"{self.base}{package.project}/", _TAG + package.filename
        link = href(self.pages.url, self.forge.url + path, Form.ABSOLUTE, Plus.BARE, f"sha256={package.sha256}")
        self._rows.setdefault(package.project, {})[package.filename] = anchor(link, package.filename)
        stored = f"/{hashlib.sha256(path.encode()).hexdigest()[:16]}"
        resource = Resource(package.body, "application/octet-stream", strong_etag(package.body))

        def listed(request: Request) -> Answer:
            rows = "".join(f"{row}<br>\n" for row in self._rows[package.project].values())
            return Resource(
                Plain(f"<!DOCTYPE html>\n<h1>Links for {package.project}</h1>\n{rows}".encode()), "text/html"
            ).answer(request)

        def redirected(_: Request) -> Answer:
            return Answer(
                302, (("Location", f"{self.store.url}{stored}?sp=r&sig={self._sign()}"), ("Cache-Control", "no-cache"))
            )

        def signed(request: Request) -> Answer:
            good = request.target.partition("&sig=")[2] in self._signatures
            return resource.answer(request) if good else denied(request)

        self.pages.route(page, listed)
        self.forge.route(path, redirected)
        self.store.route(stored, signed)
        return path

    def drop(self, package: Package) -> None:
        """Take the link from the page, and the release away."""
        del self._rows[package.project][package.filename]
        self.forge.remove(_TAG + package.filename)

    def expire(self) -> None:
        """Let no signature that was given be good any more."""
        self._signatures.clear()

    def _sign(self) -> str:
        self._given += 1
        signature = hashlib.sha256(self._given.to_bytes(8)).hexdigest()[:20]
        self._signatures.add(signature)
        return signature


@contextlib.asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None, hosts: tuple[str, str, str] = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
) -> AsyncIterator[Releases]:
    """An empty index on its three hosts."""
    pages, forge, store = hosts
    async with Origin(pages, tls) as first, Origin(forge, tls) as second, Origin(store, tls, missing=denied) as third:
        yield Releases(first, second, third)
