"""An index as NVIDIA's: projects directly below the base, bare file names with their hash, the files beside the page.

No metadata file lies beside a wheel, and wheels say that nobody may store them.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.answers import LONG_AGO, Answer, Request, Resource, strong_etag
from tests.bodies import Plain
from tests.indexes.hrefs import Form, anchor, href
from tests.origin import Origin
from tests.wheels import Package

_LIFE = ("Cache-Control", "max-age=0, no-cache, no-store")


@dataclass(slots=True)
class Nvidia:
    """`async with serving() as index:`."""

    origin: Origin
    _rows: dict[str, dict[str, str]] = field(default_factory=dict)  # project → file name → anchor

    def add(self, package: Package) -> str:
        """List a distribution and put it beside its page; gives its path."""
        page = f"/{package.project}/"
        path = page + package.filename
        self.origin.file(path, package.body, headers=[_LIFE])
        link = href(self.origin.url + page, self.origin.url + path, Form.BESIDE, fragment=f"sha256={package.sha256}")
        self._rows.setdefault(package.project, {})[package.filename] = anchor(link, package.filename)
        self.origin.route(page, lambda request: self._page(package.project).answer(request))
        self.origin.route("/", self._projects)
        return path

    def drop(self, package: Package) -> None:
        """Take the link from the page, and the file away."""
        del self._rows[package.project][package.filename]
        self.origin.remove(f"/{package.project}/{package.filename}")

    def _page(self, project: str) -> Resource:
        title = f"Links for {project}"
        rows = "<br>\n".join(self._rows[project].values())  # none behind the last
        return _html(
            f"<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n"
            f"{rows}\n</body>\n</html>\n"
        )

    def _projects(self, request: Request) -> Answer:
        rows = "<br>\n".join(anchor(f"{project}/", project) for project in sorted(self._rows))
        return _html(f"<!DOCTYPE html>\n<html>\n<body>\n{rows}\n</body>\n</html>\n").answer(request)


def _html(text: str) -> Resource:
    body = Plain(text.encode())
    return Resource(body, "text/html", strong_etag(body), LONG_AGO)


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Nvidia]:
    """An empty index."""
    async with Origin(host, tls) as origin:
        yield Nvidia(origin)
