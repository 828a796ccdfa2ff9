"""Where PyPI's Simple API is: the constant of the library `pypi_simple`, without loading that library.

Called by `upstreams`. The address is another project's to know, and written nowhere in this one. Loading the library
for it would bring an HTTP client and an HTML parser along, a quarter of the time that the program takes to start.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
from pathlib import Path

_PACKAGE, _CONSTANT = "pypi_simple", "PYPI_SIMPLE_ENDPOINT"


@functools.cache
def simple_endpoint() -> str:
    """The address of PyPI's Simple API, with a slash at its end."""
    spec = importlib.util.find_spec(_PACKAGE)
    with contextlib.suppress(OSError, ValueError, SyntaxError):
        found = _constant(Path(spec.origin or "").read_text("utf-8")) if spec is not None else None
        if found is not None:
            return found
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - for a release that writes it down in another way

    return PYPI_SIMPLE_ENDPOINT


def _constant(source: str) -> str | None:
    """The text that is assigned to the constant at the top of a module."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign):
            targets: list[ast.expr] = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        named = any(isinstance(target, ast.Name) and target.id == _CONSTANT for target in targets)
        if named and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str):
            return statement.value.value
    return None
