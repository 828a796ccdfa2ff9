"""Pages that list files of all projects at once, as `pip --find-links` takes them: written by hand, or by Apache."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.answers import LONG_AGO, Answer, Request, Resource, strong_etag
from tests.bodies import Plain
from tests.indexes.hrefs import Form, Plus, anchor, href
from tests.origin import Origin
from tests.wheels import Package

_NAME_WIDTH = 23  # characters of a name that a listing shows


@dataclass(slots=True)
class FindLinks:
    """A page such as `/whl/stable.html`; its links have no hashes, and the text shows the folder too."""

    origin: Origin
    path: str = "/whl/stable.html"
    _rows: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        package: Package,
        path: str | None = None,
        *,
        files: Origin | None = None,
        form: Form = Form.BESIDE,
        plus: Plus = Plus.ESCAPED,
    ) -> str:
        """List a file and put it at `path`, of `files` if that is another origin; gives the path.

        Without `path` it lies in the folder `cpu/` beside the page.
        """
        path = path or f"{self.path.rpartition('/')[0]}/cpu/{package.filename}"
        (files or self.origin).file(path, package.body)
        link = href(self.origin.url + self.path, (files or self.origin).url + path, form, plus)
        self._rows[package.filename] = anchor(link, link)
        self.origin.route(self.path, self._page)
        return path

    def drop(self, package: Package) -> None:
        """Take the link from the page; the file stays."""
        del self._rows[package.filename]

    def _page(self, request: Request) -> Answer:
        rows = "".join(f"{line}<br/>\n" for line in self._rows.values())
        return _html(f"<!DOCTYPE html>\n<html>\n<body>\n<h1>Links for wheels</h1>\n{rows}</body>\n</html>\n", request)


@dataclass(slots=True)
class Listing:
    """A folder as Apache shows it: links that sort, one to the folder above, names that are cut, times and sizes."""

    origin: Origin
    path: str = "/rocm/manylinux/rocm-rel-7.2/"
    _packages: dict[str, Package] = field(default_factory=dict)

    def add(self, package: Package) -> str:
        """Put a file into the folder; gives its path."""
        path = self.path + package.filename
        self.origin.file(path, package.body)
        self._packages[package.filename] = package
        self.origin.route(self.path, self._page)
        self.origin.route(self.path.rstrip("/"), self._moved)
        return path

    def drop(self, package: Package) -> None:
        """Take the file away, and with it its row."""
        del self._packages[package.filename]
        self.origin.remove(self.path + package.filename)

    def _page(self, request: Request) -> Answer:
        heads = "  ".join(
            anchor(f"?C={key};O=D" if key == "N" else f"?C={key};O=A", name)
            for key, name in (("N", "Name"), ("M", "Last modified"), ("S", "Size"), ("D", "Description"))
        )
        above = self.path.rstrip("/").rpartition("/")[0] + "/"
        rows = "".join(map(self._row, self._packages.values()))
        title = f"Index of {self.path.rstrip('/')}"
        text = (
            f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n<h1>{title}</h1>\n<pre>      {heads}<hr>"
            f"{anchor(above, 'Parent Directory')}                             -   \n{rows}<hr></pre>\n</body></html>\n"
        )
        return _html(text, request)

    def _row(self, package: Package) -> str:
        name = package.filename
        shown = name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..>"
        link = href(self.origin.url + self.path, self.origin.url + self.path + name, Form.BESIDE, Plus.BARE)
        return f"{anchor(link, shown)} 2025-01-01 00:00  {package.body.size >> 10:3}K  \n"

    def _moved(self, _: Request) -> Answer:
        return Answer(301, (("Location", self.origin.url + self.path),))


def _html(text: str, request: Request) -> Answer:
    body = Plain(text.encode())
    return Resource(body, "text/html;charset=UTF-8", strong_etag(body), LONG_AGO, ranges=False).answer(request)
