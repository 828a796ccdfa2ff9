"""What a page says of each file that matters to whoever lists it elsewhere: which Pythons, and whether it was yanked.

An export reads thousands of pages for it, so a page in JSON is not made into `Page` first. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from proxy.python import parsing
from proxy.python.json_pieces import NOT_JSON
from proxy.python.negotiation import Format

# A file's name, its sha256 (empty if the page gives none), PEP 345's specifiers, and whether or why it was yanked.
Remark: TypeAlias = tuple[str, str, str | None, bool | str]


class _File(msgspec.Struct, rename="kebab"):
    filename: str
    requires_python: str | None = None
    yanked: bool | str = False
    hashes: dict[str, str] = {}


class _Files(msgspec.Struct):
    files: list[_File]


_decoder = msgspec.json.Decoder(_Files)


def read(body: bytes, content_type: str, url: str) -> Iterator[Remark]:
    """The remarks of a page, in its order. Raises UpstreamBroken at once for what is no page."""
    if parsing.typed(content_type) is Format.JSON:
        try:
            return _plain(_decoder.decode(body).files)
        except NOT_JSON:
            pass  # not as the standard has it: the careful way may read it
    files = parsing.parse(body, content_type, url).files
    return (
        (
            file.filename,
            next((digest.value for digest in file.digests if digest.algorithm == "sha256"), ""),
            file.requires_python,
            file.yanked,
        )
        for file in files
    )


def _plain(files: list[_File]) -> Iterator[Remark]:
    return (
        (file.filename, file.hashes.get("sha256", "").lower(), file.requires_python, file.yanked or False)
        for file in files
    )
