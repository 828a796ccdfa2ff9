"""The secret files: what is in them, who may read them, and that nothing of them stays."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from proxy.builds.secret_files import TARGETS, secret_files, texts


def test_targets__are_those_of_the_layer_keys() -> None:
    """A change would rebuild the layers of everybody."""
    expected = {"pip": "/etc/pip.conf", "uv": "/etc/uv/uv.toml", "apt": "/etc/apt/apt.conf.d/01pullthrough"}

    assert expected == TARGETS


def test_texts__name_the_cache_by_its_one_name() -> None:
    """Whatever its address is; the port stands in them."""
    contents = texts(3199, "torch", "whl/cu126/")

    pip = configparser.RawConfigParser()
    pip.read_string(contents["pip"])
    index = "http://pullthrough:3199/torch/whl/cu126/"
    assert {"index-url": index, "trusted-host": "pullthrough:3199"} == dict(pip["global"])
    assert [{"url": index, "default": True}] == tomllib.loads(contents["uv"])["index"]
    assert 'Acquire::http::Proxy "http://pullthrough:3199/";' in contents["apt"].splitlines()


def test_secret_files__regular_and_private(tmp_path: Path) -> None:
    """Only this user reads them; after the build the folder is as it was."""
    with secret_files({"pip": "a", "uv": "b"}, {"XDG_RUNTIME_DIR": str(tmp_path)}) as paths:
        assert {"pip": "a", "uv": "b"} == {name: path.read_text(encoding="utf-8") for name, path in paths.items()}
        assert {0o100600} == {path.stat().st_mode for path in paths.values()}
        assert 0o40700 == paths["pip"].parent.stat().st_mode
        assert tmp_path == paths["pip"].parent.parent

    assert [] == list(tmp_path.iterdir())


def test_secret_files__where_docker_looks(tmp_path: Path) -> None:
    """A docker of a snap reads no file of the folder in memory; its own folder may not be there yet."""
    own = tmp_path / "snap/docker/common"
    with secret_files({"pip": "a"}, {"XDG_RUNTIME_DIR": str(tmp_path)}, own) as paths:
        assert own == paths["pip"].parent.parent

    assert [] == list(own.iterdir())


def test_secret_files__removed_after_a_failure(tmp_path: Path) -> None:
    """Whatever ends the build."""
    with pytest.raises(KeyboardInterrupt):
        with secret_files({"pip": "a"}, {"XDG_RUNTIME_DIR": str(tmp_path)}):
            raise KeyboardInterrupt

    assert [] == list(tmp_path.iterdir())


def test_secret_files__without_a_folder_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    for environ in ({}, {"XDG_RUNTIME_DIR": str(tmp_path / "none")}):
        with secret_files({"pip": "a"}, environ) as paths:
            assert tmp_path == paths["pip"].parent.parent


def test_secret_files__of_a_killed_process(tmp_path: Path) -> None:
    """The next build removes them; those of a build that runs stay, and so does what is not this program's."""
    program = (
        "import os, sys; from proxy.builds.secret_files import secret_files\n"
        "with secret_files({'pip': 'left'}, {'XDG_RUNTIME_DIR': sys.argv[1]}): os.kill(os.getpid(), 9)"
    )
    (tmp_path / "pullthrough-secrets-foreign").mkdir()
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, cwd=Path(__file__).parents[2])
    left = [path for path in tmp_path.iterdir() if (path / "pip").exists()]
    assert 1 == len(left)

    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with secret_files({"pip": "first"}, environ) as first, secret_files({"pip": "second"}, environ):
        assert not left[0].exists()
        assert "first" == first["pip"].read_text(encoding="utf-8")

    assert ["pullthrough-secrets-foreign"] == [path.name for path in tmp_path.iterdir()]
