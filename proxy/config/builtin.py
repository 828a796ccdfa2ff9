"""The upstreams that are built in. `settings` adds them to those of the settings file.

The address of PyPI's Simple API is the constant of the library `pypi_simple`: it is written nowhere in this project. It
is read without loading that library, whose HTTP client and HTML parser would take a quarter of the start.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
from pathlib import Path

from proxy.config.upstreams import UpstreamSettings

_PACKAGE, _CONSTANT = "pypi_simple", "PYPI_SIMPLE_ENDPOINT"


def builtin() -> tuple[UpstreamSettings, ...]:
    """PyPI, and the indexes of PyTorch, NVIDIA and Astral with all their channels."""
    return (
        UpstreamSettings(mount="pypi", url=simple_endpoint().removesuffix("simple/"), index="simple/"),
        UpstreamSettings(
            mount="pytorch",
            url="https://download.pytorch.org/",
            index="whl/",
            siblings=("https://download-r2.pytorch.org/",),
            volatile=("whl/nightly/", "whl/test/"),
            forbidden_is_missing=True,
        ),
        UpstreamSettings(mount="nvidia", url="https://pypi.nvidia.com/", index=""),
        UpstreamSettings(mount="astral", url="https://wheels.astral.sh/", index="simple/"),
    )


@functools.cache
def simple_endpoint() -> str:
    """The address of PyPI's Simple API, with a slash at its end."""
    spec = importlib.util.find_spec(_PACKAGE)
    with contextlib.suppress(OSError, ValueError, SyntaxError):
        found = _constant(Path(spec.origin or "").read_text("utf-8")) if spec is not None else None
        if found is not None:
            return found
    from pypi_simple import PYPI_SIMPLE_ENDPOINT  # noqa: PLC0415 - a release may define it in another way

    return PYPI_SIMPLE_ENDPOINT


def _constant(source: str) -> str | None:
    """The text that a module assigns to the constant, at its top level."""
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
