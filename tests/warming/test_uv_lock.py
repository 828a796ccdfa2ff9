"""What a uv.lock locks for an environment: markers stand where one package needs another."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.warming import lock_files
from proxy.warming.platforms import wanted
from proxy.warming.text_files import UnreadableFile
from proxy.warming.uv_lock import UvLock

INDEX = 'source = { registry = "https://index.example/simple" }'


def package(name: str, version: str = "1", *rows: str) -> str:
    """A package of the index with one wheel, and these rows."""
    wheel = f"{name}-{version}-py3-none-any.whl"
    rest = "\n".join(rows)
    return (
        f'[[package]]\nname = "{name}"\nversion = "{version}"\n{INDEX}\n'
        f'wheels = [{{ url = "https://files.example/{wheel}" }}]\n{rest}\n'
    )


PROJECT = """
version = 1
requires-python = ">=3.10"

[[package]]
name = "own"
version = "0"
source = { editable = "." }
dependencies = [
    { name = "always" },
    { name = "old", marker = "python_full_version < '3.11'" },
    { name = "forked", version = "1", marker = "python_full_version < '3.12'" },
    { name = "forked", version = "2", marker = "python_full_version >= '3.12'" },
]
[package.optional-dependencies]
gpu = [{ name = "gpu", marker = "sys_platform == 'linux' or extra != 'extra-3-own-cpu'" }]
[package.dev-dependencies]
dev = [{ name = "dev" }]

"""
LOCK = PROJECT + "".join(
    [
        package(
            "always",
            "1",
            'dependencies = [{ name = "windows", marker = "sys_platform == \'win32\'" }, '
            '{ name = "socks", extra = ["more"] }]',
        ),
        package("windows", "1", 'dependencies = [{ name = "of-windows" }]'),
        package("of-windows"),
        package("old"),
        package("forked", "1"),
        package("forked", "2"),
        package("gpu"),
        package("dev"),
        package("socks", "1", '[package.optional-dependencies]\nmore = [{ name = "extra" }]\nless = [{ name = "no" }]'),
        package("extra"),
        package("no"),
    ]
)


def names(folder: Path, text: str, platform: str, python: str = "3.12", name: str = "uv.lock") -> list[str]:
    """What there is for a platform."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    lock = lock_files.read(path)
    assert isinstance(lock, UvLock)
    (found,) = wanted([platform], [python])
    return [f"{one.name} {one.version}" if one.version else one.name for one in lock.on(found.environment).packages]


def test_on(tmp_path: Path) -> None:
    """Only what is needed there, also by what is needed; all extras and groups of the project, and no others."""
    linux = ["always 1", "forked 2", "gpu 1", "dev 1", "socks 1", "extra 1"]
    assert linux == names(tmp_path, LOCK, "linux")
    assert ["always 1", "windows 1", "of-windows 1", *linux[1:]] == names(tmp_path, LOCK, "windows")
    assert {"old 1", "forked 1"} == set(names(tmp_path, LOCK, "linux", "3.10")) - set(linux)


def test_on__forks(tmp_path: Path) -> None:
    """A version that is for other Pythons alone is not taken, whoever needs the name."""
    text = PROJECT.replace(', version = "1"', "").replace(', version = "2"', "")
    text += package("forked", "1", "resolution-markers = [\"python_full_version < '3.12'\"]") + package("forked", "2")
    assert ["forked 2"] == names(tmp_path, text, "linux")


def test_on__script(tmp_path: Path) -> None:
    """The lock file of a script has no package of its own: it says what the script needs."""
    text = 'version = 1\nrequires-python = ">=3.10"\n[manifest]\nrequirements = [{ name = "a", specifier = ">=1" }]\n'
    assert ["a 1"] == names(tmp_path, text + package("a") + package("b"), "linux", name="demo.py.lock")
    assert ["a 1", "b 1"] == names(
        tmp_path, text.replace("requirements", "unknown") + package("a") + package("b"), "linux", name="demo.py.lock"
    )


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ('{ git = "https://git.example/x?rev=1#0" }', ["always"]),
        ('{ url = "https://files.example/x.whl" }', ["always"]),
        ('{ path = "x.whl" }', ["always"]),
        ('{ registry = "../wheels" }', ["always"]),
        ('{ directory = "x" }', []),
    ],
)
def test_on__from_elsewhere(tmp_path: Path, source: str, left: list[str]) -> None:
    """What is from no index stays as such, but for what is in a folder."""
    text = PROJECT + f'[[package]]\nname = "always"\nversion = "1"\nsource = {source}\n'
    assert left == names(tmp_path, text, "linux")


@pytest.mark.parametrize("version", ['["1"]', "{}", "1"])
def test_on__version_that_is_none(tmp_path: Path, version: str) -> None:
    """It is refused when it is read, and nothing is left out silently."""
    text = LOCK.replace('name = "forked", version = "1"', f'name = "forked", version = {version}')
    with pytest.raises(UnreadableFile, match="a version has to be a text"):
        names(tmp_path, text, "linux")
