"""A private index: PEP 503 below `/simple/`, behind basic authentication (RFC 7617), pages and files alike."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.answers import Answer, Request
from tests.bodies import Plain
from tests.origin import Origin
from tests.wheels import Package

USER = "builder"
PASSWORD = "s3cret:and/more"  # holds what an address would have to escape


@dataclass(slots=True)
class Private:
    """`async with serving() as index:`. 401 without credentials, 403 with wrong ones."""

    origin: Origin
    _packages: list[Package] = field(default_factory=list)

    def add(self, *packages: Package) -> None:
        """List distributions at `/simple/` and put them at `/packages/`."""
        self._packages.extend(packages)
        self.origin.publish(*self._packages)

    def drop(self, package: Package) -> None:
        """Take the link from the page, and the file away. Another one of the project stays."""
        self._packages.remove(package)
        self.origin.remove(f"/packages/{package.filename}")
        self.origin.publish(*self._packages)


def admit(request: Request) -> Answer | None:
    """What is said to somebody who may not come in; None to who may."""
    given = request.headers.get("authorization")
    if given is None:
        asks = ("WWW-Authenticate", 'Basic realm="packages", charset="UTF-8"')
        return Answer(401, (("Content-Type", "text/plain"), asks), Plain(b"Who are you?\n"))
    expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if given != f"Basic {expected}":
        return Answer(403, (("Content-Type", "text/plain"),), Plain(b"Not you.\n"))
    return None


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Private]:
    """An empty index."""
    async with Origin(host, tls, admit=admit) as origin:
        yield Private(origin)
