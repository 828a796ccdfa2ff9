"""An index as PyTorch's: channels below `/whl/`, HTML only, files on several hosts, 403 for what is not there.

Beside the pages' host there is a second one with the same paths; links lead to either, to the root of `/whl/`, to other
indexes (pages of dependencies are copies), or nowhere. Hashes and metadata files are there or are not. Each time the
pages are made anew their last line changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.answers import LONG_AGO, Answer, Request, Resource, strong_etag
from tests.bodies import Body, Plain
from tests.indexes.hrefs import Form, Plus, anchor, href
from tests.indexes.storage import NO_STORE, SERVER, denied
from tests.origin import Origin
from tests.wheels import Package

CHANNELS = ("cpu", "cu126", "cu128", "nightly/cu128", "test/cu126")
_VOLATILE = ("nightly/", "test/")
_LIFE = ("Cache-Control", "max-age=600, public, must-revalidate")


@dataclass(slots=True)
class PyTorch:
    """`async with serving() as index:`. Paths on both hosts are the same."""

    origin: Origin
    sibling: Origin  # another host that has all that `origin` has
    generation: int = 1703347410  # what the last line of the pages says
    _rows: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)  # (channel, project) → name → line
    _copies: set[tuple[str, str]] = field(default_factory=set)

    def add(
        self,
        channel: str,
        package: Package,
        *,
        form: Form = Form.ROOTED,
        plus: Plus = Plus.ESCAPED,
        at_sibling: bool = False,
        at_root: bool = False,
        hashed: bool = True,
        metadata: bool = True,
        no_store: bool = False,
        there: bool = True,
        uploaded: str | None = None,
    ) -> str:
        """List a wheel and put it there; gives its path.

        `at_sibling`: the link names the other host. `at_root`: the file lies at `/whl/`, outside of the channel.
        `there=False` leaves the link dangling. `uploaded` is a time in PEP 700's form, which newer pages have. Again
        for the same name: the line and the file are replaced.
        """
        path = self.path(channel, package, at_root=at_root)
        info = package.metadata if metadata else None
        if there:
            self.put(path, package.body, no_store=no_store)
            if info is not None:
                self.origin.file(f"{path}.metadata", info, headers=[SERVER])
        host, form = (self.sibling, Form.ABSOLUTE) if at_sibling else (self.origin, form)
        page = f"{self.origin.url}/whl/{channel}/{package.project}/"
        digest = f"sha256={hashlib.sha256(info).hexdigest()}" if info is not None else None
        link = href(page, host.url + path, form, plus, f"sha256={package.sha256}" if hashed else "")
        attributes = (
            ("data-dist-info-metadata", digest),
            ("data-core-metadata", digest),
            ("data-upload-time", uploaded),
        )
        self._list(channel, package, anchor(link, package.filename, attributes))
        return path

    def copy(self, channel: str, package: Package, url: str) -> None:
        """List a dependency that lies elsewhere, as the index that it comes from does, with an absolute link."""
        link = href(url, url, Form.ABSOLUTE, fragment=f"sha256={package.sha256}")
        attributes = (("data-requires-python", package.requires_python),)
        self._list(channel, package, anchor(link, package.filename, attributes))
        self._copies.add((channel, package.project))

    def put(self, path: str, body: Body, *, no_store: bool = False) -> None:
        """Put a file at `path`, in place of what was there: names of nightlies are used again for other bytes."""
        self.origin.file(path, body, headers=[SERVER, NO_STORE] if no_store else [SERVER])

    def drop(self, channel: str, package: Package, *, at_root: bool = False) -> None:
        """Take the link from the page, and the file away."""
        del self._rows[channel, package.project][package.filename]
        self.origin.remove(self.path(channel, package, at_root=at_root))

    def regenerate(self) -> None:
        """Make all pages anew: nothing of them changes but the last line."""
        self.generation += 60

    @staticmethod
    def path(channel: str, package: Package, *, at_root: bool = False) -> str:
        """Where a file lies on both hosts."""
        return f"/whl/{package.filename}" if at_root else f"/whl/{channel}/{package.filename}"

    def _list(self, channel: str, package: Package, line: str) -> None:
        self._rows.setdefault((channel, package.project), {})[package.filename] = line
        page = f"/whl/{channel}/{package.project}"
        for path in (page, f"{page}/"):  # without the slash the same page comes, and no redirect

            def handler(request: Request, channel: str = channel, project: str = package.project) -> Answer:
                return self._page(channel, project).answer(request)

            self.origin.route(path, handler)

    def _page(self, channel: str, project: str) -> Resource:
        rows = "\n".join(f"    {line}<br/>" for line in self._rows[channel, project].values())
        body = Plain(
            f"<!DOCTYPE html>\n<html>\n  <body>\n    <h1>Links for {project}</h1>\n{rows}\n  </body>\n</html>\n"
            f"<!--TIMESTAMP {self.generation}-->".encode()
        )
        never = channel.startswith(_VOLATILE) or (channel, project) in self._copies
        headers = (SERVER, NO_STORE if never else _LIFE)
        return Resource(body, "text/html", strong_etag(body), LONG_AGO if never else None, headers=headers)


@contextlib.asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", sibling: str = "127.0.0.2"
) -> AsyncIterator[PyTorch]:
    """An empty index on both of its hosts."""
    async with Origin(host, tls, missing=denied) as origin, origin.twin(sibling) as other:
        yield PyTorch(origin, other)
