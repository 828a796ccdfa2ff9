"""How pages of indexes write their links: one address, in every form that was seen.

The indexes of this package write with it, and the property tests of the program read what it wrote.
"""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Sequence
from html import escape
from typing import assert_never
from urllib.parse import quote, urlsplit


class Form(enum.Enum):
    """What of an address stands in the link (RFC 3986 §4.2)."""

    BESIDE = "relative to the page's folder: x.whl, cpu/x.whl, ../x.whl"
    DOTTED = "the same behind ./"
    ROOTED = "the whole path"
    SCHEMELESS = "host and path, behind //"
    ABSOLUTE = "everything"


class Plus(enum.Enum):
    """How the plus sign of a local version is written."""

    ESCAPED = "%2B"
    LOWER = "%2b"
    BARE = "+"
    ENTITY = "&#43;"


def href(page: str, file: str, form: Form, plus: Plus = Plus.ESCAPED, fragment: str = "") -> str:
    """The value of the attribute, as it stands in the page's text.

    `page` and `file` are absolute addresses whose paths are decoded. The relative forms want both on one host.
    """
    # A decoded path may hold what urlsplit takes for a query, so it is cut off by hand.
    front = "/".join(file.split("/", 3)[:3])
    path = file[len(front) :]
    match form:
        case Form.BESIDE | Form.DOTTED:
            folder = posixpath.dirname(page[len("/".join(page.split("/", 3)[:3])) :])
            written = quote(posixpath.relpath(path, folder) + ("/" if path.endswith("/") else ""), safe="/~")
            written = f"./{written}" if form is Form.DOTTED else written
        case Form.ROOTED:
            written = quote(path, safe="/~")
        case Form.SCHEMELESS:
            written = f"//{urlsplit(front).netloc}{quote(path, safe='/~')}"
        case Form.ABSOLUTE:
            written = front + quote(path, safe="/~")
        case _:
            assert_never(form)
    return escape(written).replace("%2B", plus.value) + (f"#{escape(fragment)}" if fragment else "")


def anchor(link: str, text: str, attributes: Sequence[tuple[str, str | None]] = ()) -> str:
    """One `<a>` without what follows it. `link` is as `href` gives it; attributes that are None are left out."""
    more = "".join(f' {name}="{escape(value)}"' for name, value in attributes if value is not None)
    return f'<a href="{link}"{more}>{escape(text)}</a>'
