"""Requirements files are read as pip reads them, and lead nobody past the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement

from proxy.warming.requirement_files import Requirements, elsewhere
from proxy.warming.text_files import UnreadableFile
from tests.deep import NESTED, deeply


def only(index: str) -> Callable[[str], str | None]:
    """A cache that has one index."""
    return lambda url: "http://cache/own/" if url == index else None


def read(folder: Path, text: str, index: str = "https://index.example/simple") -> Requirements:
    """What a file with this text says."""
    path = folder / "requirements.txt"
    path.write_text(text, encoding="utf-8")
    found = Requirements(variables={"TOKEN": "secret"})
    found.add(path, only(index))
    return found


def test_add(tmp_path: Path) -> None:
    """Comments, lines that go on, further files, constraints, and indexes that the cache has."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("b>=1; python_version>'3'\n", encoding="utf-8")
    (tmp_path / "bounds.txt").write_text("b<2\n", encoding="utf-8")
    found = read(
        tmp_path,
        "# comment\n-r more/base.txt\n--constraint=bounds.txt\n--extra-index-url https://index.example/simple\n"
        "a==1.0 \\\n    --hash=sha256:0A --hash sha256:01 --config-settings=x=a:b # why\n--require-hashes\n\n",
    )
    assert ["b>=1; python_version>'3'", "a==1.0"] == found.lines
    assert (["b<2"], ["http://cache/own/"]) == (found.constraints, found.indexes)
    assert {"a": {"sha256:0a", "sha256:01"}} == found.hashes


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("\ufeffa\r\nb\r\n", ["a", "b"]),
        ("# said \\\na\n", ["a"]),
        ("a \\\n# said\nb\n", ["a", "b"]),
        ("a\t# said\n", ["a"]),
        ("a==1 \\", ["a==1"]),
        ("a[x,y] >= 1 ; os_name == 'posix'  --config-settings x=y\n", ["a[x,y] >= 1 ; os_name == 'posix'"]),
        ("-rother.txt\n", ["of-other"]),
        ("--requirement other.txt -c other.txt\n", ["of-other"]),
        ("--trusted-host x.example\n--prefer-binary\na\n", ["a"]),
        ("-i https://index.example/simple --trusted-host index.example\na\n", ["a"]),
    ],
)
def test_add__as_pip(tmp_path: Path, text: str, lines: list[str]) -> None:
    """What pip takes for a line, and nothing else; none is lost."""
    (tmp_path / "other.txt").write_text("of-other\n", encoding="utf-8")
    assert lines == read(tmp_path, text).lines


def test_add__variables(tmp_path: Path) -> None:
    """Those that are set are filled in, as pip does; what is not set stays. No password is repeated."""
    read(tmp_path, "-i https://user:${TOKEN}@index.example/simple", "https://user:secret@index.example/simple")
    with pytest.raises(UnreadableFile, match=r"https://index.example/simple is not behind") as raised:
        read(tmp_path, "-i https://user:${TOKEN}@index.example/simple")
    assert "secret" not in str(raised.value)


def test_add__indexes(tmp_path: Path) -> None:
    """One takes the place of the usual index, others come beside it."""
    found = read(tmp_path, "-i https://index.example/simple\n--extra-index-url https://index.example/simple\n")
    assert ("http://cache/own/", ["http://cache/own/"]) == (found.index, found.indexes)


def test_join() -> None:
    """All that others say, but where they look in place of the usual index."""
    found = Requirements(["a"], ["a<2"], ["x"], ["--no-binary", "a"], {"a": {"1"}})
    found.join(Requirements(["b"], ["b<2"], ["x", "y"], ["--no-binary", "b"], {"a": {"2"}, "b": {"3"}}, index="z"))
    options = ["--no-binary", "a", "--no-binary", "b"]
    assert Requirements(["a", "b"], ["a<2", "b<2"], ["x", "y"], options, {"a": {"1", "2"}, "b": {"3"}}) == found


def test_add__options(tmp_path: Path) -> None:
    """Which files count is said to whoever resolves."""
    found = read(tmp_path, "--pre\n--no-binary demo\n--only-binary=:all:\n")
    assert ["--prerelease", "allow", "--no-binary", "demo", "--only-binary", ":all:"] == found.options


@pytest.mark.parametrize(
    "text",
    [
        "-e .",
        "--editable=./x",
        "./x",
        "/x/demo-1.0.tar.gz",
        "demo-1.0-py3-none-any.whl",
        "https://files.example/demo-1.0.whl",
        "git+https://git.example/demo.git@main#egg=demo",
        "git+ssh://git@git.example/demo.git",
        "demo @ https://user:secret@files.example/demo.whl",
        "demo@https://files.example/demo.whl",
        "file:///x/demo-1.0.tar.gz",
        f"./{'x' * 300}",
        "--find-links ./wheels",
        "--no-index",
        "--unknown",
    ],
)
def test_add__left_out(tmp_path: Path, text: str) -> None:
    """What is from no index is said, and the rest is read."""
    found = read(tmp_path, f"a\n{text}\nb\n")
    assert (["a", "b"], 1) == (found.lines, len(found.left_out))
    assert "secret" not in found.left_out[0].what


@pytest.mark.parametrize(
    "text",
    [
        *("-e .", "--editable=./", ".", "./ --config-settings x=y", "-e .[x]", ".[x, y]", "-e .[X]", "-e .[all]"),
        *('-e . ; python_version >= "3.8"', './ ; python_version >= "3.8"', "sub/.."),
    ],
)
def test_add__project_in_a_folder(tmp_path: Path, text: str) -> None:
    """What a project beside the file requires is wanted, with its build and the extras that are named."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["b"]\n[project]\nname = "own"\ndependencies = ["a"]\n'
        '[project.optional-dependencies]\nx = ["c"]\nall = ["Own[x,all]"]\n',
        encoding="utf-8",
    )
    found = read(tmp_path, text)
    with_extra = any(mark in text for mark in ("x]", "x,", "X", "all"))
    assert (["a", "b", *(["c"] if with_extra else [])], []) == (found.lines, found.left_out)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-i https://other.example/simple", "not behind the cache"),
        ("-r requirements.txt", "name each other"),
        ("-r missing.txt", "missing.txt cannot be read"),
        ("a\nnumpy=1.26=py311h_0\n", "line 2: this is no requirement"),
        ("name: env\n", "line 1: this is no requirement"),
        ("- flask\n", "line 1: this is no line"),
        ("-i 'https://", "line 1: No closing quotation"),
    ],
)
def test_add__wrong(tmp_path: Path, text: str, said: str) -> None:
    """It is said in which file, and where in it."""
    with pytest.raises(UnreadableFile, match=said):
        read(tmp_path, text)


def test_add__marker_that_is_too_deep(tmp_path: Path) -> None:
    """It is no requirement, and it is said where it stands."""
    with pytest.raises(UnreadableFile, match="line 2: this is no requirement"):
        deeply(lambda: read(tmp_path, f"a\nb; {NESTED}\n"))


def test_add__project_that_does_not_say(tmp_path: Path) -> None:
    """What its build requires is wanted, and it is said that the rest is not known: it stands in a setup.py."""
    (tmp_path / "pyproject.toml").write_text('[build-system]\nrequires = ["b"]\n', encoding="utf-8")
    found = read(tmp_path, "-e .")
    assert (["b"], ["-e ."]) == (found.lines, [one.what for one in found.left_out])
    assert "known only when it is built" in found.left_out[0].why


def test_elsewhere() -> None:
    """A requirement with an address is of no index."""
    assert elsewhere("demo>=1") is None
    found = elsewhere("demo @ https://user:secret@files.example/demo.whl")
    assert found is not None
    assert "demo @ https://files.example/demo.whl" == found.what
    with pytest.raises(InvalidRequirement):
        elsewhere("no such file")
