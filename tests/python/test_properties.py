"""What holds for every address and every page."""

from __future__ import annotations

import json
import re
from html import escape, unescape
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from proxy.errors import PullthroughError
from proxy.model import Digest, Site, Target
from proxy.python import addresses, urls
from proxy.python.codings import Coding, accepted
from proxy.python.links import PageLinks, redacted
from proxy.python.negotiation import Format, choose
from proxy.python.page import File, Page
from proxy.python.parsing import parse
from proxy.python.project_list import ProjectListRewriter
from proxy.python.rendering import record, render
from proxy.python.wheel import NeedBytes, Window
from tests.indexes.hrefs import Form, Plus, anchor, href

MOUNTS = frozenset({"pypi"})
SITES = [
    Site("pypi", "https://index.example/", "simple/", 600.0),
    Site("pypi", "https://index.example/deep/er/", "", 600.0),
    Site("pypi", "http://127.0.0.1:8080/x/", "", 600.0),
]

odd = st.sampled_from("ab.+-_~%:@&?#= '\"<>é")
allowed = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\")
# Where an encoded slash stands, a decoded path has a backslash.
words = st.sampled_from(["+empty", "++empty", "+name", "+file", "+of", "acme", "a\\b", "\\", "x.whl"])
segments = words | st.text(odd | allowed, min_size=1, max_size=8).filter(
    lambda segment: segment not in (".", "..", addresses.MARKER)
)
paths = st.lists(segments | st.just(""), max_size=6).map("/".join)
hosts = st.sampled_from(
    ["files.example", "files.example:8443", "a_b.files.example:80", "127.0.0.1:1", "[::1]", "[::1]:81"]
)


def typed(host: str | None, path: str) -> Target:
    """What a client asks for that writes this path, marks and empty segments and all."""
    front = f"~files/{host}/" if host else ""
    return addresses.parse(f"/pypi/{front}{addresses.quoted(path)}", MOUNTS)


targets = st.builds(typed, st.none() | hosts, paths)
sites = st.sampled_from(SITES)
files_hex = st.text("0123456789abcdef", min_size=64, max_size=64)


@settings(deadline=None)
@given(targets)
def test_parse__inverse_of_format_path(target: Target) -> None:
    """What is printed is read back as it was."""
    path = addresses.format_path(target)
    assert target == addresses.parse(path, MOUNTS)
    assert path.isascii()


def as_pip(path: str) -> str:
    """A path as pip asks for it: decoded and encoded once more, but for what it knows as reserved."""
    parts = re.split("(@|%2F)", path, flags=re.IGNORECASE)
    return "".join(part.upper() if odd % 2 else quote(unquote(part)) for odd, part in enumerate(parts))


def as_browsers(page: str, link: str) -> str:
    """The path that a relative link leads to, as RFC 3986 and the URL standard have it; no segment is left out."""
    if link.startswith("/"):
        return link
    found = page[: page.rindex("/") + 1].split("/")[:-1]
    for segment in link.split("/"):
        if segment == "..":
            found.pop()
        elif segment != ".":
            found.append(segment)
    return "/".join(found) + ("/" if link.endswith(("/.", "/..")) else "")


@settings(deadline=None)
@given(targets)
def test_parse__requoted_by_pip(target: Target) -> None:
    """The path that pip decodes and encodes once more means the same."""
    assert target == addresses.parse(as_pip(addresses.format_path(target)), MOUNTS)


upstream_urls = st.builds(
    urls.absolute,
    st.sampled_from(["http", "https"]),
    hosts | st.sampled_from(["index.example", "127.0.0.1:8080"]),
    paths,
)


@settings(deadline=None)
@given(upstream_urls, sites, st.sampled_from(["x.whl", "acme-1.0", "README"]), st.sampled_from(["", "acme"]))
def test_locate__inverse_of_upstream_url(url: str, site: Site, name: str, project: str) -> None:
    """An address upstream has a target that leads there, also as that of a file, whatever it is called."""
    scheme = url.partition(":")[0]
    page, file = urls.locate(url, site), urls.locate_file(url, site, name, project)
    assert url == urls.upstream_url(page, site, scheme) == urls.upstream_url(file, site, scheme)
    assert name == addresses.name_of(file)
    assert "" not in file.path.split("/")
    for target in (page, file):
        assert target == addresses.parse(addresses.format_path(target), MOUNTS)


@settings(deadline=None)
@given(targets, upstream_urls, sites, st.sampled_from(["x.whl", "acme-1.0", "README"]), st.sampled_from(["", "acme"]))
def test_links__as_one_by_one(page: Target, url: str, site: Site, name: str, project: str) -> None:
    """The quick way to make a page's links gives what the long way gives."""
    there = urls.locate_file(url, site, name, project)
    quick, whole = PageLinks(page, site), PageLinks(page, site, "http://10.0.0.1:3142")
    for _ in range(2):
        assert addresses.relative(page, there) == quick.to(url, name, project)
        assert f"http://10.0.0.1:3142{addresses.format_path(there)}" == whole.to(url, name, project)


@settings(deadline=None)
@given(targets, targets)
def test_relative__resolves(page: Target, to: Target) -> None:
    """A link resolved against its page leads to its target for every client, and can be read as nothing else."""
    link, here = addresses.relative(page, to), addresses.format_path(page)
    resolved = urlsplit(urljoin(f"http://cache.example:3142{here}", link))
    assert (resolved.scheme, resolved.netloc, resolved.query, resolved.fragment) == (
        "http",
        "cache.example:3142",
        "",
        "",
    )
    assert to == addresses.parse(as_pip(resolved.path), MOUNTS)
    assert to == addresses.parse(as_browsers(here, link), MOUNTS)
    written = here.replace("/%2Bempty/", "//").replace(
        "/%2Bempty/", "//"
    )  # the page's address as a client may write it
    assert to == addresses.parse(urlsplit(urljoin(f"http://cache.example{written}", link)).path, MOUNTS)
    assert to == addresses.parse(as_browsers(written, link), MOUNTS)
    assert link
    assert not link.startswith("//")
    assert link.startswith("/") == ("+empty" in page.path.split("/"))


@settings(deadline=None)
@given(st.text(st.sampled_from("/.%+2Ffeab:\\\0?#é@[]\udc80"), max_size=30))
def test_parse__anything(text: str) -> None:
    """Whatever is asked for is a target that can be printed, or is refused."""
    try:
        target = addresses.parse("/pypi/" + text, MOUNTS)
    except PullthroughError:
        return
    assert "" not in target.path.split("/")[:-1]
    assert not {".", ".."} & set(re.split(r"[/\\]", target.path))
    assert target == addresses.parse(addresses.format_path(target), MOUNTS)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text(st.sampled_from("htps:/.%+2F@[]\\?#é a"), max_size=40))
def test_locate__anything(text: str) -> None:
    """Whatever a page links to has a target that can be asked for, or none."""
    for url in (text, f"https://files.example/{text}", f"https://{text}"):
        try:
            target = urls.locate(url, SITES[0])
        except PullthroughError:
            continue
        assert target == addresses.parse(addresses.format_path(target), MOUNTS)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(st.sampled_from("aqgzipstd/;=,*0.159 "), max_size=40))
def test_choose__anything(text: str) -> None:
    """Every header has an answer."""
    assert choose(text, text) in Format
    assert accepted(text) in (None, *Coding)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
unknown = st.dictionaries(st.text("xyz-", min_size=1, max_size=4).map("new-".__add__), values, max_size=3)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """One file as PyPI's JSON has it."""
    name = draw(st.text("ab1.-_+~", min_size=1, max_size=10)).strip(".") or "a"
    made: dict[str, Any] = draw(unknown) | {
        "filename": name,
        "url": f"https://files.example/p/{quote(name)}",
        "hashes": draw(st.dictionaries(st.sampled_from(["sha256", "blake2b_256"]), files_hex)),
        "yanked": draw(st.booleans() | text),
    }
    metadata = draw(st.none() | st.booleans() | st.builds(lambda value: {"sha256": value}, files_hex))
    if metadata is not None:
        made |= {"core-metadata": metadata, "data-dist-info-metadata": metadata}
    known = {
        "requires-python": text, "size": st.integers(0, 1 << 40), "upload-time": text, "gpg-sig": st.booleans(),
        "provenance": text,
    }  # fmt: skip
    for key, strategy in known.items():
        value = draw(st.none() | strategy)
        if value is not None:
            made[key] = value
    return made


@settings(deadline=None)
@given(unknown, unknown, st.lists(items(), max_size=3))
def test_render__json_survives(top: dict[str, Any], meta: dict[str, Any], listed: list[dict[str, Any]]) -> None:
    """JSON comes out as it went in, known or not, but for the addresses of the files."""
    body = top | {"meta": meta | {"api-version": "1.4"}, "name": "torch", "versions": ["1.0"], "files": listed}
    page = parse(json.dumps(body).encode(), Format.JSON.value, "https://index.example/simple/torch/")
    here = Target("pypi", None, "simple/torch/")
    out = json.loads(render(page, here, SITES[0], Format.JSON))
    for item in listed:
        item["url"] = addresses.relative(here, urls.locate(item["url"], SITES[0]))
    assert body == out


files = st.builds(
    File,
    filename=st.just("a"),
    url=st.builds("https://files.example/{}/a".format, st.text("abc", min_size=1, max_size=3)),
    digests=st.just(()) | st.builds(lambda value: (Digest("sha256", value),), files_hex),
    requires_python=st.none() | text,
    core_metadata=st.none() | st.just(value=True) | st.builds(Digest, st.just("sha256"), files_hex),
    yanked=st.booleans() | text,
    gpg_sig=st.none() | st.booleans(),
    size=st.none() | st.integers(0, 1 << 40),
    upload_time=st.none() | st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    provenance=st.none() | text,
    extra=st.dictionaries(st.text("abc-", min_size=1, max_size=3).map("data-x".__add__), st.none() | text, max_size=2),
)


@settings(deadline=None)
@given(st.lists(files, max_size=3), st.none() | st.just("archived"), st.sampled_from([Format.HTML, Format.TEXT]))
def test_render__html_survives(listed: list[File], status: str | None, fmt: Format) -> None:
    """HTML is read back as it was, known or not: this cache may stand behind another one."""
    here = Target("pypi", None, "simple/torch/")
    page = Page("torch", tuple(listed), html=True, api_version="1.4", status=status)
    body = render(page, here, SITES[0], fmt)
    again = parse(body, fmt.content_type, f"https://cache.example{addresses.format_path(here)}")
    moved = [file.url.replace("https://cache.example/pypi/~files/", "https://") for file in again.files]
    assert [file.url for file in listed] == moved
    assert [(f.digests, f.requires_python, f.core_metadata, f.yanked, f.gpg_sig, f.size) for f in listed] == [
        (f.digests, f.requires_python, f.core_metadata, f.yanked, f.gpg_sig, f.size) for f in again.files
    ]
    assert [(f.upload_time, f.provenance, dict(f.extra)) for f in listed] == [
        (f.upload_time, f.provenance, dict(f.extra)) for f in again.files
    ]
    assert (page.name, page.api_version, page.status) == (again.name, again.api_version, again.status)


pages = st.sampled_from(["torch/", "torch", "stable.html", "torch-2.9.0+cu126.html", "deeper/er/torch/", ""])
fronts = st.sampled_from(
    [
        "https://files.example",
        "https://files.example:8443",
        "http://files.example",
        "http://127.0.0.1:1",
        "https://[::1]:81",
    ]
)
file_paths = st.lists(segments.filter(lambda segment: "\\" not in segment), min_size=1, max_size=5).map("/".join)


@st.composite
def links(draw: st.DrawFn, page: str) -> tuple[str, str]:
    """An address and how `page` writes it, in one of all forms."""
    form = draw(st.sampled_from(Form))
    relative = form in {Form.BESIDE, Form.DOTTED, Form.ROOTED}
    front = "/".join(page.split("/", 3)[:3]) if relative else draw(fronts)
    if form is Form.SCHEMELESS:
        front = page.partition(":")[0] + front[front.index(":") :]
    path = draw(file_paths)
    return f"{front}/{quote(path)}", href(
        page, f"{front}/{path}", form, draw(st.sampled_from(Plus)), "sha256=" + "a" * 64
    )


def last_name(url: str) -> str:
    """The name at the end of an address, as pip has it."""
    return re.split(r"[/\\]", unquote(url))[-1]


@settings(deadline=None)
@given(sites, pages, st.data(), st.booleans(), st.sampled_from(Format))
def test_links__all_forms(site: Site, name: str, data: st.DataObject, in_json: bool, fmt: Format) -> None:
    """A link of any form leads to its address; rewritten and resolved on the cache, it leads there too."""
    page_url = site.base + site.index + name
    listed = data.draw(st.lists(links(page_url), min_size=1, max_size=3))
    if in_json:
        items = [{"filename": last_name(url), "url": unescape(link), "hashes": {}} for url, link in listed]
        page = parse(json.dumps({"files": items}).encode(), Format.JSON.value, quote(page_url, safe=":/[]"))
    else:
        text = "".join(anchor(link, "a file") for _, link in listed)
        page = parse(text.encode(), "text/html", quote(page_url, safe=":/[]"))
    here = urls.locate(quote(page_url, safe=":/[]"), site)
    body = render(page, here, site, fmt)
    again = parse(body, fmt.content_type, f"http://cache.example:3142{addresses.format_path(here)}")

    assert [url for url, _ in listed] == [file.url for file in page.files]
    found = [addresses.parse(urlsplit(file.url).path, MOUNTS) for file in again.files]
    schemes = [url.partition(":")[0] for url, _ in listed]
    assert [url for url, _ in listed] == [
        urls.upstream_url(target, site, scheme) for target, scheme in zip(found, schemes, strict=True)
    ]


wild = st.text(st.sampled_from("/.%+2Ff?#@:;=&\\é a1_~-"), max_size=20)
any_link = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [
            "", "/", "//", "../", "https://files.example/", "https://Files.Example.:443/", "http://me:secret@files.example/",
            "http://files.example:443/", "https://[::1]:8443/", "https://index.example/", "https://index.example/deep/er/",
            "git+https://token@git.example/", "git+ssh://git:secret@git.example/", "ftp://files.example/",
        ]
    ),
    wild,
    st.sampled_from(["", "acme-1.0.zip", "x-1-py3-none-any.whl?a=1", "1.0.tar.gz#egg=acme-1.0", "acme.pyz", "v%2F1.0"]),
).map(str.strip)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(sites, any_link, st.none() | st.sampled_from(["acme-1.0.zip", "1.0", "é+%2F.whl"]), st.sampled_from(Format))
def test_links__any_link(site: Site, link: str, filename: str | None, fmt: Format) -> None:
    """Whatever a page links to is rewritten so that every client arrives at that address, or passed on, or no file."""
    url = site.base + "simple/acme/"
    if filename is None:
        page = parse(f'<h1>Links for x</h1><a href="{escape(link)}">acme-9.zip</a>'.encode(), "text/html", url)
    else:
        body = {"files": [{"filename": filename, "url": link, "hashes": {}}]}
        page = parse(json.dumps(body).encode(), Format.JSON.value, url)
    here = urls.locate(url, site)
    page = structs.replace(page, files=tuple(structs.replace(file, project="acme") for file in page.files), folders=())
    shown = render(page, here, site, fmt)
    assert b"secret@" not in shown
    assert b"token@" not in shown
    shown_links = re.findall(r'(?:href=|"url":)"([^"]*)"', shown.decode())
    for file, written in zip(page.files, shown_links, strict=True):
        address = (written if fmt is Format.JSON else unescape(written)).partition("#")[0]
        if "://" in address:
            assert address == redacted(file.url.encode()).decode()  # a segment such as `;//1@` may be a user
            assert address.startswith(("https://", "http://", "git+https://git.", "git+ssh://git@git.", "ftp://"))
            continue
        path = addresses.format_path(here)
        by_pip = as_pip(urlsplit(urljoin(f"http://cache.example{path}", address)).path)
        target = addresses.parse(as_browsers(path, address), MOUNTS)
        assert target == addresses.parse(by_pip, MOUNTS)
        assert target == urls.locate_file(file.url, site, file.filename, file.project)
        assert file.filename == addresses.name_of(target)
        scheme, _, plain = file.url.partition("?")[0].partition("://")
        assert f"{scheme}://{plain}" == urls.upstream_url(target, site, scheme)
        if re.match("https?://[^/]", link) and not {".", ".."} & set(urlsplit(link).path.split("/")):
            meant, arrived = ([unquote(part) for part in urlsplit(at).path.split("/")[1:]] for at in (link, file.url))
            assert (meant or [""]) == arrived


@settings(deadline=None)
@given(st.lists(files, max_size=3), st.sampled_from(["https://index.example/simple/a/", "http://x.example:81/b.html"]))
def test_record__survives(listed: list[File], url: str) -> None:
    """What is stored of files that were dropped is read again as it was."""
    page = Page("a", tuple(structs.replace(file, extra={}) for file in listed), html=False)
    assert page.files == parse(record(page), Format.JSON.content_type, url).files


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("<a href=\"'>#&/.:%\0", max_size=100).map(str.encode), st.sampled_from(Format))
def test_parse__any_bytes(body: bytes, fmt: Format) -> None:
    """Whatever upstream sends is a page that can be rendered, or upstream's failure."""
    for content_type in (Format.JSON.value, "text/html", ""):
        try:
            page = parse(body, content_type, "https://index.example/simple/torch/")
        except PullthroughError:
            continue
        assert render(page, Target("pypi", None, "simple/torch/"), SITES[0], fmt)


@settings(deadline=None)
@given(
    st.binary(max_size=20), st.lists(st.sampled_from([b'<a href="/simple/', b'x/">', b"<", b">", b"x"]), max_size=12)
)
def test_project_list__any_cut(noise: bytes, pieces: list[bytes]) -> None:
    """The chunks in which a list comes make no difference."""
    body = noise.join(pieces)
    whole, cut = ProjectListRewriter("/simple/"), ProjectListRewriter("/simple/")
    expected = whole.feed(body) + whole.finish()
    assert expected == b"".join([cut.feed(body[at : at + 1]) for at in range(len(body))] + [cut.finish()])


@settings(deadline=None)
@given(
    st.binary(min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6),
    st.data(),
)
def test_window__what_is_known(body: bytes, ranges: list[tuple[int, int]], data: st.DataObject) -> None:
    """A window gives the file's bytes where it was told them, and asks for others, never for what it knows."""
    window, known = Window(len(body)), set[int]()
    for start, end in ranges:
        window.add(start, body[start:end])
        known |= set(range(start, min(end, len(body))))
    start = data.draw(st.integers(0, len(body)))
    size = data.draw(st.integers(1, 60))
    window.seek(start)
    wanted = set(range(start, min(start + size, len(body))))
    if wanted <= known:
        assert window.read(size) == body[start : start + size]
        return
    with pytest.raises(NeedBytes) as caught:
        window.read(size)
    need = range(caught.value.start, caught.value.end)
    assert need.start == min(wanted - known)
    assert not known & set(need)
    assert need.start < need.stop <= len(body)
