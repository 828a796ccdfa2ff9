"""Files that belong to a distribution and have no link of their own."""

from __future__ import annotations

import pytest

from proxy.model import Digest, Target
from proxy.python.attachments import METADATA, SIGNATURE, Owner, metadata_url, owner_of, promised
from proxy.python.page import File

_SUM = Digest("sha256", "ab" * 32)
_DEMO = File("demo-1.0.zip", "https://files.example/a/demo-1.0.zip?token=1", project="demo-x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://files.example/a.whl", "https://files.example/a.whl.metadata"),
        ("https://files.example/a.whl?token=1", "https://files.example/a.whl.metadata?token=1"),
        ("https://files.example/a%2Bcpu.whl#sha256=00", "https://files.example/a%2Bcpu.whl.metadata"),
    ],
)
def test_metadata_url(url: str, expected: str) -> None:
    """The ending goes to the path: a query stays behind it, a fragment goes."""
    assert expected == metadata_url(url)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/demo-1.0.zip.metadata", ("a/demo-1.0.zip", METADATA)),
        ("a/demo-1.0.zip.asc", ("a/demo-1.0.zip", SIGNATURE)),
        ("7/+of/x/+name/demo-1.0.zip.asc", ("7/+of/x/+name/demo-1.0.zip", SIGNATURE)),
        ("a/demo-1.0.zip", None),
    ],
)
def test_owner_of(path: str, expected: tuple[str, str] | None) -> None:
    """Its address without the ending."""
    owner = owner_of(Target("pypi", "files.example", path))
    assert expected == (owner and (owner.target.path, owner.ending))
    assert owner is None or owner == Owner(Target("pypi", "files.example", owner.target.path), owner.ending)


@pytest.mark.parametrize(("said", "digests"), [(_SUM, (_SUM,)), (True, ()), (False, None), (None, None)])
def test_promised__metadata(said: Digest | bool | None, digests: tuple[Digest, ...] | None) -> None:
    """With the digest that the link gives."""
    file = promised(File(_DEMO.filename, _DEMO.url, core_metadata=said, project="demo-x"), METADATA)
    url = "https://files.example/a/demo-1.0.zip.metadata?token=1"
    expected = None if digests is None else File("demo-1.0.zip.metadata", url, digests, project="demo-x")
    assert expected == file


@pytest.mark.parametrize("said", [True, False, None])
def test_promised__signature(said: bool | None) -> None:
    """Only if the link says that there is one."""
    file = promised(File(_DEMO.filename, _DEMO.url, gpg_sig=said), SIGNATURE)
    assert (said is True) == (file is not None)
    assert file is None or ("https://files.example/a/demo-1.0.zip.asc?token=1", ()) == (file.url, file.digests)
