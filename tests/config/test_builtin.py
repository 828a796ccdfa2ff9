"""The built-in upstreams; what is true of each is held by `test_settings` and `test_upstreams`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from proxy.config.builtin import _constant, simple_endpoint

_ROOT = Path(__file__).parents[2]


def test_simple_endpoint__is_the_librarys() -> None:
    """It is what the library says."""
    assert simple_endpoint() == PYPI_SIMPLE_ENDPOINT


def test_simple_endpoint__loads_nothing() -> None:
    """All the upstreams are known before anything that only the library needs was loaded."""
    script = (
        "import sys, pathlib; from proxy.config.settings import Settings; Settings(data=pathlib.Path('/d')).sites(); "
        "print(sorted({'pypi_simple', 'requests', 'urllib3', 'bs4'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize("kind", ["as it is", "another form", "no text", "gone"])
def test_simple_endpoint__another_release(tmp_path: Path, kind: str) -> None:
    """A release that writes the constant in another way is loaded for it."""
    text = {
        "as it is": "PYPI_SIMPLE_ENDPOINT: str = 'https://index.example/simple/'\n",
        "another form": "PYPI_SIMPLE_ENDPOINT = 'https://index.example' + '/simple/'\n",
        "no text": "from pypi_simple.inner import PYPI_SIMPLE_ENDPOINT\n",
        "gone": "raise SystemExit('nothing')\n",
    }[kind]
    (tmp_path / "pypi_simple").mkdir()
    (tmp_path / "pypi_simple" / "__init__.py").write_text(text, "utf-8")
    (tmp_path / "pypi_simple" / "inner.py").write_text(
        "PYPI_SIMPLE_ENDPOINT = 'https://index.example/simple/'\n", "utf-8"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from proxy.config.builtin import simple_endpoint; print(simple_endpoint())"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=False)

    assert ("nothing" in done.stderr) if kind == "gone" else ("https://index.example/simple/" == done.stdout.strip())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("X = 1\nPYPI_SIMPLE_ENDPOINT = 'a'\n", "a"),
        ("PYPI_SIMPLE_ENDPOINT: str = 'a'\n", "a"),
        ("A = PYPI_SIMPLE_ENDPOINT = 'a'\n", "a"),
        ("PYPI_SIMPLE_ENDPOINT = 1\n", None),
        ("PYPI_SIMPLE_ENDPOINT: str\n", None),
        ("def f():\n    PYPI_SIMPLE_ENDPOINT = 'a'\n", None),
        ("", None),
    ],
)
def test_constant__forms(source: str, expected: str | None) -> None:
    """Only a plain text at the top of the module counts."""
    assert expected == _constant(source)
