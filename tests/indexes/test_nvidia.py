"""The index that is like NVIDIA's."""

from __future__ import annotations

from tests.exchange import ask
from tests.indexes import nvidia
from tests.wheels import wheel

CUBLAS = wheel("nvidia-cublas-cu12", "12.6.4.1")
OLDER = wheel("nvidia-cublas-cu12", "12.6.3.3")


async def test_page__form() -> None:
    """Links are bare names with their hash, no line break follows the last, and JSON is never given."""
    async with nvidia.serving() as index:
        path = index.add(CUBLAS)
        index.add(OLDER)
        answer = await ask(f"{index.origin.url}/nvidia-cublas-cu12/", Accept="application/vnd.pypi.simple.v1+json")

        assert "Content-Type: text/html\r\n" in answer.head
        rows = answer.rest.decode().splitlines()[5:7]
        assert f'<a href="{CUBLAS.filename}#sha256={CUBLAS.sha256}">{CUBLAS.filename}</a><br>' == rows[0]
        assert f'<a href="{OLDER.filename}#sha256={OLDER.sha256}">{OLDER.filename}</a>' == rows[1]
        assert f"/nvidia-cublas-cu12/{CUBLAS.filename}" == path


async def test_files__not_to_be_stored() -> None:
    """A file lies beside its page, says that nobody may store it, gives parts, and has no metadata file."""
    async with nvidia.serving() as index:
        path = index.add(CUBLAS)
        whole = await ask(index.origin.url + path)
        part = await ask(index.origin.url + path, range="bytes=1-2")

        assert "Cache-Control: max-age=0, no-cache, no-store" in whole.head
        assert ("206", CUBLAS.body.read(1, 3)) == (part.status, part.rest)
        assert "404" == (await ask(f"{index.origin.url}{path}.metadata")).status


async def test_missing() -> None:
    """An unknown project is 404, as is a file that was dropped; the list knows the others."""
    async with nvidia.serving() as index:
        path = index.add(CUBLAS)
        index.add(OLDER)
        index.drop(CUBLAS)

        assert "404" == (await ask(f"{index.origin.url}/absent/")).status
        assert "404" == (await ask(index.origin.url + path)).status
        assert b'<a href="nvidia-cublas-cu12/">nvidia-cublas-cu12</a>' in (await ask(f"{index.origin.url}/")).rest
        assert CUBLAS.filename.encode() not in (await ask(f"{index.origin.url}/nvidia-cublas-cu12/")).rest
