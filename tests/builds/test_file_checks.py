"""What `doctor` says of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds import file_checks
from proxy.builds.dockerfile import Dockerfile
from proxy.builds.findings import Health

_PATH = Path("/p/Dockerfile")


@pytest.mark.parametrize(
    ("text", "health", "said"),
    [
        ("FROM x\nRUN true\n", Health.OK, "nothing of it goes past the cache"),
        ("FROM x\nRUN pip install y\n", Health.DOUBTFUL, "Dockerfile, line 2: pip goes past the cache"),
        ("FROM x\nRUN apt-get update\n", Health.OK, "apt has no secret; `pullthrough build` gives it http_proxy"),
    ],
)
def test_dockerfile__by_line(text: str, health: Health, said: str) -> None:
    """What goes past the cache, or that nothing does."""
    (found,) = file_checks.dockerfile(_PATH, Dockerfile.read(text))

    assert health is found.health
    assert said in found.text


def test_images__variables_of_each_base() -> None:
    """An image that the engine does not have is not pulled for that."""
    images = {"nvcr": {"PIP_CONSTRAINT": "/c"}, "python": {"PATH": "/bin"}}
    file = Dockerfile.read("FROM nvcr\nRUN a\nFROM python\nRUN b\nFROM gone\nRUN c\n")

    found = list(file_checks.images(file, images.get))

    assert [Health.DOUBTFUL, Health.OK, Health.SKIPPED] == [one.health for one in found]
    assert "docker pull gone" in found[2].text


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "x"\ndefault = true\n', 1),
        ("pyproject.toml", '[[tool.uv.index]]\nurl = "x"\n', 0),
        ("pyproject.toml", '[tool.uv]\nindex-url = "x"\n', 1),
        ("pyproject.toml", '[project]\nname = "x"\n', 0),
        ("uv.toml", '[[index]]\nurl = "x"\ndefault = true\n', 1),
        ("pyproject.toml", "[", 0),
        ("other", "", 0),
    ],
)
def test_uv_settings__default_of_the_project(tmp_path: Path, name: str, text: str, count: int) -> None:
    """It comes before that of the secret file, and so uv goes past the cache."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    assert count == len(list(file_checks.uv_settings(tmp_path)))
