"""The pictures of docs/ARCHITECTURE.md against the imports: each arrow is there, and each module exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_TEXT = (_ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
_NODE = re.compile(r'(\w+)\["([^"]+)"\]')
_ARROW = re.compile(r'^\s*(\w+)(?:\["[^"]+"\])?\s+(-->|-\.->)(?:\|[^|]*\|)?\s+(\w+)', re.MULTILINE)


def _pictures() -> dict[str, str]:
    """The Mermaid blocks by the heading above them."""
    found = re.findall(r"^### (.+?)\n(.*?)(?=^##)", f"{_TEXT}\n##", re.MULTILINE | re.DOTALL)
    blocks = {heading: re.search(r"```mermaid\n(.*?)```", text, re.DOTALL) for heading, text in found}
    return {heading: block[1] for heading, block in blocks.items() if block is not None}


_PICTURES = _pictures()


def _module(label: str) -> Path:
    return _ROOT / "proxy" / f"{label}.py"


def _imported(module: Path) -> set[str]:
    """What a module imports of this program, as labels."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return {name.removeprefix("proxy.").replace(".", "/") for name in names if name.startswith("proxy.")}


def test_pictures__one_of_each_way() -> None:
    """There are at least five ways through the house, and each has a picture with arrows."""
    assert len(_PICTURES) >= 5
    assert all(_ARROW.search(block) for block in _PICTURES.values())


@pytest.mark.parametrize("heading", _PICTURES)
def test_picture__modules_exist(heading: str) -> None:
    """A box is a module."""
    labels = [label for _, label in _NODE.findall(_PICTURES[heading])]

    assert [] == [label for label in labels if not _module(label).is_file()]


@pytest.mark.parametrize("heading", _PICTURES)
def test_picture__arrows_are_imports(heading: str) -> None:
    """A solid arrow is an import; a dotted one leads through a port or a callable, which `app` connects."""
    block = _PICTURES[heading]
    labels = dict(_NODE.findall(block))
    connected = _imported(_module("app"))
    wrong = []
    for start, arrow, end in _ARROW.findall(block):
        above, below = labels[start], labels[end]
        direct = below in _imported(_module(above))
        if arrow == "-->" and not direct:
            wrong.append(f"{above} does not import {below}")
        if arrow == "-.->" and (direct or below not in connected):
            wrong.append(f"{above} imports {below}, or app does not")

    assert [] == wrong
