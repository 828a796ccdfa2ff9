"""`proxy.python.page`."""

from __future__ import annotations

from proxy.model import Digest
from proxy.python.page import File

SHA256, MD5 = Digest("sha256", "0" * 64), Digest("md5", "0" * 32)


def test_best_digest__first() -> None:
    """The first digest is the most trusted."""
    assert File("x.whl", "https://files.example/x.whl", (SHA256, MD5)).best_digest == SHA256


def test_best_digest__none() -> None:
    """A hash that cannot be checked is no digest."""
    assert File("x.whl", "https://files.example/x.whl", (), {"blake2b": "00"}).best_digest is None
