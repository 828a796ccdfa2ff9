"""An index of one page a project whose files lie one folder above the pages, all together, as AMD's has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.answers import Answer, Request, Resource, strong_etag
from tests.bodies import Plain
from tests.indexes.hrefs import Form, anchor, href
from tests.origin import Origin
from tests.wheels import Package


@dataclass(slots=True)
class Above:
    """Pages at `<base><project>/`, files at `<base>`: links begin with `../`."""

    origin: Origin
    base: str = "/rocm/whl-multi-arch/"
    _rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, package: Package) -> str:
        """List a file and put it there; gives its path."""
        page, path = f"{self.base}{package.project}/", self.base + package.filename
        self.origin.file(path, package.body)
        link = href(self.origin.url + page, self.origin.url + path, Form.BESIDE, fragment=f"sha256={package.sha256}")
        self._rows.setdefault(package.project, {})[package.filename] = anchor(link, package.filename)

        def handler(request: Request) -> Answer:
            rows = "".join(f"{row}<br>\n" for row in self._rows[package.project].values())
            body = Plain(
                f"<!DOCTYPE html>\n<html><body>\n<h1>Links for {package.project}</h1>\n{rows}</body></html>\n".encode()
            )
            return Resource(body, "text/html", strong_etag(body)).answer(request)

        self.origin.route(page, handler)
        return path

    def drop(self, package: Package) -> None:
        """Take the link from the page, and the file away."""
        del self._rows[package.project][package.filename]
        self.origin.remove(self.base + package.filename)
