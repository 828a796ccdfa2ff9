"""The index whose files lie one folder above its pages."""

from __future__ import annotations

from tests.exchange import ask
from tests.indexes.above import Above
from tests.origin import Origin
from tests.wheels import wheel


async def test_page__form(origin: Origin) -> None:
    """Links lead one folder up, where the file is."""
    package = wheel("torch", "2.9.0+rocm7.2")
    path = Above(origin).add(package)
    text = (await ask(f"{origin.url}/rocm/whl-multi-arch/torch/")).rest.decode()

    assert f'<a href="../torch-2.9.0%2Brocm7.2-py3-none-any.whl#sha256={package.sha256}">' in text
    assert "/rocm/whl-multi-arch/torch-2.9.0+rocm7.2-py3-none-any.whl" == path
    assert "200" == (await ask(origin.url + path)).status


async def test_drop(origin: Origin) -> None:
    """What is dropped is neither listed nor there."""
    package = wheel("torch", "2.9.0+rocm7.2")
    index = Above(origin)
    path = index.add(package)
    index.drop(package)

    assert b"<a " not in (await ask(f"{origin.url}/rocm/whl-multi-arch/torch/")).rest
    assert "404" == (await ask(origin.url + path)).status
