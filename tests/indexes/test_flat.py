"""Pages that list files of all projects at once."""

from __future__ import annotations

from tests.exchange import ask
from tests.indexes.flat import FindLinks, Listing
from tests.indexes.hrefs import Form, Plus
from tests.origin import Origin
from tests.wheels import wheel

SCATTER = wheel("torch-scatter", "2.1.2+pt29cu126")


async def test_find_links__form(origin: Origin, other_origin: Origin) -> None:
    """Links have no hash, and their text is not the name of the file."""
    page = FindLinks(origin)
    path = page.add(SCATTER)
    page.add(wheel("demo"), "/d/demo-1.0-py3-none-any.whl", files=other_origin, form=Form.SCHEMELESS, plus=Plus.BARE)
    answer = await ask(f"{origin.url}/whl/stable.html")

    rows = answer.rest.decode().splitlines()[4:6]
    link = "cpu/torch_scatter-2.1.2%2Bpt29cu126-py3-none-any.whl"
    assert f'<a href="{link}">{link}</a><br/>' == rows[0]
    assert f'<a href="//127.0.0.2:{other_origin.port}/d/demo-1.0-py3-none-any.whl">' in rows[1]
    assert "/whl/cpu/torch_scatter-2.1.2+pt29cu126-py3-none-any.whl" == path
    assert "200" == (await ask(f"{origin.url}/whl/{link}")).status


async def test_find_links__drop(origin: Origin) -> None:
    """What is dropped is not listed, but still there."""
    page = FindLinks(origin)
    path = page.add(SCATTER)
    page.drop(SCATTER)

    assert b"<a " not in (await ask(f"{origin.url}/whl/stable.html")).rest
    assert "200" == (await ask(origin.url + path)).status


async def test_listing__form(origin: Origin) -> None:
    """A listing has links that are no files, and cuts the names that it shows."""
    listing = Listing(origin)
    path = listing.add(wheel("torch", "2.9.0+rocm7.2", tag="py3-none-any"))
    text = (await ask(f"{origin.url}/rocm/manylinux/rocm-rel-7.2/")).rest.decode()

    assert '<a href="?C=N;O=D">Name</a>' in text
    assert '<a href="/rocm/manylinux/">Parent Directory</a>' in text
    assert '<a href="torch-2.9.0+rocm7.2-py3-none-any.whl">torch-2.9.0+rocm7.2-..&gt;</a> 2025-01-01' in text
    assert "200" == (await ask(origin.url + path)).status


async def test_listing__without_slash(origin: Origin) -> None:
    """The address without its slash is redirected."""
    Listing(origin).add(SCATTER)
    answer = await ask(f"{origin.url}/rocm/manylinux/rocm-rel-7.2")

    assert "301" == answer.status
    assert f"Location: {origin.url}/rocm/manylinux/rocm-rel-7.2/" in answer.head


async def test_listing__drop(origin: Origin) -> None:
    """What is dropped is neither listed nor there."""
    listing = Listing(origin)
    path = listing.add(SCATTER)
    listing.drop(SCATTER)

    assert SCATTER.filename.encode() not in (await ask(f"{origin.url}/rocm/manylinux/rocm-rel-7.2/")).rest
    assert "404" == (await ask(origin.url + path)).status
