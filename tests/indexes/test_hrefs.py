"""Links are written in the forms that indexes use."""

from __future__ import annotations

import pytest

from tests.indexes.hrefs import Form, Plus, anchor, href

_PAGE = "https://index.example/whl/cu126/torch/"


@pytest.mark.parametrize(
    ("file", "form", "plus", "expected"),
    [
        ("https://index.example/whl/cu126/torch/t-1+c.whl", Form.BESIDE, Plus.ESCAPED, "t-1%2Bc.whl"),
        ("https://index.example/whl/cu126/torch/t-1+c.whl", Form.DOTTED, Plus.LOWER, "./t-1%2bc.whl"),
        ("https://index.example/whl/cu126/t-1+c.whl", Form.BESIDE, Plus.BARE, "../t-1+c.whl"),
        ("https://index.example/whl/t-1+c.whl", Form.ROOTED, Plus.ENTITY, "/whl/t-1&#43;c.whl"),
        ("https://files.example:8443/t-1+c.whl", Form.SCHEMELESS, Plus.ESCAPED, "//files.example:8443/t-1%2Bc.whl"),
        ("https://files.example/a b/t?.whl", Form.ABSOLUTE, Plus.ESCAPED, "https://files.example/a%20b/t%3F.whl"),
    ],
)
def test_href__forms(file: str, form: Form, plus: Plus, expected: str) -> None:
    """Each form says as much of the address as it should, with the plus sign as wanted."""
    assert expected == href(_PAGE, file, form, plus)
    assert f"{expected}#sha256=ab" == href(_PAGE, file, form, plus, "sha256=ab")


def test_anchor__attributes() -> None:
    """Values are escaped, and what is not said is left out."""
    line = anchor("x.whl", "x<y>.whl", (("data-requires-python", ">=3.8"), ("data-yanked", None)))

    assert '<a href="x.whl" data-requires-python="&gt;=3.8">x&lt;y&gt;.whl</a>' == line
