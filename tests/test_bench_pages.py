"""The bench of pages makes one like PyPI's, and measures each step of a first answer."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from bench import pages
from proxy.python.negotiation import Format
from proxy.python.parsing import parse
from proxy.python.plain_links import PlainLink
from tests.pages import Link, as_html
from tests.python.test_file_list import links


def test_page__is_like_those_of_pypi() -> None:
    """All of its links are of the usual kind, and no two are the same."""
    page = parse(pages.page(40), Format.JSON.content_type, "https://index.example/simple/demo/")
    assert [True] * 40 == [isinstance(link, PlainLink) for link in links(page)]
    assert 40 == len({file.url for file in page.files})


@pytest.mark.parametrize("saved", [None, "demo.json", "demo.html"])
def test_main__table(tmp_path: Path, capsys: pytest.CaptureFixture[str], saved: str | None) -> None:
    """A line for each step, for a page that it makes, and for one that was saved."""
    arguments = ["--links", "60"]
    if saved is not None:
        body = (
            pages.page(60) if saved.endswith("json") else as_html("demo", [Link("demo-1.0.tar.gz", "demo-1.0.tar.gz")])
        )
        (tmp_path / saved).write_bytes(body)
        arguments = ["--page", str(tmp_path / saved)]

    assert 0 == pages.main(arguments)

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert ["step", "read", "complete", "JSON", "gzip"] == [
        line.split(" | ")[0].removeprefix("| ") for line in lines[:5]
    ]


def test_longest_wait__of_work_that_fails() -> None:
    """What fails is no measurement."""
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pages.longest_wait(partial(divmod, 1, 0)))
