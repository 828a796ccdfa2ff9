"""Pages in the forms that real indexes have, from `tests/data/pages`: each link leads where it should."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from proxy.model import Site, Target
from proxy.python import addresses, urls
from proxy.python.negotiation import Format
from proxy.python.parsing import parse
from proxy.python.rendering import render

_FOLDER = Path(__file__).parent.parent / "data" / "pages"
_CACHE = "http://cache.example:3142"
_MOUNTS = frozenset({"index"})


@dataclass(frozen=True, slots=True)
class Form:
    """One entry of the table: a page, where it was asked for, and its links with their hashes."""

    file: str
    url: str
    type: str
    links: list[list[str]]

    @property
    def body(self) -> bytes:
        return (_FOLDER / self.file).read_bytes()

    @property
    def site(self) -> Site:
        """A mount for the host that the page came from."""
        parts = urlsplit(self.url)
        return Site("index", f"{parts.scheme}://{parts.netloc}/", "", 600.0)


_FORMS = [Form(**entry) for entry in tomllib.loads((_FOLDER / "pages.toml").read_text("utf-8"))["page"]]


def test_table__is_whole() -> None:
    """No page lies there that nobody reads."""
    assert {path.name for path in _FOLDER.iterdir()} - {"pages.toml"} == {form.file for form in _FORMS}


@pytest.mark.parametrize("form", _FORMS, ids=lambda form: form.file)
def test_parse__each_form(form: Form) -> None:
    """Every link leads to its one absolute address, with its hash, and is named by its address."""
    page = parse(form.body, form.type, form.url)

    assert form.links == [[file.url, str(file.best_digest or "")] for file in page.files]
    assert [unquote(url.rpartition("/")[2]) for url, _ in form.links] == [file.filename for file in page.files]


@pytest.mark.parametrize("fmt", Format)
@pytest.mark.parametrize("form", _FORMS, ids=lambda form: form.file)
def test_render__each_form(form: Form, fmt: Format) -> None:
    """Every link of the rewritten page leads to the cache, and from there to the address that it had."""
    here = urls.locate(form.url, form.site)
    body = render(parse(form.body, form.type, form.url), here, form.site, fmt)
    again = parse(body, fmt.content_type, _CACHE + addresses.format_path(here))

    assert form.links == [[_upstream(file.url, form.site), str(file.best_digest or "")] for file in again.files]
    for address in re.findall(r'(?:href|"url")[=:]"([^"]*)"', body.decode()):
        assert ("", "", "") == (urlsplit(address).scheme, urlsplit(address).netloc, urlsplit(address).query)


def test_render__nvidia_stays_bare() -> None:
    """On an index that has its files beside its pages, links stay bare names: its build back ends want them so."""
    form = next(form for form in _FORMS if form.file == "nvidia.html")
    here = Target("index", None, "nvidia-cublas-cu12/")
    body = render(parse(form.body, form.type, form.url), here, form.site, Format.TEXT).decode()

    written = [address.split("#")[0] for address in re.findall(r'href="([^"]*)"', body)]
    assert [url.rpartition("/")[2] for url, _ in form.links] == written


def test_parse__only_the_stamp_changed() -> None:
    """A page that was made anew without other links is the same page, but for bytes that nobody is sent."""
    form = next(form for form in _FORMS if form.file == "pytorch-cu126.html")
    anew = form.body.replace(b"<!--TIMESTAMP 1703347410-->", b"<!--TIMESTAMP 1703347999-->")
    here = urls.locate(form.url, form.site)
    before, after = [
        render(parse(body, form.type, form.url), here, form.site, Format.TEXT) for body in (form.body, anew)
    ]

    assert form.body != anew
    assert before == after


def _upstream(url: str, site: Site) -> str:
    """What the cache would ask upstream for, when a client asks it for this address."""
    assert url.startswith(f"{_CACHE}/")
    target = addresses.parse(urlsplit(urljoin(_CACHE, url)).path, _MOUNTS)
    return urls.upstream_url(target, site)
