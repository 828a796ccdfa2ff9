"""`proxy.python.links`."""

from __future__ import annotations

import pytest

from proxy.errors import BadTarget
from proxy.python.links import Base

PAGE = "https://index.example/whl/cu126/torch/"


@pytest.mark.parametrize(
    ("href", "url", "name"),
    [
        ("x.whl", "https://index.example/whl/cu126/torch/x.whl", "x.whl"),
        ("x+cpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x%2Bcpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("x%2bcpu.whl", "https://index.example/whl/cu126/torch/x%2Bcpu.whl", "x+cpu.whl"),
        ("./x.whl", "https://index.example/whl/cu126/torch/x.whl", "x.whl"),
        ("../x.whl", "https://index.example/whl/cu126/x.whl", "x.whl"),
        ("../../../../x.whl", "https://index.example/x.whl", "x.whl"),
        ("0.1/x.tar.gz", "https://index.example/whl/cu126/torch/0.1/x.tar.gz", "x.tar.gz"),
        ("/whl/x.whl", "https://index.example/whl/x.whl", "x.whl"),
        ("/whl/a/../x.whl", "https://index.example/whl/x.whl", "x.whl"),
        ("//files.example/x.whl", "https://files.example/x.whl", "x.whl"),
        ("https://files.example/a/x.whl", "https://files.example/a/x.whl", "x.whl"),
        ("https://files.example/a/../x.whl", "https://files.example/x.whl", "x.whl"),
        ("HTTP://Files.Example:80/x.whl", "http://files.example/x.whl", "x.whl"),
        ("https://files.example:8443/x.whl", "https://files.example:8443/x.whl", "x.whl"),
        ("https://files.example/x.whl?sig=a%2Fb&t=1", "https://files.example/x.whl?sig=a%2Fb&t=1", "x.whl"),
        ("x.whl?sig=a b", "https://index.example/whl/cu126/torch/x.whl?sig=a%20b", "x.whl"),
        ("x y.whl", "https://index.example/whl/cu126/torch/x%20y.whl", "x y.whl"),
        ("../torchvision/", "https://index.example/whl/cu126/torchvision/", ""),
    ],
)
def test_resolve__forms(href: str, url: str, name: str) -> None:
    """Every form of a link leads to one absolute address."""
    assert (url, name) == Base.of(PAGE).resolve(href)


@pytest.mark.parametrize(
    "href",
    [
        "mailto:a@files.example",
        "javascript:alert(1)",
        "ftp://files.example/x",
        "//[::1/x",
        "https://files.example/a//b.whl",
        "/a//b.whl",
        "a%2Fb",
        "50%.whl",
    ],
)
def test_resolve__refused(href: str) -> None:
    """What cannot be fetched leads nowhere."""
    with pytest.raises(BadTarget):
        Base.of(PAGE).resolve(href)


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://files.example/a/", "https://files.example/a/x.whl"),
        ("/a/b", "https://index.example/a/x.whl"),
        ("", "https://index.example/whl/cu126/torch/x.whl"),
        ("ftp://files.example/a/", "https://index.example/whl/cu126/torch/x.whl"),
        ("//[::1", "https://index.example/whl/cu126/torch/x.whl"),
    ],
)
def test_of__base(base: str, url: str) -> None:
    """A base that cannot be used counts for nothing."""
    assert Base.of(PAGE, base).resolve("x.whl")[0] == url


def test_of__flat_page() -> None:
    """Links of a page without a slash at its end are resolved against its folder."""
    assert Base.of("https://index.example/whl/stable.html?x=/y/").resolve("cpu/x.whl")[0] == (
        "https://index.example/whl/cpu/x.whl"
    )
