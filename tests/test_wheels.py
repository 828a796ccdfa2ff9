"""Packages made for tests are what installers take for packages."""

from __future__ import annotations

import io
import zipfile

from tests import wheels


def test_wheel__with_padding() -> None:
    """A padded wheel is a whole archive of about that size, the same every time."""
    package = wheels.wheel("My.Demo", "1.0+cu126", requires=("six",), requires_python=">=3.11", padding=3_000_000)
    with zipfile.ZipFile(io.BytesIO(package.body.read(0, package.body.size))) as archive:
        assert archive.testzip() is None
        assert package.metadata == archive.read("my_demo-1.0+cu126.dist-info/METADATA")
        assert 3_000_000 == archive.getinfo("my_demo/padding.bin").file_size

    again = wheels.wheel.__wrapped__(
        "My.Demo", "1.0+cu126", requires=("six",), requires_python=">=3.11", padding=3_000_000
    )
    assert again.body == package.body
    assert ("my-demo", "my_demo-1.0+cu126-py3-none-any.whl") == (package.project, package.filename)
