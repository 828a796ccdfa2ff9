"""The index that is like PyTorch's."""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import trustme

from tests.certificates import bundle, server_context
from tests.exchange import ask
from tests.indexes import pytorch
from tests.indexes.hrefs import Form, Plus
from tests.wheels import wheel

TORCH = wheel("torch", "2.9.0+cu126", requires=("sympy",))


async def test_page__form() -> None:
    """A page is HTML with one line a file, and ends in the time of its making."""
    async with pytorch.serving() as index:
        index.add("cu126", TORCH, uploaded="2026-06-01T00:00:00.000000Z")
        answer = await ask(f"{index.origin.url}/whl/cu126/torch/", Accept="application/vnd.pypi.simple.v1+json")
        bare = await ask(f"{index.origin.url}/whl/cu126/torch")

        assert "Content-Type: text/html\r\n" in answer.head
        assert "Cache-Control: max-age=600, public, must-revalidate" in answer.head
        lines = answer.rest.decode().splitlines()
        assert lines[4].startswith(
            f'    <a href="/whl/cu126/torch-2.9.0%2Bcu126-py3-none-any.whl#sha256={TORCH.sha256}" data-dist-info-meta'
        )
        assert lines[4].endswith(
            ' data-upload-time="2026-06-01T00:00:00.000000Z">torch-2.9.0+cu126-py3-none-any.whl</a><br/>'
        )
        assert "<!--TIMESTAMP 1703347410-->" == lines[-1]
        assert ("200", answer.rest) == (bare.status, bare.rest)


async def test_page__regenerated() -> None:
    """Made anew, a page has other bytes and another validator though no link changed."""
    async with pytorch.serving() as index:
        index.add("cu126", TORCH)
        before = await ask(f"{index.origin.url}/whl/cu126/torch/")
        index.regenerate()
        after = await ask(f"{index.origin.url}/whl/cu126/torch/")

    assert before.rest.splitlines()[:-1] == after.rest.splitlines()[:-1]
    assert before.rest != after.rest
    assert _etag(before.head) != _etag(after.head)


async def test_page__links() -> None:
    """Links lead to the other host, out of the channel, to other indexes; a hash may be missing, or the file."""
    async with pytorch.serving() as index:
        vision, audio, text = (wheel(name, "1.0+cu126") for name in ("torchvision", "torchaudio", "torchtext"))
        index.add("cu126", vision, at_sibling=True, hashed=False, metadata=False)
        index.add("cu126", audio, at_root=True, plus=Plus.ENTITY)
        index.add("cu126", text, form=Form.ABSOLUTE, there=False)
        index.copy("cu126", wheel("numpy"), "https://files.example/ab/numpy-1.0-py3-none-any.whl")
        pages = {
            name: (await ask(f"{index.origin.url}/whl/cu126/{name}/")).rest.decode()
            for name in ("torchvision", "torchaudio", "torchtext", "numpy")
        }

        assert f'<a href="{index.sibling.url}/whl/cu126/torchvision-1.0%2Bcu126-' in pages["torchvision"]
        assert "sha256" not in pages["torchvision"]
        assert '<a href="/whl/torchaudio-1.0&#43;cu126-' in pages["torchaudio"]
        assert '<a href="https://files.example/ab/numpy-1.0-py3-none-any.whl#sha256=' in pages["numpy"]
        assert "403" == (await ask(index.origin.url + index.path("cu126", text).replace("+", "%2B"))).status


async def test_files__on_both_hosts() -> None:
    """Both hosts have the same paths, each counts for itself, and a file may change under its name."""
    async with pytorch.serving() as index:
        nightly = wheel("torch", "2.10.0.dev20260101+cu128")
        path = index.add("nightly/cu128", nightly, hashed=False, no_store=True)
        first = await ask(index.origin.url + path)
        index.put(path, wheel("torch", "2.10.0.dev20260101+cu128", padding=9).body)
        second = await ask(index.sibling.url + path)

        assert first.rest == nightly.body.read(0, nightly.body.size)
        assert first.rest != second.rest
        assert (1, 1) == (index.origin.count(path), index.sibling.count(path))
        assert "no-store" in first.head
        assert "no-store" in (await ask(f"{index.origin.url}/whl/nightly/cu128/torch/")).head


@pytest.mark.parametrize("path", ["/whl/cu126/absent/", "/whl/cu126/torch-9-py3-none-any.whl", "/simple/torch/"])
async def test_missing__is_forbidden(path: str) -> None:
    """What is not there is 403 in XML, for pages and files."""
    async with pytorch.serving() as index:
        answer = await ask(index.origin.url + path)

    assert ("403", True) == (answer.status, "Content-Type: application/xml" in answer.head)


async def test_drop__link_and_file() -> None:
    """What is dropped is neither listed nor there."""
    async with pytorch.serving() as index:
        path = index.add("cpu", TORCH)
        index.drop("cpu", TORCH)

        assert b"<a " not in (await ask(f"{index.origin.url}/whl/cpu/torch/")).rest
        assert "403" == (await ask(index.origin.url + path)).status


async def test_serving__tls(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both hosts have certificates of a private authority, which is trusted with the bundle only."""
    roots = bundle(authority, tmp_path_factory.mktemp("roots") / "roots.pem")
    knowing = ssl.create_default_context(cafile=str(roots))
    async with pytorch.serving(server_context(authority)) as index, aiohttp.ClientSession() as http:
        path = index.add("cpu", TORCH)
        for host in (index.origin, index.sibling):
            async with http.get(host.url + path, ssl=knowing) as answer:
                assert (200, "https") == (answer.status, answer.url.scheme)
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(host.url + path, ssl=ssl.create_default_context())


def _etag(head: str) -> str:
    return next(line for line in head.splitlines() if line.startswith("ETag: "))
