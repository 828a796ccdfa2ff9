"""Which file of the build's folder is at a path of an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.builds.dockerfile import Dockerfile
from proxy.warming.image_files import ImageFiles

TEXT = """
FROM scratch AS files
COPY ${NAME} /kept/wanted
COPY uv.loc[k] pyproject.tom[l] /project/
FROM base AS first
WORKDIR /src
COPY . .
COPY ["deep/a.txt", "b.txt"]
COPY deep/a.txt deep/c.txt into/
COPY deep /tree
COPY deep/a.tx[t] /there
COPY --from=files /kept /from-stage
FROM first
RUN --mount=type=bind,source=deep,target=/mounted \\
  --mount=type=bind,from=files,target=/other --mount=type=cache,target=/c x
"""


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """The files of two stages."""
    (tmp_path / "deep").mkdir()
    for name in ("requirements.txt", "uv.lock", "deep/a.txt", "deep/c.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    found = ImageFiles(tmp_path)
    for number, stage in enumerate(Dockerfile.read(TEXT).stages):
        name = stage.name or str(number)
        found.begin(name, stage.begins)
        for copied in stage.of("COPY"):
            found.add(name, copied, "/src", {"NAME": "requirements.txt"})
    return found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("requirements.txt", "requirements.txt"),
        ("/src/requirements.txt", "requirements.txt"),
        ("b.txt", "deep/a.txt"),
        ("/src/into/c.txt", "deep/c.txt"),
        ("/tree/c.txt", "deep/c.txt"),
        ("/there/a.txt", "deep/a.txt"),
        ("/mounted/a.txt", "deep/a.txt"),
        ("/other/kept/wanted", "requirements.txt"),
        ("/other/project/uv.lock", "uv.lock"),
        ("/from-stage/wanted", "requirements.txt"),
        ("/other/project/pyproject.toml", None),
        ("/nowhere/requirements.txt", None),
        ("../outside.txt", None),
        ("/tree", None),
    ],
)
def test_found(files: ImageFiles, path: str, expected: str | None) -> None:
    """By COPY, also of another stage, and by mounts."""
    (run,) = Dockerfile.read(TEXT).runs
    there = files.found("2", run, "/src", path)
    assert expected == (there and there.relative_to(files.folder).as_posix())


def test_found__outside(files: ImageFiles, tmp_path: Path) -> None:
    """No file is read that is not in the build's folder, and what is no list of names ends nothing."""
    (tmp_path.parent / "secret.txt").write_text("x", encoding="utf-8")
    deep = "[" * 100_000
    file = Dockerfile.read(f"FROM a\nCOPY ../secret.txt /x\nCOPY $WHAT /y\nCOPY alone\nCOPY {deep}\nRUN x")
    files.begin("0", "")
    for copied in file.stages[0].of("COPY"):
        files.add("0", copied, "/", {})
    assert [] == [path for path in ("/x", "/y") if files.found("0", file.runs[0], "/", path)]


def test_found__stages_in_a_circle(tmp_path: Path) -> None:
    """What the builder refuses ends here, too."""
    file = Dockerfile.read("FROM a AS one\nCOPY --from=two /x /x\nFROM b AS two\nCOPY --from=one /x /x\nRUN y")
    found = ImageFiles(tmp_path)
    for stage in file.stages:
        found.begin(stage.name, "")
        for copied in stage.of("COPY"):
            found.add(stage.name, copied, "/", {})
    assert found.found("two", file.runs[0], "/", "/x") is None
