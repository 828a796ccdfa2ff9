"""The lines that point clients at the cache."""

from __future__ import annotations

import configparser
import os
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from proxy.clients import (
    apt_command,
    apt_detecting_script,
    apt_lines,
    index_url,
    pip_command,
    pip_configuration,
    pip_lines,
    uv_command,
    uv_configuration,
    uv_lines,
)

THIS_MACHINE = ["http://127.0.0.1:3142", "http://localhost:3142/", "http://[::1]:3142", "http://127.1.2.3"]


@pytest.mark.parametrize("base_url", THIS_MACHINE)
def test_pip_lines__this_machine(base_url: str) -> None:
    """pip trusts the machine itself: one line is enough."""
    address = f"{base_url.rstrip('/')}/pypi/simple/"

    assert [["export", f"PIP_INDEX_URL={address}"]] == [shlex.split(line) for line in pip_lines(base_url)]
    assert ["pip", "install", "--index-url", address, "PACKAGE"] == shlex.split(pip_command(base_url))


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("10.0.0.7:3142", "10.0.0.7"),
        ("cache.example", "cache.example"),
        ("Cache.Example:80", "cache.example"),
        ("[fd00::7]:3142", "fd00::7"),
        ("localhost.example:80", "localhost.example"),
        ("laptop:3142", "laptop"),
    ],
)
def test_pip_lines__another_machine(place: str, host: str) -> None:
    """Over plain HTTP pip ignores an index on another host unless it is trusted; older ones know no port there."""
    address = f"http://{place}/torch/simple/"

    lines = [shlex.split(line) for line in pip_lines(f"http://{place}", mount="torch")]
    command = shlex.split(pip_command(f"http://{place}", mount="torch"))

    assert [["export", f"PIP_INDEX_URL={address}"], ["export", f"PIP_TRUSTED_HOST={host}"]] == lines
    assert ["pip", "install", "--index-url", address, "--trusted-host", host, "PACKAGE"] == command


def test_pip_lines__tls() -> None:
    """An index with TLS needs no trust beside its certificate."""
    assert ["export PIP_INDEX_URL=https://cache.example/pypi/simple/"] == pip_lines("https://cache.example")


def test_uv_lines__any_machine() -> None:
    """uv needs its default index only."""
    assert ["export UV_DEFAULT_INDEX=http://10.0.0.7:3142/nvidia/"] == uv_lines("http://10.0.0.7:3142", "nvidia", "")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("index", ["simple/", "", "it's/$HOME/a;b/(c)&d/*/"])
@pytest.mark.parametrize("base_url", ["http://10.0.0.7:3142", "http://[fd00::7]:3142"])
def test_shell_lines__in_a_shell(tmp_path: Path, base_url: str, index: str, shell: str) -> None:
    """Whatever a path may hold, a shell takes the lines as they are meant: each address is one word."""
    address = index_url(base_url, "house", index)
    show = 'pip() { printf "%s\\n" "$@"; }; uv() { pip "$@"; }; sudo() { cat; }\n'
    lines = [
        *pip_lines(base_url, "house", index),
        *uv_lines(base_url, "house", index),
        'printf "%s\\n" "$PIP_INDEX_URL" "$PIP_TRUSTED_HOST" "$UV_DEFAULT_INDEX"',
        pip_command(base_url, "house", index),
        uv_command(base_url, "house", index),
        apt_command(base_url),
    ]

    done = subprocess.run(
        [shell], input=show + "\n".join(lines), cwd=tmp_path, capture_output=True, text=True, check=True
    )

    host = "fd00::7" if "::" in base_url else "10.0.0.7"
    assert "" == done.stderr
    assert [
        *(address, host, address),
        *("install", "--index-url", address, "--trusted-host", host, "PACKAGE"),
        *("pip", "install", "--default-index", address, "PACKAGE"),
        " ".join(apt_lines(base_url)),
    ] == done.stdout.splitlines()


def test_index_url__ends_in_a_slash() -> None:
    """PEP 503: addresses of pages end in a slash."""
    assert "http://127.0.0.1:1/pypi/simple/" == index_url("http://127.0.0.1:1/")


def test_apt_lines__proxy() -> None:
    """apt goes through the cache for http, and not for https: that would be a tunnel, which keeps nothing."""
    assert [
        'Acquire::http::Proxy "http://10.0.0.7:3142/";',
        'Acquire::https::Proxy "DIRECT";',
    ] == apt_lines("http://10.0.0.7:3142")


@pytest.mark.parametrize("shell", [["sh", "-n"], ["bash", "-n"]], ids=["sh", "bash"])
def test_apt_detecting_script__is_one(shell: list[str]) -> None:
    """It can be read by any shell, and holds the address once."""
    text = apt_detecting_script("http://10.0.0.7:3142/")
    assert 1 == text.count("10.0.0.7:3142")
    assert text.startswith("#!/bin/sh\n")
    assert b"" == subprocess.run(shell, input=text.encode(), stderr=subprocess.PIPE, check=True).stderr


@pytest.mark.parametrize(
    ("helper", "uri", "expected"),
    [
        ("exit 0", "http://mirror.example/", "http://10.0.0.7:3142/"),
        ("exit 100", "http://mirror.example/", "DIRECT"),
        ("exit 0", "https://mirror.example/", "DIRECT"),
        (None, "http://mirror.example/", "DIRECT"),
    ],
    ids=["up", "down", "https", "no apt"],
)
def test_apt_detecting_script__says(tmp_path: Path, helper: str | None, uri: str, expected: str) -> None:
    """The cache if apt's downloader gets an answer from it, and in every other case that there is no proxy."""
    program = tmp_path / "apt-helper"
    if helper is not None:
        program.write_text(f"#!/bin/sh\n{helper}\n", encoding="utf-8")
        program.chmod(0o755)
    text = apt_detecting_script("http://10.0.0.7:3142").replace("/usr/lib/apt/apt-helper", str(program))
    script = tmp_path / "detect"
    script.write_text(text, encoding="utf-8")

    result = subprocess.run(
        ["sh", str(script), uri],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    assert (0, f"{expected}\n", "") == (result.returncode, result.stdout, result.stderr)
    assert {"detect", *(["apt-helper"] if helper else [])} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("base_url", "trusted"),
    [
        ("http://pullthrough:3142", "pullthrough:3142"),
        ("http://[fd00::7]:3142/", "[fd00::7]:3142"),
        ("http://127.0.0.1:3142", None),
        ("https://cache.example", None),
    ],
)
def test_pip_configuration__is_a_file_of_pip(base_url: str, trusted: str | None) -> None:
    """The trusted host has its port, without which pip does not cache what comes over plain HTTP."""
    read = configparser.RawConfigParser()
    read.read_string(pip_configuration(base_url, "torch", "whl/cu126/"))

    expected = {"index-url": f"{base_url.rstrip('/')}/torch/whl/cu126/"} | (
        {"trusted-host": trusted} if trusted else {}
    )
    assert expected == dict(read["global"])


def test_uv_configuration__is_a_file_of_uv() -> None:
    """One index, which takes the place of uv's own default."""
    read = tomllib.loads(uv_configuration("http://pullthrough:3142", "pypi", "simple/"))

    assert {"index": [{"url": "http://pullthrough:3142/pypi/simple/", "default": True}]} == read
